"""Step 4 of a fixed fee: once, when booked, or for the share of the period it applies in. Pure.

A monthly fee counts in millionths of the period, as the difference of a rounded cumulative share
(elapsed time ÷ length of the period), so the parts of a month that a plan change cuts make one
month. It is due whole as soon as its time begins.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

from pipeline.money import half_up
from pipeline.periods import closed, microseconds
from pipeline.rating.cut import Group, Segment
from pipeline.rating.once import Due
from schemas.billing import Span
from schemas.prices import MONTH, Every, Fee


def due(segments: Group, period: Span, owing: Mapping[Due, int]) -> Group:
    """The segments of one charge with what each owes of the fee, in base units of its unit;
    ``owing`` says what is charged once.
    """
    return tuple(
        replace(one, used=_used(one, number == 0, period, owing))
        for number, one in enumerate(segments)
    )


def _used(segment: Segment, first: bool, period: Span, owing: Mapping[Due, int]) -> int:
    fee, row = segment.charge.quantity, segment.row
    if not isinstance(fee, Fee):
        return 0
    if fee.every is not Every.MONTH:
        times = owing.get((row.item, row.charge, segment.start), 0)
        return times if fee.every is Every.BOOKED else times * fee.count
    if not segment.charge.prorate:
        return fee.count * MONTH.is_ if first else 0
    return fee.count * (_share(segment.end, period) - _share(segment.start, period))


def _share(instant: datetime, period: Span) -> int:
    """Millionths of the period that have passed, rounded half up."""
    length = microseconds(period.start, closed(period))
    return half_up(Fraction(microseconds(period.start, instant) * MONTH.is_, length))
