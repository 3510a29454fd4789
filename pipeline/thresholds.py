"""Which alert thresholds the current use has reached. Pure; who was told already is kept elsewhere.

Every threshold at or below the use is returned each time; inserting one is unique by (threshold,
scope, period, limit version, kind), so a repetition is silent and a changed limit tells again.
Nothing crosses where nothing is included: a percentage of zero has no meaning.
"""

from dataclasses import dataclass
from datetime import datetime

from pipeline.rating.usage_state import Progress, progress
from schemas.billing import Inputs, Scope
from schemas.prices import Unit


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that the use has reached."""

    threshold: str
    """``item/charge/80%``."""
    percent: int
    item: str
    charge: str
    used: int
    """Base units, like ``allowance``."""
    allowance: int
    unit: Unit
    """The billing unit, for display."""
    limit_version: str
    kind: str = "crossed"


def crossings(scope: Scope, inputs: Inputs, as_of: datetime) -> tuple[Crossing, ...]:
    """Every threshold at or below the use at ``as_of``, by item, charge and percent."""
    return tuple(
        _crossing(state, percent)
        for state in progress(scope, inputs, as_of)
        for percent in sorted(set(state.alerts))
        if reached(state, percent)
    )


def reached(state: Progress, percent: int) -> bool:
    """True from the exact base unit on at which the use is ``percent`` of the allowance."""
    return state.allowance > 0 and state.used * 100 >= state.allowance * percent


def _crossing(state: Progress, percent: int) -> Crossing:
    return Crossing(
        threshold=f"{state.item}/{state.charge}/{percent}%",
        percent=percent,
        item=state.item,
        charge=state.charge,
        used=state.used,
        allowance=state.allowance,
        unit=state.unit,
        limit_version=state.limit_version,
    )
