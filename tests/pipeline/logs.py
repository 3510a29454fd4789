"""Random logs of a topic for the laws of metering: years of a few servers, in a few reports each.

A log is *honest* when every report says what its machine counted: reports may be lost, repeated and
out of order, clocks may step, origins may mix; but no counter falls, none exceeds its bound, no
number is used twice, and the last report of an origin shows every series that the origin showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from pipeline.heads import Reading
from pipeline.windows import WIDTH_MS
from schemas.meters import UNBOUNDED_PER_SECOND, per_second_max
from schemas.report import VALUE_MAX
from tests.pipeline.clerk import DAY_MS, MIDNIGHT, SERIES, series_of
from tests.pipeline.world import reading

USUAL = ("tx", "rx")
SETS = (USUAL, USUAL, USUAL, ("rx", "tx"), ("tx",), ("gpu", "tx"), ("tx", "rx", "gpu", "x"))
"""Mostly the same; in another order, with less, with others, with more."""
STEPS_MS = (0, 1, 60_000, 299_999, WIDTH_MS, WIDTH_MS + 1, 900_000, 900_001)
LONG_MS = 25 * DAY_MS
"""Past the 2**31 ms of a matrix. (Past the 400 days of a spread is a clerk's case: too slow here.)
"""
LIES = (0, 2**62, VALUE_MAX)
Log = list[Reading]


@dataclass
class Machine:
    """One server: its clocks, its running origin and what it counted."""

    server: str
    honest: bool
    registered_ms: int
    at_ms: int
    up_ms: int = 0
    since_ms: int = 0
    origin: int = 0
    seq: int = 0
    truth: dict[str, int] = field(default_factory=dict)
    left: int = VALUE_MAX - 2**60
    """Of the series without a bound: a window holds 64 bits, whichever origins fill it."""
    log: Log = field(default_factory=list)
    shown: dict[str, None] = field(default_factory=dict)

    def begin(self, up_ms: int, since_ms: int) -> None:
        """A new origin: after a boot, or because the agent's memory was lost."""
        self.complete()
        self.origin, self.seq, self.up_ms, self.since_ms = self.origin + 1, 0, up_ms, since_ms
        self.truth, self.shown = dict.fromkeys(("tx", "rx", "gpu", "x"), 0), {}

    def report(self, shown: Sequence[str]) -> None:
        self.shown |= dict.fromkeys(shown)
        made = reading(
            self.at_ms, [self.truth[name] for name in shown], seq=self.seq,
            origin=f"o{self.origin}", server=self.server, since_ms=self.since_ms,
            up_ms=self.up_ms, series=series_of(shown),
        )  # fmt: skip
        self.log.append(replace(made, registered_ms=self.registered_ms))

    def complete(self) -> None:
        """The last report of an honest origin shows all its series."""
        if self.honest and self.shown:
            value = np.array([self.truth[name] for name in self.shown])
            names = series_of(list(self.shown))
            self.log[-1] = replace(self.log[-1], names=names, value=value)

    def lie(self, value: int) -> None:
        last = self.log[-1]
        self.log[-1] = replace(last, value=np.array([value, *last.value[1:]]), content=1)


@st.composite
def logs(draw: st.DrawFn, *, honest: bool = False) -> Log:
    lives = [_life(draw, f"s{i}", honest=honest) for i in range(draw(st.integers(1, 3)))]
    turns = draw(st.permutations([i for i, life in enumerate(lives) for _ in life]))
    rest = [iter(life) for life in lives]
    return [next(rest[i]) for i in turns]


@st.composite
def restless_logs(draw: st.DrawFn) -> Log:
    """One server whose wall clock jumps about within two windows, with and without reboots."""
    times = draw(st.lists(st.integers(0, 8), min_size=4, max_size=12))
    origins = draw(st.sampled_from(["1" * 12, "112222333333"]))
    return [
        reading(
            MIDNIGHT + 60_000 * minute, [i], seq=i, origin=f"o{origin}", up_ms=60_000 * i,
            since_ms=MIDNIGHT, series=series_of(["x"]),
        )
        for i, (minute, origin) in enumerate(zip(times, origins, strict=False), 1)
    ]  # fmt: skip


def _life(draw: st.DrawFn, server: str, *, honest: bool) -> Log:
    start = MIDNIGHT - draw(st.sampled_from([1, WIDTH_MS, 2 * WIDTH_MS + 7, 3 * DAY_MS]))
    registered = draw(st.sampled_from([0, 0, start - 200_000, start + WIDTH_MS]))
    odd, up_ms = draw(st.booleans()), draw(st.sampled_from([0, 1000, 2 * WIDTH_MS]))
    machine = Machine(server, honest, registered, start)
    if honest:
        machine.left = UNBOUNDED_PER_SECOND  # even when all of it is gained in one second
    machine.begin(up_ms, start - up_ms)
    for _ in range(draw(st.integers(1, 10))):
        if odd:
            _mishap(draw, machine)
        machine.seq += draw(st.sampled_from([1, 1, 1, 2, 600]))
        _pass(draw, machine, draw(st.sampled_from([*STEPS_MS, -machine.at_ms % DAY_MS])))
        machine.report(draw(st.sampled_from(SETS)) if odd else USUAL)
        if odd and not honest and draw(st.integers(0, 9)) == 0:
            machine.lie(draw(st.sampled_from(LIES)))
    machine.complete()
    return _disturbed(draw, machine) if odd else machine.log


def _mishap(draw: st.DrawFn, machine: Machine) -> None:
    match draw(st.integers(0, 12)):
        case 0 | 1:
            up_ms = draw(st.sampled_from([0, 500]))
            machine.begin(up_ms, machine.at_ms - up_ms)
        case 2:
            machine.begin(machine.up_ms, machine.at_ms)
        case 3 | 4:
            step = draw(st.sampled_from([1, 60_000, WIDTH_MS, 3 * WIDTH_MS, DAY_MS]))
            machine.at_ms += draw(st.sampled_from([-1, 1])) * step
        case 5 if draw(st.integers(0, 3)) == 0:
            _pass(draw, machine, LONG_MS)
        case 6 if not machine.honest and machine.seq:
            machine.seq -= 1


def _pass(draw: st.DrawFn, machine: Machine, ms: int) -> None:
    """Time passes; counters count as much as they can, or less."""
    machine.at_ms, machine.up_ms = machine.at_ms + ms, machine.up_ms + ms
    for name in machine.truth:
        if name == "x":
            gained = min(machine.left, draw(st.sampled_from([0, 7, 2**61, 2**62])))
            machine.left -= gained
        else:
            most = min(per_second_max(SERIES[name][0]) * ms // 1000, 2**58)
            gained = draw(st.sampled_from([0, most, most // 3, most // 7 * 5]))
        machine.truth[name] += gained


def _disturbed(draw: st.DrawFn, machine: Machine) -> Log:
    """Some reports twice, some at another place of the log."""
    log = machine.log
    for _ in range(draw(st.integers(0, 4))):
        one = log[draw(st.integers(0, len(log) - 1))]
        if draw(st.booleans()):
            log = [r for r in log if r is not one]
        log.insert(draw(st.integers(0, len(log))), one)
    return log
