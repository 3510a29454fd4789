"""What each charge of a scope has come to: the lines of ``price``, summed for display. Pure.

Derived, and never read back into a price: whoever bills calls ``price`` with the inputs again.
"""

from dataclasses import dataclass
from decimal import Decimal

from schemas.billing import Line, LineKind, Scope
from schemas.prices import Percentile


@dataclass(frozen=True, slots=True)
class Figure:
    """One charge of one item, over all of its lines in the period."""

    item: str
    charge: str
    unit: str
    """The billing unit; the one of the newest price."""
    unit_size: int
    """Base units in it."""
    used: int
    """Base units: metered before the allowance, milliseconds rented, or those of a window that a
    percentile comes to."""
    included: int
    """Base units included in the period; 0 for rent."""
    net: Decimal
    currency: str


def figures(scope: Scope, lines: tuple[Line, ...]) -> tuple[Figure, ...]:
    """By item and charge; ``lines`` are those of the scope, in the order of ``price``."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.item, line.charge), []).append(line)
    return tuple(_figure(scope, mine) for mine in found.values())


def _figure(scope: Scope, lines: list[Line]) -> Figure:
    newest = lines[-1]
    priced = [line for line in lines if line.kind is LineKind.CHARGE]
    row = next(
        (r for r in scope.prices if priced and (r.item, r.charge) == (newest.item, newest.charge)
         and r.valid.holds(priced[-1].service.start)), None,
    )  # fmt: skip
    # A rate is that of the whole period on each part of it, and adds up to nothing.
    total = max if row and isinstance(row.price.quantity, Percentile) else sum
    return Figure(
        item=newest.item,
        charge=newest.charge,
        unit=row.price.unit.name if row else newest.unit,
        unit_size=row.price.unit.is_ if row else 1,
        used=total(line.base_quantity for line in lines),
        # What is left of the allowance before the first line is all of it.
        included=max(line.allowance for line in lines),
        net=sum((line.net for line in lines), Decimal(0)),
        currency=scope.currency,
    )
