"""What holds for any sequence of decoded reports: nothing is lost, and chunks do not matter.

The input is a header, then ``RECORD`` bytes a report. Zeros are ordinary: the same server and
origin a minute later, the next sequence number, a plausible gain. Every other byte is one oddity.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.heads import Reading
from pipeline.records import Names
from pipeline.windows import WIDTH_MS
from schemas.report import VALUE_MAX
from schemas.validate import SEQ_MAX, TIME_MS_MAX
from tests.pipeline.world import World, names, reading

HEADER: Final = 8
RECORD: Final = 12
REPORTS_MAX = 16

_A, _B, _C = ("net.tx_bytes", "eth0"), ("net.rx_bytes", "eth0"), ("unheard.of", "\U0001f600")
_SETS = [
    names(_A, _B), names(_B, _A), names(_A), names(_A, _B, _C),
    names(_C), names(_C, _A), names(_B), names(_A, _C, _B),
]  # fmt: skip
_MINUTE = 60_000
_STEPS = [
    *(_MINUTE, 1, 0, -1, WIDTH_MS - 1, WIDTH_MS, WIDTH_MS + 1, 3 * WIDTH_MS),
    *(900_000, 900_001, 2_000_000, -WIDTH_MS, 2, 299_000, 59_999, -2 * WIDTH_MS),
    *(_MINUTE, 1, 1000, 3, WIDTH_MS - 2, WIDTH_MS + 2, _MINUTE, 7 * WIDTH_MS + 7),
]
# What fills many windows is slow, so it takes one byte of 256; months are tables elsewhere.
_RARE_STEPS = {255: 36 * WIDTH_MS, 254: -36 * WIDTH_MS}
_SEQS = [1, 2, 3, 511, 512, 513, 600, 10**6, 2**40, 0, -1, -2, -510, -511, -512, -600]
_STARTS = [10**12, 0, 1, WIDTH_MS, 86_400_000 - 1, TIME_MS_MAX - 10 * 86_400_000, TIME_MS_MAX]
_PER_MS = [1000, 0, 1, 10**6, 125 * 10**5, 125 * 10**5 + 1, 10**9, 10**12]
_VALUES = [0, 1, 2**31, 2**32, 2**53, 2**61, 2**62 - 1, 2**62, 2**63 - 18, VALUE_MAX]


def _within(number: int, low: int, high: int) -> int:
    return max(low, min(number, high))


def _of(options: Sequence[Any], byte: int) -> Any:
    return options[byte % len(options)]


@dataclass
class _Machine:
    """What a server is doing, whether it tells the truth about it or not."""

    at: int
    registered: int
    up: int = 1000
    seq: int = 0
    origin: int = 0
    since: list[int] = field(default_factory=list)
    value: dict[tuple[str, str], int] = field(default_factory=dict)

    def boot(self, before: int) -> None:
        self.origin = len(self.since)
        self.since.append(_within(self.at - before, 0, TIME_MS_MAX))
        self.up, self.seq, self.value = before, 0, {}


def log_of(data: bytes) -> tuple[list[Reading], list[int]]:
    """The reports that an input stands for, and where the topic is cut into chunks."""
    header = data[:HEADER].ljust(HEADER, b"\0")
    machines = [
        _Machine(
            at := _of(_STARTS, header[i]),
            registered=_of([0, at, at + 9 * _MINUTE], header[i] // 16),
        )
        for i in range(3)
    ]
    log: list[Reading] = []
    for start in range(HEADER, len(data), RECORD)[:REPORTS_MAX]:
        record = data[start : start + RECORD].ljust(RECORD, b"\0")
        again = record[11]
        if again and log:
            log.append(_again(_of(log, again // 4), again % 4))
        else:
            which = record[0] % len(machines)
            log.append(_report(f"s{which}", machines[which], record))
    return log, sorted(byte % (len(log) + 1) for byte in header[4:])


def _again(known: Reading, how: int) -> Reading:
    """What a spool, a second agent or a thief may send: an old report, or what claims its id."""
    match how:
        case 1:
            return replace(known, content=known.content % 65_535 + 1)
        case 2:
            return replace(known, at_ms=_within(known.at_ms - WIDTH_MS, 0, TIME_MS_MAX))
        case 3:
            return replace(known, seq=_within(known.seq + 1, 1, SEQ_MAX))
    return known


def _report(server: str, machine: _Machine, record: bytes) -> Reading:
    _, step, seq, boot, series, rate, lie, up, odd, low, high, _ = record
    elapsed = _RARE_STEPS.get(step) or _of(_STEPS, step)
    machine.at = _within(machine.at + elapsed, 0, TIME_MS_MAX)
    machine.up = _within(
        machine.up + _of([elapsed, 0, 1, -elapsed, 10**9, -(10**12)], up), 0, 10**14
    )
    if boot or not machine.since:
        machine.boot(_of([1000, 0, _MINUTE, 3 * WIDTH_MS, 9_000_000, 1, -_MINUTE], boot))
    machine.seq = _within(machine.seq + _of(_SEQS, seq), 1, SEQ_MAX)
    reported: Names = _of(_SETS, series)
    gained = max(elapsed, 0) * _of(_PER_MS, rate) + low
    for name in reported.series:
        machine.value[name] = _within(machine.value.get(name, 0) + gained, 0, VALUE_MAX)
    value = [machine.value[name] for name in reported.series]
    if lie:
        value[lie % len(value)] = _within(_of(_VALUES, lie) + high, 0, VALUE_MAX)
    origin = odd % len(machine.since) if odd else machine.origin
    return replace(
        reading(
            machine.at, value, seq=machine.seq, origin=f"o{origin}", server=server,
            since_ms=machine.since[origin], up_ms=max(machine.up, 0), series=reported,
        ),
        registered_ms=machine.registered,
    )  # fmt: skip


def check(data: bytes) -> World:
    """Raises where a law of metering is broken; returns the reports' world, one by one."""
    log, cuts = log_of(data)
    plain, chunked = World().one_by_one(log), World()
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        if start < end:
            chunked.chunk(log[start:end])
    said = _said(chunked)
    assert said == _said(plain), "chunks do not matter"
    assert +chunked.out.counts == +plain.out.counts
    assert sum(plain.out.counts.values()) == len(log), "each report has one verdict"
    for world in (plain, chunked):
        _check_sums(world)
    # What was refused is left out: later it may fit its chain.
    kept = [r for r, verdict in zip(log, plain.verdicts, strict=True) if not verdict.refused]
    if kept:
        chunked.chunk(kept)
        assert _said(chunked) == said, "a replay changes nothing"
    return plain


def shapes(_: bytes, world: World) -> Iterator[str]:
    """Each verdict with the two before it: coverage does not see what follows what."""
    for verdicts in zip(world.verdicts, world.verdicts[1:], world.verdicts[2:], strict=False):
        yield " ".join(verdicts)


def _said(world: World) -> tuple[dict[Any, int], dict[Any, int], dict[Any, int]]:
    return world.windows(), world.cover(), world.readings()


def _check_sums(world: World) -> None:
    windows, cover, readings = _said(world)
    totals: Counter[Any] = Counter()
    for (server, _, meter, resource), quantity in windows.items():
        totals[server, meter, resource] += quantity
    assert totals == readings, "windows sum to the last readings"
    assert all(quantity > 0 for quantity in windows.values())
    assert all(0 <= ms <= WIDTH_MS for ms in cover.values())
    assert world.finished_once()
