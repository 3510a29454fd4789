"""Step 4 of an allocation: the time of the timeline, never of reports. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pipeline.rating.cut import Group, Segment
from schemas.prices import Allocation

MILLISECOND: Final = timedelta(milliseconds=1)


def allocated(segments: Group, as_of: datetime) -> Group:
    """Milliseconds of each segment up to ``as_of``, times how many were allocated.

    Whole milliseconds since the item began are counted between instants, so that a cut loses and
    gains none.
    """
    return tuple(replace(segment, used=_used(segment, as_of)) for segment in segments)


def _used(segment: Segment, as_of: datetime) -> int:
    quantity, origin = segment.charge.quantity, segment.item.valid.start
    count = quantity.count if isinstance(quantity, Allocation) else 0
    end = max(segment.start, min(segment.end, as_of))
    return count * ((end - origin) // MILLISECOND - (segment.start - origin) // MILLISECOND)
