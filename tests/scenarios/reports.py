"""What agents would have sent of a usage: signed reports, a reading at the edge of each window."""

from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.keyring import Keyring
from pipeline.lanes import Intake
from pipeline.names import NamesCache
from pipeline.partition import partition_of
from pipeline.records import LOG_APPEND_TIME, Taped
from schemas.envelope import Key, headers
from schemas.report import Report, encode
from tests.scenarios.october import START, Used

TOPIC, ENVIRONMENT, PARTITIONS, FIRST_OFFSET = "usage.reports", "production", 2, 1000
"""The topic and the offsets of `tests.invoicing.ledger`."""
WIDTH_MS: Final = 300_000
PAST_END_MS: Final = 60_000
"""When the last report is read: a close waits for one that is past the month."""
ON_THE_WAY_MS: Final = 700
AGAIN_EVERY: Final = 50
"""So often a report is sent twice, as after an answer that got lost."""


def topic(used: Iterable[Used]) -> dict[int, list[Taped]]:
    """Partition → its messages, by append time, as a broker would hold them."""
    sent = [(report, key) for one in used for report, key in _agent(one)]
    sent.sort(key=lambda pair: pair[0].at_ms)
    found: dict[int, list[Taped]] = {part: [] for part in range(PARTITIONS)}
    for report, key in sent:
        name, body = report.server.encode(), encode(report)
        log = found[partition_of(name, PARTITIONS)]
        signed = headers(report, body, key, ENVIRONMENT, TOPIC)
        for _ in range(1 + (report.seq % AGAIN_EVERY == 0)):
            offset, at_ms = FIRST_OFFSET + len(log), report.at_ms + ON_THE_WAY_MS
            log.append(Taped(offset, at_ms, LOG_APPEND_TIME, name, body, signed))
    return found


def intake(used: Iterable[Used]) -> Intake:
    """What a worker that knows these servers reads with."""
    keys = [_key(one) for one in used]
    registered = {key.server: key.valid_from_ms for key in keys}
    return Intake(Keyring(keys), registered, NamesCache(), ENVIRONMENT, PARTITIONS)


def _agent(used: Used) -> Iterator[tuple[Report, Key]]:
    """All its reports: counters that are zero when it starts."""
    start_ms, key = int(used.start.timestamp() * 1000), _key(used)
    meters, ends = tuple(used.totals), range(used.windows + 1)
    at_ms = [start_ms + end * WIDTH_MS for end in ends]
    for seq, (end, at) in enumerate([*zip(ends, at_ms, strict=True),
                                     (used.windows, at_ms[-1] + PAST_END_MS)], 1):  # fmt: skip
        up_ms = at - start_ms
        values = tuple(end * total // used.windows for total in used.totals.values())
        yield Report(
            used.server, "boot-1", start_ms, seq, at, up_ms, up_ms + ON_THE_WAY_MS,
            meters, ("1",) * len(meters), values,
        ), key  # fmt: skip


def _key(used: Used) -> Key:
    month_ms = int(START.timestamp() * 1000)
    return Key(f"k-{used.server}", used.server, used.server.encode() * 8, month_ms)
