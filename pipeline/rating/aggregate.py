"""Step 4 of metered use: what each segment of a charge used. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pipeline.attribute import Owned, divide
from pipeline.rating.cut import Group, Segment
from schemas.billing import Usage
from schemas.prices import Sum


def aggregate(segments: Group, owned: Iterable[Owned]) -> Group:
    """The segments of one charge with their sums; a row that a price change cuts is split."""
    edges = [edge for segment in segments for edge in (segment.start, segment.end)]
    rows = [part.usage for part in owned if part.item == segments[0].item.item]
    parts = [piece for row in rows for piece in divide(row, edges)]
    return tuple(replace(segment, used=_sum(segment, parts)) for segment in segments)


def _sum(segment: Segment, parts: Iterable[Usage]) -> int:
    def inside(instant: datetime) -> bool:
        return segment.start <= instant < segment.end

    quantity = segment.charge.quantity
    meters = quantity.meters if isinstance(quantity, Sum) else ()
    return sum(p.quantity for p in parts if p.meter in meters and inside(p.start))
