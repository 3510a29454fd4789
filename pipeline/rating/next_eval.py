"""When time alone changes a price: what a sweep of silent servers goes by. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction

from pipeline.periods import MICROSECOND, closed
from pipeline.rating.allowance import include
from pipeline.rating.charge import Frame, priced
from pipeline.rating.commitment import next_settlement
from pipeline.rating.cut import Group, Segment, cut
from pipeline.rating.gate import gate
from pipeline.rating.hours import next_hour
from pipeline.rating.measure import measure
from schemas.billing import Inputs, Scope
from schemas.prices import Allocation, Bill, Fee, Hours


def next_eval_at(scope: Scope, inputs: Inputs, as_of: datetime) -> datetime | None:
    """When time alone will change the price next; None when only usage still can.

    An allocation grows all the time and is looked at when its next hour starts. Once a cap is
    reached, hours are passed over.
    """
    frame = Frame(scope, gate(scope, inputs), as_of)
    return next_eval_of(frame, cut(scope, frame.period))


def next_eval_of(frame: Frame, groups: Sequence[Group]) -> datetime | None:
    """The same of groups that are cut, and not measured."""
    instants = [_next_change(frame, group) for group in groups]
    instants += [next_settlement(frame), *(_end(frame, group) for group in groups)]
    return min((instant for instant in instants if instant is not None), default=None)


def _next_change(frame: Frame, group: Group) -> datetime | None:
    growing = [(s, at) for s in group if (at := _next(s, frame.as_of)) is not None]
    now = _amount(frame, group, frame.as_of) if growing else None
    return next((at for s, at in growing if _amount(frame, group, s.end) != now), None)


def _next(segment: Segment, as_of: datetime) -> datetime | None:
    """When the segment grows next: with an hour, or by beginning; an allocation till its end."""
    quantity = segment.charge.quantity
    if isinstance(quantity, Hours | Allocation):
        hour = next_hour(segment, as_of)
        grows = hour is None and isinstance(quantity, Allocation) and as_of < segment.end
        return segment.end if grows else hour
    return segment.start + MICROSECOND if segment.start >= as_of else None


def _amount(frame: Frame, group: Group, as_of: datetime) -> Fraction:
    """What the charge comes to without any usage."""
    at = Frame(frame.scope, frame.period, as_of)
    measured = measure(frame.scope, Inputs(frame.period), [group], (), as_of)
    return sum(_amounts(at, include(frame.period, measured)), Fraction(0))


def _amounts(frame: Frame, groups: list[Group]) -> Iterator[Fraction]:
    return (one.amount for group in groups for one in priced(frame, group))


def _end(frame: Frame, group: Group) -> datetime | None:
    """The period's end where it brings fees in advance."""
    end, quantity = closed(frame.period), group[0].charge.quantity
    advance = isinstance(quantity, Fee) and quantity.bill is Bill.ADVANCE
    return end if advance and frame.as_of < end else None
