"""Step 4 of a fixed fee: once, when booked, or for the share of the period it applies in. Pure.

A monthly fee counts in millionths of the period, as the difference of a rounded cumulative share
(elapsed time ÷ length of the period), so the parts of a month that a plan change cuts make one
month. It is due whole as soon as its time begins.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from pipeline.money import half_up
from pipeline.periods import closed, microseconds
from pipeline.rating.bookings import Booking
from pipeline.rating.cut import Group, Segment
from schemas.billing import Span
from schemas.prices import MONTH, Every, Fee


def due(segments: Group, period: Span, booked: Iterable[Booking] = ()) -> Group:
    """The segments of one charge with what each owes of the fee, in base units of its unit."""
    counts = {(b.row.item, b.row.charge, b.at): b.count for b in booked if period.start <= b.at}
    found = []
    for number, segment in enumerate(segments):
        begins = max(segment.row.valid.start, segment.item.valid.start)
        more = counts.pop((segment.row.item, segment.row.charge, begins), 0)
        found.append(replace(segment, used=_used(segment, number == 0, period, more)))
    return tuple(found)


def _used(segment: Segment, first: bool, period: Span, booked: int) -> int:
    """``booked``: how many of an add-on the segment is the first of."""
    fee, began = segment.charge.quantity, segment.item.valid.start
    if not isinstance(fee, Fee):
        return 0
    if fee.every is Every.BOOKED:
        return booked
    if fee.every is Every.ONCE:
        starts = period.start <= began and segment.row.valid.start <= began
        return fee.count if first and starts else 0
    if not segment.charge.prorate:
        return fee.count * MONTH.is_ if first else 0
    return fee.count * (_share(segment.end, period) - _share(segment.start, period))


def _share(instant: datetime, period: Span) -> int:
    """Millionths of the period that have passed, rounded half up."""
    length = microseconds(period.start, closed(period))
    return half_up(Fraction(microseconds(period.start, instant) * MONTH.is_, length))
