"""Step 6: what is billed of a segment, exactly and in steps of the billing unit. Pure.

Rounds here: the exact fraction to the unit's step, half up, once for all segments of a charge in
one unit: a segment bills the rounded sum up to its end less what those before it were billed, so
that a cut adds and loses nothing. What is included is taken off in base units first; a share (a MIG
slice) and the time of a rate are multiplied in before any rounding.
After a change of plan a charge may be billed in another unit than before (GB, then TB): what came
before counts in the new one, in its steps, and is rounded apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
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
    due: Fraction
    """``exact`` with what rounding left of the segments before it; below zero after a half."""
    quantity: Decimal
    """``due`` in steps of the unit, and never below zero."""


def billable(period: Span, group: Group, begun: Iterable[Segment]) -> list[Billable]:
    """The segments of the group that have begun, in order of time."""
    parts = [(one, _exact(period, group, one)) for one in begun]
    steps = stepped((one.charge.unit, exact) for one, exact in parts)
    return [Billable(*part, *step) for part, step in zip(parts, steps, strict=True)]


def stepped(parts: Iterable[tuple[Unit, Fraction]]) -> Iterator[tuple[Fraction, Decimal]]:
    """Of each part, none below zero, what is due and that in steps of its unit: differences of a
    rounded cumulative sum.
    """
    left: dict[Unit, Fraction] = defaultdict(Fraction)
    for unit, exact in parts:
        due = left[unit] + exact
        quantity = max(round_step(due, unit.step), round_step(0, unit.step))
        left[unit] = due - Fraction(quantity)
        yield due, quantity


def _exact(period: Span, group: Group, segment: Segment) -> Fraction:
    charge = segment.charge
    over = max(0, segment.used - segment.included)
    exact = Fraction(over * charge.share.taken, charge.unit.is_ * charge.share.whole)
    if isinstance(charge.quantity, Percentile):
        exact *= time_share(period, group, segment)
    return exact


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
