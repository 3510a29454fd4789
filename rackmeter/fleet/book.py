"""What each report must come to, by the rules alone: its verdict, and what was used when. Pure.

One report after the other, in the order of the log, in the plainest words there are. A fleet's
totals are known from its machines; what is worked out here is what depends on which reports
arrived, and in which order: windows and verdicts. See docs/decisions and the tables in
tests/pipeline for the rules; no line is shared with the meter.

- A chain is a series of an origin. It is zero where the origin begins and used what it last showed.
- A report with a higher number than any before extends its origin's chains; another one does not.
- What a series gained since its own last showing is spread evenly over the time since then.
- A series that falls, or gains more than its hardware can, refuses the whole report.
- Time in an origin never runs back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rackmeter.fleet.windows import WindowKey, shares
from schemas.meters import TIME_SLACK_MS, per_second_max
from schemas.report import Report
from schemas.verdict import Verdict

REMEMBERED: Final = 512
"""Numbers behind the highest one whose contents are known; older ones are late without a look."""
SPREAD_MS_MAX: Final = 400 * 86_400_000
TOLERANCE_MS: Final = 30_000
"""A wall clock that differs more than this from the broker's is corrected."""


class _Last(NamedTuple):
    """A series' own last showing."""

    value: int
    at_ms: int
    up_ms: int


class _Gain(NamedTuple):
    series: tuple[str, str]
    quantity: int
    since_ms: int
    up_ms: int
    """How long it took, by the boot clock."""


@dataclass(slots=True)
class _Origin:
    since_ms: int
    at_ms: int
    """The latest time that was read, or before any reading the time it is spread from."""
    seq_hi: int = 0
    last: dict[tuple[str, str], _Last] = field(default_factory=dict)
    contents: dict[int, tuple[object, ...]] = field(default_factory=dict)
    """What came under each remembered number."""


@dataclass(slots=True)
class _Server:
    origins: dict[str, _Origin] = field(default_factory=dict)
    running: str = ""


class Book:
    """``by_broker``: the log's time stamps are the broker's own, so they can prove a clock wrong.

    Otherwise they are the senders', and only a reading later than its own message is corrected.
    """

    def __init__(self, registered_ms: Mapping[str, int], *, by_broker: bool) -> None:
        self.windows: Counter[WindowKey] = Counter()
        self.corrected = 0
        """Reports that count, and whose wall clock was overruled."""
        self._registered_ms = registered_ms
        self._by_broker = by_broker
        self._servers: dict[str, _Server] = {}

    def enter(self, report: Report, stamp_ms: int) -> Verdict:
        """The next report that came in whole, signed by its server."""
        at_ms = self._read_at(report, stamp_ms)
        server = self._servers.setdefault(report.server, _Server())
        origin = server.origins.get(report.origin)
        if origin is not None and report.seq <= origin.seq_hi:
            return _not_newer(origin, report) if server.running == report.origin else Verdict.LATE
        over = origin is None and self._was_over(server, report, at_ms)
        extended = origin or self._begun(server, report, at_ms, over)
        gains = list(_gains(extended, report, at_ms))
        if verdict := _broken(gains):
            return verdict
        self._spread(report.server, gains, at_ms)
        _extend(extended, report, at_ms)
        if origin is None:
            server.origins[report.origin] = extended
            server.running = server.running if over else report.origin
        self.corrected += at_ms != report.at_ms
        return Verdict.ACCEPTED

    def _read_at(self, report: Report, stamp_ms: int) -> int:
        if not self._by_broker:
            return stamp_ms if report.at_ms > stamp_ms + TOLERANCE_MS else report.at_ms
        proven_ms = max(stamp_ms - max(report.sent_up_ms - report.at_up_ms, 0), 0)
        return proven_ms if abs(proven_ms - report.at_ms) > TOLERANCE_MS else report.at_ms

    def _was_over(self, server: _Server, report: Report, at_ms: int) -> bool:
        """Heard of only now, and read before the running origin began: it is a former one."""
        if not server.running:
            return False
        began_ms = server.origins[server.running].since_ms
        return report.since_ms < began_ms and at_ms <= began_ms

    def _begun(self, server: _Server, report: Report, at_ms: int, over: bool) -> _Origin:
        registered_ms = self._registered_ms.get(report.server, 0)
        from_ms = min(max(report.since_ms, registered_ms, at_ms - SPREAD_MS_MAX), at_ms)
        if server.running and not over:
            from_ms = max(from_ms, server.origins[server.running].at_ms)
        return _Origin(report.since_ms, from_ms)

    def _spread(self, server: str, gains: list[_Gain], at_ms: int) -> None:
        for (meter, resource), quantity, since_ms, _ in gains:
            if quantity:
                from_ms = max(since_ms, at_ms - SPREAD_MS_MAX)
                for start_ms, units in shares(quantity, from_ms, at_ms):
                    self.windows[server, meter, resource, start_ms] += units


def content_of(report: Report) -> tuple[object, ...]:
    """What makes two reports of one number the same; when they were sent does not."""
    return report.at_ms, report.at_up_ms, report.meter, report.resource, report.value


def _not_newer(origin: _Origin, report: Report) -> Verdict:
    """Of the running origin the contents of the newest numbers are remembered."""
    if report.seq <= origin.seq_hi - REMEMBERED:
        return Verdict.LATE
    content = content_of(report)
    known = origin.contents.setdefault(report.seq, ())
    if not known:
        origin.contents[report.seq] = content
        return Verdict.LATE
    return Verdict.DUPLICATE if known == content else Verdict.CONFLICT


def _gains(origin: _Origin, report: Report, at_ms: int) -> Iterator[_Gain]:
    for series, value in zip(
        zip(report.meter, report.resource, strict=True), report.value, strict=True
    ):
        own = origin.last.get(series)
        if own is None:
            lived_ms = max(report.at_up_ms, at_ms - report.since_ms)
            yield _Gain(series, value, origin.at_ms, lived_ms)
        else:
            yield _Gain(series, value - own.value, own.at_ms, report.at_up_ms - own.up_ms)


def _broken(gains: list[_Gain]) -> Verdict | None:
    """The contract that a report breaks; to fall is worse than to gain too much."""
    if any(gain.quantity < 0 for gain in gains):
        return Verdict.REGRESSION
    for (meter, _), quantity, _, took_ms in gains:
        seconds = max(-(-(took_ms + TIME_SLACK_MS) // 1000), 1)
        if quantity > per_second_max(meter) * seconds:
            return Verdict.IMPLAUSIBLE
    return None


def _extend(origin: _Origin, report: Report, at_ms: int) -> None:
    origin.seq_hi, origin.at_ms = report.seq, max(origin.at_ms, at_ms)
    for series, value in zip(
        zip(report.meter, report.resource, strict=True), report.value, strict=True
    ):
        origin.last[series] = _Last(value, origin.at_ms, report.at_up_ms)
    origin.contents[report.seq] = content_of(report)
    if len(origin.contents) > 2 * REMEMBERED:
        newest = report.seq - REMEMBERED
        origin.contents = {seq: known for seq, known in origin.contents.items() if seq > newest}
