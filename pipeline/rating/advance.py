"""Step 11: fees in advance, for the period that follows; what they turned out to be, for this one.

Pure. An invoice carries the next period's fees of what is rented on. Then, when that period closes,
its fees are computed from the timelines as they came to be: where they are what was billed before,
nothing is left to say; where not, they are lines, less what was billed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal

from pipeline.periods import closed, following
from pipeline.rating.charge import Frame, charge_lines
from pipeline.rating.cut import cut
from pipeline.rating.discount import discounts
from pipeline.rating.extra import nets
from pipeline.rating.fee import due
from pipeline.rating.once import owed
from schemas.billing import Inputs, Line, LineKind
from schemas.prices import Bill, Charge, Fee
from schemas.serial import instant_text

Name = tuple[str, str, str]
"""Item, charge and tax category."""


def arrears(frame: Frame, inputs: Inputs, lines: Iterable[Line]) -> Iterator[Line]:
    """The lines of this period that are left when what was billed before is taken off."""
    groups: dict[Name, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.item, line.charge, line.tax].append(line)
    billed: dict[Name, Decimal] = defaultdict(Decimal)
    for before in inputs.billed:
        billed[before.item, before.charge, before.tax] += before.net
    for name in sorted(groups.keys() | billed.keys()):
        mine, paid = groups[name], billed.get(name)
        if paid is None or nets(mine) != paid:
            yield from mine
            if paid:
                yield _taken_off(frame, name, paid)


def following_fees(frame: Frame) -> list[Line]:
    """The next period's fees in advance, once this period is over."""
    ahead = any(_is_ahead(row.price) for row in frame.scope.prices)
    if not ahead or frame.as_of < closed(frame.period):
        return []
    period = following(frame.period, frame.scope.timezone)
    coming = Frame(frame.scope, period, closed(period))
    once = owed(frame.scope, period)
    groups = [due(g, period, once) for g in cut(frame.scope, period) if _is_ahead(g[0].charge)]
    lines = [line for group in groups for line in charge_lines(coming, group)]
    return lines + discounts(coming, lines, amounts=False)


def _is_ahead(charge: Charge) -> bool:
    return isinstance(charge.quantity, Fee) and charge.quantity.bill is Bill.ADVANCE


def _taken_off(frame: Frame, name: Name, paid: Decimal) -> Line:
    item, charge, tax = name
    start = instant_text(frame.period.start)
    return Line(
        key=f"{frame.scope.scope}/{item}/{charge}/{start}/billed/{tax}",
        scope=frame.scope.scope,
        item=item,
        charge=charge,
        title=f"{charge}: {LineKind.BILLED.value}",
        service=frame.period,
        quantity=Decimal(1),
        unit=LineKind.BILLED.value,
        unit_price=-paid,
        net=-paid,
        tax=tax,
        version="",
        kind=LineKind.BILLED,
        tier=1,
    )
