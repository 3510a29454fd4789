"""What each charge of a scope has come to: the lines of ``price``, summed for display. Pure.

Derived, and never read back into a price: whoever bills calls ``price`` with the inputs again.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from schemas.billing import HourlyCap, Line, Model, Scope

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One charge of one item, over all of its lines in the period."""

    item: str
    charge: str
    unit: str
    """The billing unit; the one of the newest line."""
    unit_size: int
    """Base units in it."""
    used: int
    """Base units: metered before the allowance, or milliseconds rented."""
    included: int
    """Base units included in the period; 0 for rent."""
    net: Decimal
    currency: str


def figures(scope: Scope, lines: tuple[Line, ...]) -> tuple[Figure, ...]:
    """By item and charge; ``lines`` are those of the scope, in the order of ``price``."""
    sizes = {(row.item, row.charge, _unit(row.model)): _size(row.model) for row in scope.prices}
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.item, line.charge), []).append(line)
    return tuple(
        Figure(
            item=item,
            charge=charge,
            unit=mine[-1].unit,
            unit_size=sizes[item, charge, mine[-1].unit],
            used=sum(line.base_quantity for line in mine),
            # What is left of the allowance before the first line is all of it.
            included=max(line.allowance for line in mine),
            net=sum((line.net for line in mine), Decimal(0)),
            currency=scope.currency,
        )
        for (item, charge), mine in found.items()
    )


def _unit(model: Model) -> str:
    return "hour" if isinstance(model, HourlyCap) else model.unit.name


def _size(model: Model) -> int:
    return HOUR_MS if isinstance(model, HourlyCap) else model.unit.is_
