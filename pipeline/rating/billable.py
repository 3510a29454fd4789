"""Step 6: what is billed of a segment, exactly and in steps of the billing unit. Pure.

Rounds here: the exact fraction to the unit's step, half up. What is included is taken off in base
units first; a share (a MIG slice) and the time of a rate are multiplied in before any rounding.
After a change of plan a charge may be billed in another unit than before (GB, then TB): what came
before counts in the new one, in its steps.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.money import round_step
from pipeline.periods import closed, microseconds
from pipeline.rating.cut import Group, Segment
from schemas.billing import Span
from schemas.prices import Percentile, Unit


@dataclass(frozen=True, slots=True)
class Billable:
    """A segment and what is billed of it, in the billing unit."""

    segment: Segment
    exact: Fraction
    quantity: Decimal
    """``exact`` in steps of the unit."""


def billable(period: Span, group: Group, segment: Segment) -> Billable:
    charge, unit = segment.charge, segment.charge.unit
    over = max(0, segment.used - segment.included)
    exact = Fraction(over * charge.share.taken, unit.is_ * charge.share.whole)
    if isinstance(charge.quantity, Percentile):
        exact *= time_share(period, group, segment)
    return Billable(segment, exact, round_step(exact, unit.step))


def in_unit(quantity: Decimal, unit: Unit, other: Unit) -> Decimal:
    """Billing units of one unit in those of another of the same base unit."""
    if unit.is_ == other.is_:
        return quantity
    return round_step(Fraction(quantity) * unit.is_ / other.is_, other.step)


def time_share(period: Span, group: Group, segment: Segment) -> Fraction:
    """Which part of a month the segment is; of the time owned where nothing is prorated."""
    whole = microseconds(period.start, closed(period))
    if not segment.charge.prorate:
        whole = sum(part.length for part in group)
    return Fraction(segment.length, whole)
