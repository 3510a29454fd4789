"""Step 7, committed quantity: paid whether used or not; the model prices what is above. Pure.

The commit of a period is the sum over its segments, by time where the charge is prorated, in steps
of the unit; what is used draws on it in the order of time.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from pipeline.money import round_step
from pipeline.periods import closed, microseconds
from pipeline.rating.billable import Billable
from pipeline.rating.cut import Group, Segment
from pipeline.rating.part import Part
from schemas.billing import LineKind, Span


def committed(period: Span, group: Group) -> list[Decimal]:
    """Billing units that each segment commits to."""
    return [_quantity(period, segment, segment is group[0]) for segment in group]


def above(commits: Sequence[Decimal], used: Sequence[Billable]) -> list[Decimal]:
    """What each segment used above the period's commit."""
    left, found = sum(commits, Decimal(0)), []
    for one in used:
        nothing = round_step(0, one.segment.charge.unit.step)
        found.append(max(one.quantity - left, nothing))
        left = max(left - one.quantity, Decimal(0))
    return found


def commit_part(segment: Segment, quantity: Decimal) -> Part | None:
    """The fixed part; None where nothing is committed."""
    commit = segment.charge.commit
    if commit is None or not quantity:
        return None
    unit = segment.charge.unit.name
    return Part(quantity, commit.price, "commit", " committed", LineKind.FLAT, unit=unit)


def _quantity(period: Span, segment: Segment, first: bool) -> Decimal:
    charge, commit = segment.charge, segment.charge.commit
    if commit is None:
        return Decimal(0)
    if not charge.prorate:
        return commit.quantity if first else Decimal(0)
    share = Fraction(segment.length, microseconds(period.start, closed(period)))
    return round_step(share * Fraction(commit.quantity), charge.unit.step)
