"""What a percentile has come to for certain: windows that are missing or still to come are 0. Pure.

The period's windows are counted whole, so this never falls, and at the end of a period measured
without a gap it is the figure that is billed.
"""

from collections.abc import Iterable
from dataclasses import replace

from pipeline.periods import closed
from pipeline.rating.cut import Group, Segment
from pipeline.rating.percentile import percentiles
from schemas.billing import Inputs, Scope
from schemas.prices import Missing, Percentile


def certain(scope: Scope, inputs: Inputs, groups: Iterable[Group]) -> dict[tuple[str, str], int]:
    """(item, charge) → base units a window, for each percentile; of a pool on its first item.

    ``groups`` are those of ``cut``, not measured.
    """
    rates = [
        tuple(_with_zeros(segment) for segment in group)
        for group in groups
        if isinstance(group[0].charge.quantity, Percentile)
    ]
    found = percentiles(scope, inputs.samples, rates, closed(inputs.period))
    return {(group[0].row.item, group[0].row.charge): group[0].used for group in found}


def _with_zeros(segment: Segment) -> Segment:
    quantity = segment.charge.quantity
    if not isinstance(quantity, Percentile):
        return segment
    charge = replace(segment.charge, quantity=replace(quantity, missing=Missing.ZERO))
    return replace(segment, row=replace(segment.row, price=charge))
