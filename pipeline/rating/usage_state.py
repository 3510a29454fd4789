"""How far the use of each metered charge has come, live. Pure; steps 1 to 5 of ``price``."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.attribute import attribute
from pipeline.rating.aggregate import aggregate
from pipeline.rating.allowance import allowance
from pipeline.rating.cut import Segment, cut
from pipeline.rating.gate import gate
from schemas.billing import Inputs, Overage, Scope, Span, Unit


@dataclass(frozen=True, slots=True)
class Progress:
    """Use of one charge of one item in the period so far."""

    item: str
    charge: str
    used: int
    """Base units."""
    allowance: int
    """Base units included in this period, prorated."""
    percent: int
    """Whole percent of the allowance, rounded down; 0 when nothing is included."""
    unit: Unit
    """The billing unit, for display."""
    alerts: tuple[int, ...]
    limit_version: str
    """Changes when the agreed limit does, and not when proration moves the figure."""


def progress(scope: Scope, inputs: Inputs, as_of: datetime) -> tuple[Progress, ...]:
    """One entry for each metered charge that has begun by ``as_of``, by item and charge."""
    period = gate(scope, inputs)
    owned = attribute(scope, inputs).owned
    groups = [aggregate(segments, owned) for segments in cut(scope, period, Overage)]
    return tuple(_progress(period, group, as_of) for group in groups if group[0].start < as_of)


def _progress(period: Span, segments: tuple[Segment[Overage], ...], as_of: datetime) -> Progress:
    begun = [segment for segment in segments if segment.start < as_of]
    row, model = begun[-1].row, begun[-1].model
    used = sum(segment.used for segment in begun)
    included = allowance(period, segments)
    return Progress(
        item=row.item,
        charge=row.charge,
        used=used,
        allowance=included,
        percent=used * 100 // included if included else 0,
        unit=model.unit,
        alerts=model.alerts,
        limit_version=f"{row.version}/{model.allowance}",
    )
