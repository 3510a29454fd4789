"""Step 7, committed quantity: paid whether used or not; the model prices what is above. Pure.

The commit of a period is the sum over its segments, by time where the charge is prorated, in steps
of the unit: differences of a rounded cumulative sum, so that a cut adds nothing. What is used
draws on it in the order of time, each in its own unit.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from pipeline.money import round_step
from pipeline.periods import closed, microseconds
from pipeline.rating.billable import Billable, in_unit
from pipeline.rating.cut import Group, Segment
from pipeline.rating.part import Part
from schemas.billing import LineKind, Span
from schemas.prices import Unit


def committed(period: Span, group: Group) -> list[Decimal]:
    """Billing units that each segment commits to."""
    length = microseconds(period.start, closed(period))
    found: list[Decimal] = []
    unit, exact, said = group[0].charge.unit, Fraction(0), Decimal(0)
    for segment in group:
        charge, commit = segment.charge, segment.charge.commit
        quantity = Decimal(0)
        if charge.unit != unit:
            unit, exact, said = charge.unit, Fraction(0), Decimal(0)
        if commit is not None and charge.prorate:
            exact += Fraction(segment.length, length) * Fraction(commit.quantity)
            quantity = round_step(exact, unit.step) - said
            said += quantity
        elif commit is not None and segment is group[0]:
            quantity = commit.quantity
        found.append(quantity)
    return found


def total_in(unit: Unit, group: Group, quantities: Sequence[Decimal]) -> Decimal:
    """The sum of what segments of a charge have, each in its own unit, the first ones at least."""
    own = zip(group, quantities, strict=False)
    return sum((in_unit(one, part.charge.unit, unit) for part, one in own), Decimal(0))


def above(group: Group, commits: Sequence[Decimal], used: Sequence[Billable]) -> list[Decimal]:
    """What each segment used above the period's commit."""
    unit = group[0].charge.unit
    left, found = total_in(unit, group, commits), []
    for one in used:
        left, unit = in_unit(left, unit, one.segment.charge.unit), one.segment.charge.unit
        found.append(max(one.quantity - left, round_step(0, unit.step)))
        left = max(left - one.quantity, Decimal(0))
    return found


def commit_part(segment: Segment, quantity: Decimal) -> Part | None:
    """The fixed part; None where nothing is committed."""
    commit = segment.charge.commit
    if commit is None or not quantity:
        return None
    unit = segment.charge.unit.name
    return Part(quantity, commit.price, "commit", " committed", LineKind.FLAT, unit=unit)
