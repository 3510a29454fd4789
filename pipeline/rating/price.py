"""The one pricing function: live view, preview, close and correction all call ``price``. Pure.

``price(scope, inputs, as_of)`` depends on nothing but its arguments, and not on the order of their
rows. At the end of the period it is the invoice. The steps, in the order in which they apply (those
that round are marked; each says which way in its own file):

 1. ``gate``       refuse inputs that cannot be priced
 2. ``cut``        the period, by the timelines, into segments of one item at one price
 3. ``attribute``  usage to items
 4. ``aggregate``  usage of each segment
 5. ``allowance``  what is included, in base units; a prorated one rounds up
 6. ``overage``    the excess in the billing unit ● quantity to the unit's step
 7. ``overage``, ``hourly``  price and cap ● line to the minor unit
13. ``tax``        on the lines of a whole invoice: ``tax_lines`` ● tax

The numbers between are places of steps to come: discounts, commitments, adjustments, advance fees,
promotional credit.
"""

from datetime import datetime

from pipeline.attribute import attribute
from pipeline.rating.aggregate import aggregate
from pipeline.rating.cut import cut
from pipeline.rating.gate import gate
from pipeline.rating.hourly import hourly_lines, next_hour_at
from pipeline.rating.overage import overage_lines
from schemas.billing import HourlyCap, Inputs, Line, Overage, Scope


def price(scope: Scope, inputs: Inputs, as_of: datetime) -> tuple[Line, ...]:
    """The lines of the scope's period as they stand at ``as_of``, by item, charge and time."""
    period = gate(scope, inputs)  # 1
    rented = cut(scope, period, HourlyCap)  # 2
    metered = cut(scope, period, Overage)
    owned = attribute(scope, inputs).owned  # 3
    used = [aggregate(segments, owned) for segments in metered]  # 4
    lines = [line for group in rented for line in hourly_lines(scope, period, group, as_of)]  # 7
    lines += [line for group in used for line in overage_lines(scope, period, group, as_of)]  # 5–7
    return tuple(sorted(lines, key=lambda line: (line.item, line.charge, line.service.start)))


def next_eval_at(scope: Scope, inputs: Inputs, as_of: datetime) -> datetime | None:
    """When time alone will change the price next; None when only usage still can."""
    rented = cut(scope, gate(scope, inputs), HourlyCap)
    instants = [next_hour_at(group, as_of, scope.currency) for group in rented]
    return min((instant for instant in instants if instant is not None), default=None)
