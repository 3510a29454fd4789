"""When a fee that is charged once falls due: with the first time of its charge that is not free.

Pure. A set-up is owed where the charge was there when the item began, one of an add-on with each
booking, until it is dropped. Whatever the price row is by then says what it costs; of what is free
all the time nothing ever falls due.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from pipeline.periods import closed
from pipeline.rating.bookings import bookings
from pipeline.rating.cut import charged
from schemas.billing import Interval, Item, PriceRow, Scope, Span
from schemas.prices import Every, Fee

Due = tuple[str, str, datetime]
"""Item, charge and instant, at which a segment starts."""
Rows = dict[tuple[str, str, Every], list[PriceRow]]


def owed(scope: Scope, period: Span) -> Counter[Due]:
    """How many fall due when, in the period and before: each counts in one period alone."""
    items, rows = {item.item: item for item in scope.items}, _rows(scope)
    free: dict[str, list[Interval]] = defaultdict(list)
    for interval in scope.intervals:
        free[interval.item].append(interval)
    found: Counter[Due] = Counter()
    for name, charge, every, owing, count in (*_set_ups(items, rows), *_booked(scope)):
        until_now = owing.clip(owing.start, closed(period))
        if until_now is None:
            continue
        for row in rows[name, charge, every]:
            first = next(charged(row, items[name], until_now, free[name]), None)
            if first is not None:
                found[name, charge, first.start] += count
                break
    return found


Claim = tuple[str, str, Every, Span, int]
"""Item, charge, kind of fee; from when to when it may fall due, how many times."""


def _set_ups(items: dict[str, Item], rows: Rows) -> Iterator[Claim]:
    for (name, charge, every), mine in rows.items():
        if every is Every.ONCE and name in items:
            rented = items[name].valid
            if any(row.valid.holds(rented.start) for row in mine):
                yield name, charge, every, rented, 1


def _booked(scope: Scope) -> Iterator[Claim]:
    for one in bookings(scope):
        yield one.row.item, one.row.charge, Every.BOOKED, one.until, one.count


def _rows(scope: Scope) -> Rows:
    """Of fees that are charged once, in order of time."""
    found: Rows = defaultdict(list)
    for row in sorted(scope.prices, key=lambda row: row.valid.start):
        fee = row.price.quantity
        if isinstance(fee, Fee) and fee.every is not Every.MONTH:
            found[row.item, row.charge, fee.every].append(row)
    return found
