"""When add-ons were booked, by the price timeline. Pure.

Rows of one add-on that follow each other without a gap are one booking that went on: a new version
of the price list books nothing, a larger number books the difference when it begins.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.billing import PriceRow, Scope, Span
from schemas.prices import Every, Fee


@dataclass(frozen=True, slots=True)
class Booking:
    """``count`` of an add-on, from ``at`` on."""

    row: PriceRow
    at: datetime
    count: int
    until: Span
    """From ``at`` to when it was dropped or the item ended."""


def bookings(scope: Scope) -> list[Booking]:
    """Every booking of an add-on that is charged once, in order of item, add-on and time."""
    items = {item.item: item for item in scope.items}
    found: list[Booking] = []
    for run in _runs(scope):
        item, end, count = items.get(run[0].item), run[-1].valid.end, 0
        if item is None:
            continue
        for row in run:
            more = _count(row) - count
            count = _count(row)
            at = max(row.valid.start, item.valid.start)
            ends = [one for one in (end, item.valid.end) if one is not None]
            if more > 0 and all(at < one for one in ends):
                found.append(Booking(row, at, more, Span(at, min(ends, default=None))))
    return found


def _runs(scope: Scope) -> Iterator[list[PriceRow]]:
    """Rows of one add-on, each beginning where the one before ended."""
    rows: dict[tuple[str, str], list[PriceRow]] = defaultdict(list)
    for row in scope.prices:
        if _count(row):
            rows[row.item, row.charge].append(row)
    for key in sorted(rows):
        run: list[PriceRow] = []
        for row in sorted(rows[key], key=lambda one: one.valid.start):
            if run and run[-1].valid.end != row.valid.start:
                yield run
                run = []
            run.append(row)
        yield run


def _count(row: PriceRow) -> int:
    """How many are booked; 0 of what is no such add-on."""
    fee = row.price.quantity
    return fee.count if isinstance(fee, Fee) and fee.every is Every.BOOKED else 0
