"""Step 2: cut the period by the timelines into segments, each with one item at one price. Pure.

Discounts and commitments that begin or end in it cut as price changes do.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from pipeline.periods import MICROSECOND, closed, microseconds
from pipeline.rating.terms import edges
from schemas.billing import Interval, Item, Lot, PriceRow, Scope, Span
from schemas.prices import Charge, Every, Fee


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of the period in which an item had one price; later steps fill in the quantities."""

    item: Item
    row: PriceRow
    start: datetime
    end: datetime
    used: int = 0
    """Base units, by step 4."""
    included: int = 0
    """Base units of allowance and lots that are left when the segment begins, by step 5."""
    lots: tuple[Lot, ...] = ()
    """What the period leaves to later ones: on the last segment that draws, by step 5."""
    coverage: Fraction = Fraction(1)
    """Of a percentile: the part of the windows that was measured."""

    @property
    def charge(self) -> Charge:
        return self.row.price

    @property
    def title(self) -> str:
        """What its item is called; where that has two plans in it, as the later one."""
        return self.item.title_at(self.end - MICROSECOND)

    @property
    def length(self) -> int:
        """Microseconds."""
        return microseconds(self.start, self.end)


Group = tuple[Segment, ...]
"""The segments of one charge of one item, in order of time; never empty."""


def cut(scope: Scope, period: Span) -> list[Group]:
    """The segments of each charge of each item, without the intervals in which it is free.

    A charge that comes to measure another thing (bytes, then hours) is two: their allowances do not
    mix. What is charged by time is cut where terms that count it begin and end.
    """
    items = {item.item: item for item in scope.items}
    agreed: dict[str, list[datetime]] = {}
    groups: dict[tuple[str, str, str], list[Segment]] = defaultdict(list)
    for row in scope.prices:
        item = items.get(row.item)
        if item is None:
            continue
        if row.charge not in agreed:
            agreed[row.charge] = edges(scope, period, row.charge)
        for span in charged(row, item, period, scope.intervals):
            groups[row.item, row.charge, measured(row.price)] += [
                Segment(item, row, start, end)
                for start, end in _parted(span, agreed[row.charge] if _by_time(row.price) else ())
            ]
    return [tuple(sorted(groups[key], key=lambda s: s.start)) for key in sorted(groups)]


def _by_time(charge: Charge) -> bool:
    """Not a fee that is charged whole."""
    fee = charge.quantity
    return not isinstance(fee, Fee) or (fee.every is Every.MONTH and charge.prorate)


def _parted(span: Span, at: Iterable[datetime]) -> Iterator[tuple[datetime, datetime]]:
    end = closed(span)
    return pairwise((span.start, *(edge for edge in at if span.start < edge < end), end))


def charged(
    row: PriceRow, item: Item, period: Span, intervals: Iterable[Interval]
) -> Iterator[Span]:
    """The spans of the period in which the row's price is charged."""
    in_period = row.valid.clip(period.start, closed(period))
    rented = item.valid.clip(in_period.start, closed(in_period)) if in_period else None
    if rented is None:
        return
    start, end = rented.start, closed(rented)
    mine = (i.valid for i in intervals if i.item == row.item and i.kind in row.price.free)
    for free in sorted(part for span in mine if (part := span.clip(start, end))):
        if start < free.start:
            yield Span(start, free.start)
        start = max(start, closed(free))
    if start < end:
        yield Span(start, end)


def measured(charge: Charge) -> str:
    """What it measures, as a name."""
    return f"{type(charge.quantity).__name__} {charge.unit.of or charge.unit.name}"
