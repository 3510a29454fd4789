"""Whether enough was measured for a percentile, and what follows where not. Pure.

A charge may ask for a part of the owned windows, of each meter. Below it the line says how much was
measured (``note``), or nothing is invoiced until a person has decided (``park``).
"""

from collections.abc import Iterator
from datetime import datetime

from pipeline.rating.cut import Segment, cut
from pipeline.rating.percentile import percentiles
from schemas.billing import Inputs, Scope
from schemas.prices import Below, Percentile


def short(segment: Segment) -> bool:
    """Less was measured than the charge asks for."""
    quantity = segment.charge.quantity
    return isinstance(quantity, Percentile) and segment.coverage * 100 < quantity.coverage


def said(segment: Segment) -> str:
    """For the line's title; nothing where enough was measured. Rounded down: 89.9 is not 90."""
    if not short(segment):
        return ""
    return f" ({int(segment.coverage * 100)} % of the windows measured)"


def unmeasured(scope: Scope, inputs: Inputs, as_of: datetime) -> Iterator[str]:
    """Why the scope is not to be invoiced: one sentence for each charge that parks it."""
    groups = [
        group
        for group in cut(scope, inputs.period)
        if isinstance(group[0].charge.quantity, Percentile)
    ]
    for group in percentiles(scope, inputs.samples, groups, as_of):
        newest = group[-1]
        quantity = newest.charge.quantity
        assert isinstance(quantity, Percentile)
        if short(newest) and quantity.below is Below.PARK:
            yield (
                f"{newest.row.item} ({newest.row.charge}): {int(newest.coverage * 100)} % of the"
                f" windows were measured, {quantity.coverage} % are agreed. Meter what is missing,"
                f' or agree on below = "note" in a contract.'
            )
