"""What happens to a server's reports between its network card and the topic. Pure.

Harmless mishaps (lost, sent twice, overtaken) happen to true reports. Twisted messages are extra:
each is made from a true report and must be refused for one reason. Nothing touches the readings
that a period's total hangs on: those around its edges, around a boot, and the first and the last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rackmeter.fleet.life import Life
from rackmeter.fleet.plan import FleetPlan
from schemas.verdict import Verdict

TWISTS: Final = (
    Verdict.MALFORMED,
    Verdict.UNKNOWN_VERSION,
    Verdict.FOREIGN,
    Verdict.UNSIGNED,
    Verdict.UNKNOWN_KEY,
    Verdict.FORGED,
    Verdict.CONFLICT,
    Verdict.REGRESSION,
    Verdict.IMPLAUSIBLE,
)
BLOCK: Final = 8
"""At most one mishap in this many readings, so that no two of them meet."""
PROTECTED: Final = 3
"""Readings on either side of an edge or an event that always arrive, in order, and first."""
# Of a million blocks, times ``plan.mishaps``. A month of 50 servers has about 56,000.
_LOST_PPM, _TWICE_PPM, _OVERTAKEN_PPM = 8_000, 4_000, 3_000


@dataclass(frozen=True, slots=True)
class Send:
    """One message: a reading, and what the meter must make of it."""

    reading: int
    verdict: Verdict = Verdict.ACCEPTED


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is sent when a reading is due: usually that reading, otherwise what stands here."""

    life: Life
    instead: dict[int, tuple[Send, ...]] = field(default_factory=dict)
    lost: int = 0

    def due(self, reading: int) -> tuple[Send, ...]:
        """The messages of one interval, in order."""
        unusual = self.instead.get(reading)
        return (Send(reading),) if unusual is None else unusual

    def sends(self) -> Iterator[Send]:
        """Every message of this server, in order."""
        for reading in self.life.taken:
            yield from self.due(reading)

    def counts(self) -> Counter[Verdict]:
        """How many messages must end in each verdict."""
        usual = len(self.life.taken) - len(self.instead)
        unusual = Counter(send.verdict for sends in self.instead.values() for send in sends)
        return unusual + Counter({Verdict.ACCEPTED: usual})


def schedules(plan: FleetPlan, lives: Iterable[Life]) -> list[Schedule]:
    """The schedule of every server; the twisted messages are dealt out over the fleet."""
    return [_schedule(plan, life, twists) for life, twists in zip(lives, _deal(plan), strict=True)]


def _deal(plan: FleetPlan) -> list[list[Verdict]]:
    """Which server sends which twisted messages: of each kind one in five servers, at least one."""
    rng = plan.rng(4)
    dealt: list[list[Verdict]] = [[] for _ in range(plan.servers)]
    for twist in TWISTS if plan.mishaps else ():
        for _ in range(max(1, plan.servers // 5)):
            dealt[int(rng.integers(0, plan.servers))].append(twist)
    return dealt


def _schedule(plan: FleetPlan, life: Life, twists: list[Verdict]) -> Schedule:
    if not plan.mishaps:
        return Schedule(life)
    rng = plan.rng(5, life.machine.index)
    blocks = _blocks(plan, life)
    chosen = rng.permutation(len(blocks))
    instead: dict[int, tuple[Send, ...]] = {}
    for twist, index in zip(twists, chosen.tolist(), strict=False):
        block = blocks[index]
        instead[block[4]] = _twisted(twist, block[4])
    lost = 0
    for index in chosen[len(twists) :].tolist():
        draw = int(rng.integers(0, 1_000_000)) // plan.mishaps
        lost += _harmless(draw, rng, blocks[index], instead)
    return Schedule(life, instead, lost)


def _blocks(plan: FleetPlan, life: Life) -> list[list[int]]:
    """Runs of neighbouring readings, all taken, all of one origin, none protected."""
    protected = _protected(plan, life)
    free = np.array([i for i in life.taken if i not in protected], np.int64)
    runs = np.split(free, np.flatnonzero(np.diff(free) != 1) + 1)
    return [
        run[start : start + BLOCK].tolist()
        for run in runs
        for start in range(0, len(run) - BLOCK + 1, BLOCK)
    ]


def _protected(plan: FleetPlan, life: Life) -> set[int]:
    """The readings within reach of anything a total depends on."""
    edges = [int(np.searchsorted(life.at_ms, edge)) for edge in (plan.start_ms, plan.end_ms)]
    boots = np.flatnonzero(np.diff(life.origin)).tolist()
    silences = np.flatnonzero(np.diff(life.seq == 0)).tolist()
    news = [first for first in life.first if first]
    special = [0, len(life) - 1, *edges, *boots, *silences, *news]
    return {at + step for at in special for step in range(-PROTECTED, PROTECTED + 1)}


def _twisted(twist: Verdict, reading: int) -> tuple[Send, ...]:
    """A conflict needs the true report before it; every other one comes first."""
    true, false = Send(reading), Send(reading, twist)
    return (true, false) if twist is Verdict.CONFLICT else (false, true)


def _harmless(
    draw: int, rng: np.random.Generator, block: list[int], instead: dict[int, tuple[Send, ...]]
) -> int:
    """Perhaps one mishap in this block; returns how many reports it lost."""
    at = block[2]
    if draw < _LOST_PPM:
        instead[at] = ()
        return 1
    if draw < _LOST_PPM + _TWICE_PPM:
        _twice(at, block[2 + int(rng.integers(0, 5))], instead)
    elif draw < _LOST_PPM + _TWICE_PPM + _OVERTAKEN_PPM:
        instead[at] = (Send(at + 1),)
        instead[at + 1] = (Send(at, Verdict.LATE),)
    return 0


def _twice(at: int, again: int, instead: dict[int, tuple[Send, ...]]) -> None:
    """Sent at once again, or up to four readings later."""
    second = Send(at, Verdict.DUPLICATE)
    if again == at:
        instead[at] = (Send(at), second)
    else:
        instead[again] = (Send(again), second)
