"""Step 7: the lines of one charge of one item. Pure.

Rounds here: each line to the minor unit. Every line is quantity × price, unless the cap cut it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.money import exact_text, round_money
from pipeline.periods import closed, microseconds
from pipeline.rating.billable import Billable, billable
from pipeline.rating.cap import limit
from pipeline.rating.commit import above, commit_part, committed, total_in
from pipeline.rating.coverage import said
from pipeline.rating.cut import Group, Segment
from pipeline.rating.graduated import graduated
from pipeline.rating.package import package
from pipeline.rating.part import Part, Position
from pipeline.rating.per_unit import per_unit
from pipeline.rating.volume import volume
from schemas.billing import Line, Rounding, Scope, Span
from schemas.prices import Charge, Fee, Graduated, Hours, Package, PerUnit, Volume
from schemas.serial import instant_text

MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Frame:
    """What all lines of a scope's period have in common."""

    scope: Scope
    period: Span
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Priced:
    """A part of a segment with its amount, exact, after the cap."""

    billable: Billable
    part: Part
    amount: Fraction
    capped: bool
    tier: int
    """Position among the parts of the segment."""


def charge_lines(frame: Frame, group: Group) -> Iterator[Line]:
    """The lines of each segment that has begun by ``as_of``, in order of time."""
    return (_line(frame, one) for one in priced(frame, group))


def priced(frame: Frame, group: Group) -> Iterator[Priced]:
    """The same before the line is rounded."""
    billed: dict[Decimal | None, Fraction] = defaultdict(Fraction)
    for one, parts in _parts(frame, group):
        cap = one.segment.charge.cap
        most, before = limit(cap, billed), billed[cap]
        for tier, part in enumerate(parts):
            full = Fraction(part.quantity) * Fraction(part.price)
            amount = full if most is None else min(full, most - (billed[cap] - before))
            billed[cap] += Fraction(round_money(amount, frame.scope.currency))
            yield Priced(one, part, amount, amount < full, tier)


def _parts(frame: Frame, group: Group) -> Iterator[tuple[Billable, list[Part]]]:
    """Each segment that has begun and bills something, with the parts its model makes."""
    begun = [segment for segment in group if segment.start < frame.as_of]
    used = billable(frame.period, group, begun)
    commits = committed(frame.period, group)
    quantities = above(group, commits, used)
    first = True
    for number, (one, quantity) in enumerate(zip(used, quantities, strict=True)):
        charge = one.segment.charge
        if not one.segment.used and isinstance(charge.quantity, Fee | Hours):
            continue
        before = total_in(charge.unit, group, quantities[:number])
        at = Position(before, quantity, total_in(charge.unit, group, quantities), first)
        fixed = commit_part(one.segment, commits[number])
        yield one, [*modelled(charge, at), *([fixed] if fixed else [])]
        first = False


def modelled(charge: Charge, at: Position) -> Iterator[Part]:
    """The parts that the charge's model makes of a position, at least one."""
    match charge.model:
        case PerUnit() as model:
            return per_unit(model, at)
        case Package() as model:
            return package(model, at, charge.unit.name)
        case Graduated() as model:
            return graduated(model, at, charge.unit.name)
        case Volume() as model:
            return volume(model, at)


def line_key(scope: Scope, period: Span, segment: Segment, part: str = "") -> str:
    """``scope/item/charge/period start/second/part``; the second is when the service starts.

    So a line keeps its key when a late price change cuts the month before or after it.
    """
    seconds = Decimal(microseconds(period.start, segment.start)).scaleb(-6)
    row, start = segment.row, instant_text(period.start)
    key = f"{scope.scope}/{row.item}/{row.charge}/{start}/{exact_text(seconds)}"
    return f"{key}/{part}" if part else key


def _line(frame: Frame, one: Priced) -> Line:
    segment, part = one.billable.segment, one.part
    row, charge = segment.row, segment.charge
    net = round_money(one.amount, frame.scope.currency)
    service = _service(segment, frame.as_of)
    return Line(
        key=line_key(frame.scope, frame.period, segment, part.name),
        scope=frame.scope.scope,
        item=row.item,
        charge=row.charge,
        title=f"{segment.title}: {row.charge}{part.title}{said(segment)}",
        service=service,
        quantity=part.quantity,
        unit=part.unit or charge.unit.name,
        unit_price=part.price,
        net=net,
        tax=charge.tax,
        version=row.version,
        base_quantity=0 if one.tier else _base(segment, service),
        allowance=0 if one.tier else segment.included,
        capped=one.capped,
        roundings=(*_quantity_rounding(one), Rounding("net", exact_text(one.amount), net)),
        kind=part.kind,
        tier=one.tier,
        above=part.above,
        lots=segment.lots if one.tier == 0 and frame.as_of >= closed(frame.period) else (),
    )


def _quantity_rounding(one: Priced) -> Iterator[Rounding]:
    """On the first line, of the whole segment with what rounding left of those before it; hours and
    fees are counted, not rounded.
    """
    if one.tier == 0 and not isinstance(one.billable.segment.charge.quantity, Fee | Hours):
        yield Rounding("quantity", exact_text(one.billable.due), one.billable.quantity)


def _service(segment: Segment, as_of: datetime) -> Span:
    """A fee is due for all of its time at once; the rest counts what has passed."""
    if isinstance(segment.charge.quantity, Fee):
        return Span(segment.start, segment.end)
    return Span(segment.start, min(segment.end, as_of))


def _base(segment: Segment, service: Span) -> int:
    """Base units before the allowance; of rent the milliseconds rented, not the hours started."""
    if isinstance(segment.charge.quantity, Hours):
        assert service.end is not None
        return (service.end - service.start) // MILLISECOND
    return segment.used
