"""Which messages are retries that count, and what would become of letters that were retried.

A letter is released by its mark ``retried_ms``; only then does a message that names it and equals
it count as its retry. Writes nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from pipeline.heads import Output
from pipeline.lanes import Intake, Lane
from pipeline.records import LOG_APPEND_TIME, Chunk, Taped
from pipeline.retries import Released, Retry, retry_headers
from schemas.verdict import Verdict
from sinks import ledger
from sinks.database import Connection
from sinks.letters import Kept
from sinks.series import SeriesSets

_NOBODY = UUID(int=0)


class Outcome(NamedTuple):
    """What became of a letter, or would; one sentence where it is refused."""

    letter: Kept
    verdict: Verdict
    detail: str


def released(
    conn: Connection, topic_id: UUID, part: int, retries: Sequence[Retry]
) -> list[Released | None]:
    """Of each retry, when its letter was appended and released; None: there is no such letter.

    Only letters as long as the message are read, so nobody makes this read more than he sent.
    """
    wanted = sorted({(retry.offset, len(retry.value)) for retry in retries})
    rows = conn.execute(
        'SELECT "offset", append_ms, by_broker, retried_ms, key, payload, headers'
        " FROM dead_letter JOIN unnest(%s::bigint[], %s::integer[]) AS w (at, size)"
        ' ON "offset" = at AND octet_length(payload) = size'
        " WHERE topic_id = %s AND part = %s AND retried_ms IS NOT NULL",
        ([offset for offset, _ in wanted], [size for _, size in wanted], topic_id, part),
    ).fetchall()
    letters = {row[0]: row[1:] for row in rows}
    return [_released(retry, *letters[retry.offset]) if retry.offset in letters else None
            for retry in retries]  # fmt: skip


def _released(
    retry: Retry,
    append_ms: int,
    by_broker: bool,
    released_ms: int,
    key: bytes | None,
    payload: bytes,
    headers: list[list[str]],
) -> Released | None:
    sent = [(name, value or b"") for name, value in retry.headers]
    same = (key, payload) == (retry.key, retry.value)
    same = same and headers == json.loads(ledger.headers_json(sent))
    return Released(append_ms, by_broker, released_ms) if same else None


def preview(
    conn: Connection, intake: Intake, letters: Iterable[Kept], now_ms: int
) -> Iterator[Outcome]:
    """What would become of letters of one topic if they were retried now, in this order.

    They are metered in memory, on what the ledger holds of their partitions.
    """
    lanes: dict[int, Lane] = {}
    for letter in letters:
        lane = lanes.get(letter.part) or _lane(conn, letter)
        lanes[letter.part] = lane
        kind = LOG_APPEND_TIME if letter.by_broker else 0
        named = retry_headers(letter.headers, letter.part, letter.offset)
        offset = max(lane.expect, letter.offset + 1)
        record = Taped(offset, letter.append_ms, kind, letter.key, letter.payload, named)
        lane.expect = offset
        before = Counter(lane.out.counts)
        chunk = Chunk(letter.topic, letter.part, [record])
        lane.take(chunk, replace(intake, release=_as_released(letter, now_ms)), now_ms)
        [verdict] = [Verdict(name) for name in lane.out.counts - before]
        yield Outcome(letter, verdict, lane.out.dead[-1].detail if verdict.refused else "")


def _as_released(
    letter: Kept, now_ms: int
) -> Callable[[UUID, int, Sequence[Retry]], list[Released | None]]:
    one = Released(letter.append_ms, letter.by_broker, now_ms)
    return lambda _topic, _part, retries: [one for _ in retries]


def _lane(conn: Connection, letter: Kept) -> Lane:
    """A partition as the ledger has it; nobody's, and never written."""
    row = conn.execute(
        "SELECT next_offset, append_ms FROM ingest_offset WHERE topic_id = %s AND part = %s",
        (letter.topic_id, letter.part),
    ).fetchone()
    assert row is not None, "letters are of partitions that the ledger knows"
    sets = SeriesSets()
    heads = ledger.load_heads(conn, letter.part, sets)
    out = Output(lambda server, origin: ledger.load_tail(conn, server, origin, sets))
    return Lane(letter.topic_id, letter.part, _NOBODY, row[0], row[1], Counter(), heads, out)
