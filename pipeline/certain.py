"""What a percentile has come to for certain: windows that are missing or still to come are 0. Pure.

The period's windows are counted whole, so this never falls, and at the end of a period measured
without a gap it is the figure that is billed. Priced like any other, it is the money that is
certain: what is compared with a limit in money.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.periods import closed
from pipeline.rating.cut import Group, Segment
from pipeline.rating.percentile import percentiles
from pipeline.rating.usage_state import is_rate
from schemas.billing import Inputs, Scope
from schemas.prices import Missing, Percentile


def certain(scope: Scope, inputs: Inputs, groups: Iterable[Group]) -> list[Group]:
    """Each percentile in base units a window, of a pool the group that pays.

    ``groups`` are those of ``cut``, not measured.
    """
    rates = [tuple(_with_zeros(segment) for segment in group) for group in groups if is_rate(group)]
    return percentiles(scope, inputs.samples, rates, closed(inputs.period))


def at_certain(measured: Sequence[Group], rates: Sequence[Group]) -> list[Group]:
    """The groups of ``measured`` with each percentile at what is certain, all else as it is.

    ``rates`` are those of ``certain``, of the same cut.
    """
    left = iter(rates)
    return [_used(group, next(left)) if is_rate(group) else group for group in measured]


def _used(group: Group, sure: Group) -> Group:
    return tuple(replace(part, used=other.used) for part, other in zip(group, sure, strict=True))


def _with_zeros(segment: Segment) -> Segment:
    quantity = segment.charge.quantity
    if not isinstance(quantity, Percentile):
        return segment
    charge = replace(segment.charge, quantity=replace(quantity, missing=Missing.ZERO))
    return replace(segment, row=replace(segment.row, price=charge))
