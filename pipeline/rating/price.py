"""The one pricing function: live view, preview, close and correction all call ``price``. Pure.

``price(scope, inputs, as_of)`` depends on nothing but its arguments, and not on the order of their
rows. At the end of the period it is the invoice. The steps, in the order in which they apply (those
that round are marked; each says which way in its own file):

 1. ``gate``       refuse inputs that cannot be priced
 2. ``cut``        the period, by the timelines, into segments of one item at one price
 3. ``attribute``  usage to items
 4. ``measure``    what each segment used: a file for each quantity
 5. ``allowance``  what is included, in base units; a prorated one rounds up; then ``lots``, packs
                   and what earlier periods left, by expiry
 6. ``billable``   the excess in the billing unit ● quantity to the unit's step
 7. ``charge``     price model, commit and cap, a file for each ● line to the minor unit
 8. ``discount``   on lines and on the scope ● discount
 9. ``commitment`` what the lines lack of an agreed minimum ● true-up
11. ``advance``    the next period's fees, less what was billed before for this one
12. ``credit``     promotional credit, on the lines of a whole invoice: ``settle``
13. ``tax``        on the sum of each category and rate ● tax
14. ``credit``     paid credit

10, adjustments for sealed periods, compares two results of this function; it is no part of it.
"""

from collections.abc import Sequence
from datetime import datetime

from pipeline.attribute import attribute
from pipeline.rating.advance import arrears, following_fees
from pipeline.rating.allowance import include
from pipeline.rating.charge import Frame, charge_lines
from pipeline.rating.commitment import true_ups
from pipeline.rating.cut import Group, cut
from pipeline.rating.discount import discounts
from pipeline.rating.gate import gate
from pipeline.rating.lots import available
from pipeline.rating.measure import measure
from schemas.billing import Inputs, Line, Scope


def price(scope: Scope, inputs: Inputs, as_of: datetime) -> tuple[Line, ...]:
    """The lines of the scope's period as they stand at ``as_of``, by item, charge and time."""
    frame = Frame(scope, gate(scope, inputs), as_of)  # 1
    groups = measured(frame, inputs, cut(scope, frame.period))  # 2 to 5
    return priced_lines(frame, inputs, groups)


def priced_lines(frame: Frame, inputs: Inputs, groups: Sequence[Group]) -> tuple[Line, ...]:
    """Steps 6 to 11, of groups that are measured."""
    lines = [line for group in groups for line in charge_lines(frame, group)]  # 6, 7
    lines += discounts(frame, lines)  # 8
    lines += true_ups(frame, inputs, lines)  # 9
    lines = [*arrears(frame, inputs, lines), *following_fees(frame)]  # 11
    return tuple(sorted(lines, key=_order))


def measured(frame: Frame, inputs: Inputs, groups: Sequence[Group]) -> list[Group]:
    """Steps 3 to 5: the groups of ``cut`` with what was used and what is included."""
    owned = attribute(frame.scope, inputs).owned  # 3
    used = measure(frame.scope, inputs, groups, owned, frame.as_of)  # 4
    lots = available(frame.scope, inputs)
    return include(frame.period, used, lots, frame.scope.timezone)  # 5


def _order(line: Line) -> tuple[object, ...]:
    return line.item, line.charge, line.service.start, line.tier, line.key
