"""Step 4 of rent by the hour: hours started since the item was handed over. Pure.

Hours are a cumulative function of the item: c(t) = ceil((t − start) ÷ 1 h). A segment bills
c(end) − c(begin), the hours that start in it, so midnight on the 1st adds none and neither does a
price change.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pipeline.periods import MICROSECOND
from pipeline.rating.cut import Group, Segment
from schemas.prices import HOUR as UNIT

HOUR: Final = timedelta(hours=1)


def hours_started(start: datetime, instant: datetime) -> int:
    """Hours since ``start`` that have begun before ``instant``: c(t), and 0 before the start."""
    return max(0, -((start - instant) // HOUR))


def started(segments: Group, as_of: datetime) -> Group:
    """The segments with the hours that started in each by ``as_of``, whole, in milliseconds."""
    return tuple(replace(segment, used=_used(segment, as_of)) for segment in segments)


def next_hour(segment: Segment, as_of: datetime) -> datetime | None:
    """The first instant after ``as_of`` at which a further hour of the segment has started.

    That is one microsecond after the full hour: at the full hour itself c(t) has not grown yet, and
    a sweep at that instant would find nothing to do for ever.
    """
    start = segment.item.valid.start
    hour = start + hours_started(start, max(as_of, segment.start)) * HOUR
    return hour + MICROSECOND if hour < segment.end else None


def _used(segment: Segment, as_of: datetime) -> int:
    start = segment.item.valid.start
    end = max(segment.start, min(segment.end, as_of))
    return (hours_started(start, end) - hours_started(start, segment.start)) * UNIT.is_
