"""Metering in the words of a billing clerk: reports in, windows out. A parser for test tables.

One report a line: ``o1#2 00:07 tx=90 rx=5 -> accepted``: origin, seq, reading time on 1 March 2026
(``1/`` before it: the next day), counters, and the verdict it must get. ``up=600`` states the boot
clock in seconds where it is not the time since the origin began, ``append=10:00`` when the broker
had it where that was not at once. Windows: ``00:05 tx=40``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.heads import Reading
from pipeline.records import Names
from pipeline.windows import WIDTH_MS
from schemas.verdict import Verdict
from tests.pipeline.world import World, names, reading

DAY_MS = 86_400_000
MIDNIGHT = 20_513 * DAY_MS  # 2026-03-01T00:00Z
SERIES = {
    "tx": ("net.tx_bytes", "eth0"),
    "rx": ("net.rx_bytes", "eth0"),
    "t1": ("net.tx_bytes", "eth1"),
    "gpu": ("gpu.busy_ms", "GPU-0"),
    "x": ("any.units", ""),
}
SHORT = {series: name for name, series in SERIES.items()}
UNREGISTERED = "00:00"


@dataclass(frozen=True)
class Case:
    """``why`` is the sentence that a customer would be told."""

    name: str
    why: str
    reports: str
    windows: str
    late: str = ""
    cover: str | None = None
    since: Mapping[str, str] = field(default_factory=dict)
    """When an origin began; midnight when not said."""
    registered: str = UNREGISTERED

    @property
    def readings(self) -> list[Reading]:
        return [self._reading(line) for line in _lines(self.reports)]

    @property
    def verdicts(self) -> list[Verdict]:
        return [Verdict(line.partition("->")[2].strip()) for line in _lines(self.reports)]

    def _reading(self, line: str) -> Reading:
        identity, at, *rest = line.partition("->")[0].split()
        origin, _, seq = identity.partition("#")
        given = dict(pair.split("=") for pair in rest)
        up, append = given.pop("up", None), given.pop("append", at)
        made = reading(
            clock(at),
            [number(v) for v in given.values()],
            seq=int(seq),
            origin=origin,
            since_ms=clock(self.since.get(origin, "00:00")),
            up_ms=None if up is None else int(float(up) * 1000),
            series=series_of(list(given)),
        )
        return replace(made, registered_ms=clock(self.registered), append_ms=clock(append))


def clock(text: str) -> int:
    """``1/00:05:30.5`` in milliseconds."""
    day, _, time = text.rpartition("/")
    hours, minutes, seconds = [*time.split(":"), "0"][:3]
    in_day = (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)
    return MIDNIGHT + int(day or 0) * DAY_MS + in_day


def number(text: str) -> int:
    """``42``, ``2^63-17``."""
    power, _, minus = text.partition("-")
    base, _, exponent = power.partition("^")
    whole: int = int(base) ** int(exponent or 1)
    return whole - int(minus or 0)


def series_of(short: Sequence[str]) -> Names:
    return names(*(SERIES[name] for name in short))


def said_windows(world: World) -> dict[tuple[str, str], int]:
    """(window, series) → quantity, in the clerk's words."""
    return {(at(win), SHORT[m, r]): q for (_, win, m, r), q in world.windows().items()}


def said_late(world: World) -> list[tuple[str, str, int, str]]:
    return [
        (at(row.win_ms), SHORT[series], int(q), row.reason)
        for row in world.out.late
        for series, q in zip(row.names.series, row.qty, strict=True)
        if q
    ]


def said_cover(world: World) -> dict[str, int]:
    """Window → seconds that were observed."""
    return {at(win): ms // 1000 for (_, win), ms in world.cover().items()}


def windows(text: str) -> dict[tuple[str, str], int]:
    found = {}
    for line in _lines(text):
        win, *pairs = line.split()
        for name, quantity in (pair.split("=") for pair in pairs):
            found[win, name] = number(quantity)
    return found


def late(text: str) -> list[tuple[str, str, int, str]]:
    rows = []
    for line in _lines(text):
        win, pair, reason = line.split()
        name, quantity = pair.split("=")
        rows.append((win, name, number(quantity), reason))
    return rows


def cover(text: str) -> dict[str, int]:
    return {win: int(seconds) for win, seconds in (line.split() for line in _lines(text))}


def at(win_ms: int) -> str:
    """The start of a window as the clerk writes it."""
    assert win_ms % WIDTH_MS == 0
    days, in_day = divmod(win_ms - MIDNIGHT, DAY_MS)
    return f"{f'{days}/' if days else ''}{in_day // 3_600_000:02}:{in_day // 60_000 % 60:02}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]
