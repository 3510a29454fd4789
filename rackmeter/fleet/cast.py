"""Who meets which adversity: every server its own clock, upheavals, way to the topic and spelling.

Each is dealt out by itself, so that over some seeds every one meets every other. A fleet with as
many servers as the longest row has members meets all of them at once. Pure.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from rackmeter.fleet.adversity import Adversity
from rackmeter.fleet.clocks import Clock, told
from rackmeter.fleet.delivery import Route
from rackmeter.fleet.diary import Diary, diary_of
from rackmeter.fleet.life import live
from rackmeter.fleet.plan import FleetPlan, Machine, machines
from rackmeter.fleet.spelling import Spelling
from rackmeter.fleet.upheaval import Upheaval, endured

ALL_AT_ONCE: Final = len(Upheaval)
"""Servers with which every adversity occurs."""
_ROUTES: Final = {
    Route.RETRIED: Adversity.RETRY,
    Route.JUMBLED: Adversity.DISORDER,
    Route.SHUFFLED: Adversity.DISORDER,
    Route.SPOOLED: Adversity.DISORDER,
}
_T = TypeVar("_T")


class Part(NamedTuple):
    """What one server is given."""

    machine: Machine
    upheaval: Upheaval
    clock: Clock
    route: Route
    spelling: Spelling


def parts(plan: FleetPlan) -> list[Part]:
    """The parts of a plan's servers."""
    on = set(plan.adversities)
    routes = [Route.PROMPT, *(route for route, family in _ROUTES.items() if family in on)]
    upheavals = list(Upheaval) if Adversity.COUNTER in on else [Upheaval.NONE]
    clocks = list(Clock) if Adversity.CLOCK in on else [Clock.TRUE]
    spellings = list(Spelling) if Adversity.MIXED in on else [Spelling.CANONICAL]
    dealt = (
        machines(plan),
        _deal(plan, 0, upheavals),
        _deal(plan, 1, clocks),
        _deal(plan, 2, routes),
        _deal(plan, 3, spellings),
    )
    return [Part(*each) for each in zip(*dealt, strict=True)]


def diary(plan: FleetPlan, part: Part) -> Diary:
    """What a server's agent wrote, by its own clock."""
    if part.upheaval is Upheaval.NONE:
        written = diary_of(live(plan, part.machine))
    else:
        written = endured(part.upheaval, plan, part.machine)
    return told(part.clock, plan.rng(21, part.machine.index), written)


def _deal(plan: FleetPlan, row: int, members: Sequence[_T]) -> list[_T]:
    order = plan.rng(20, row).permutation(len(members)).tolist()
    return [members[order[index % len(members)]] for index in range(plan.servers)]
