"""Step 7, committed quantity: paid whether used or not; the model prices what is above. Pure.

The commit of a period is the sum over its segments, by time where the charge is prorated, in steps
of the unit as what is used (``stepped``), so that a cut adds nothing. What is used draws on it in
the order of time, each in its own unit.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from pipeline.money import round_step
from pipeline.periods import closed, microseconds
from pipeline.rating.billable import Billable, in_unit, stepped
from pipeline.rating.cut import Group, Segment
from pipeline.rating.part import Part
from schemas.billing import LineKind, Span
from schemas.prices import Unit


def committed(period: Span, group: Group) -> list[Decimal]:
    """Billing units that each segment commits to."""
    length = microseconds(period.start, closed(period))
    shares = stepped((segment.charge.unit, _share(segment, length)) for segment in group)
    quantities = [quantity for _, quantity in shares]
    commit = group[0].charge.commit
    if commit is not None and not group[0].charge.prorate:
        quantities[0] = commit.quantity
    return quantities


def _share(segment: Segment, length: int) -> Fraction:
    """Billing units by time; none where the commit is not prorated."""
    charge = segment.charge
    if charge.commit is None or not charge.prorate:
        return Fraction(0)
    return Fraction(segment.length, length) * Fraction(charge.commit.quantity)


def total_in(unit: Unit, group: Group, quantities: Sequence[Decimal]) -> Decimal:
    """The sum of what segments of a charge have, the first ones at least; what is in other units
    is rounded once.
    """
    parts = [(s.charge.unit.is_, q) for s, q in zip(group, quantities, strict=False)]
    own = sum((quantity for is_, quantity in parts if is_ == unit.is_), Decimal(0))
    other = sum(Fraction(quantity) * is_ for is_, quantity in parts if is_ != unit.is_)
    return own + round_step(Fraction(other) / unit.is_, unit.step) if other else own


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
