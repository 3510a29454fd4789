"""Step 10: what a sealed period comes to by now, less what was billed for it, line by line. Pure.

Both sides are told apart by the stable keys of lines. A line that is new is compared with nothing,
one that has vanished comes to nothing. Where both agree there is no adjustment.
"""

from collections.abc import Sequence
from decimal import Decimal

from pipeline.money import EXACT
from schemas.billing import BilledLine, Line, LineKind


def adjustments(
    now: Sequence[Line], billed: Sequence[BilledLine], number: int
) -> list[tuple[Line, Decimal | None]]:
    """Each difference with the tax rate it was billed at, in the order of ``now``, vanished last.

    ``number`` says which correction of the period it is, from 1. A new line has the rate of its
    tax category among those billed; None where that has none.
    """
    before = {one.key: one for one in billed}
    rates = {one.tax: one.rate for one in reversed(billed)}
    found: list[tuple[Line, Decimal | None]] = []
    for line in now:
        old = before.pop(line.key, None)
        net = EXACT.subtract(line.net, old.net) if old else line.net
        rate = old.rate if old else rates.get(line.tax)
        found += [(_line(_as_billed(line), net, number), rate)] if net else []
    vanished = (one for one in billed if one.key in before and one.net)
    return found + [(_line(one, -one.net, number), one.rate) for one in vanished]


def _as_billed(line: Line) -> BilledLine:
    """A line as it would have been billed; its tax category is today's."""
    return BilledLine(
        line.key, line.net, line.tax, Decimal(0), line.title, line.service, line.scope, line.item,
        line.charge, line.version,
    )  # fmt: skip


def _line(old: BilledLine, net: Decimal, number: int) -> Line:
    return Line(
        key=f"adjust/{number}/{old.key}",
        scope=old.scope,
        item=old.item,
        charge=old.charge,
        title=old.title,
        service=old.service,
        quantity=Decimal(1),
        unit=LineKind.ADJUSTMENT.value,
        unit_price=net,
        net=net,
        tax=old.tax,
        version=old.version,
        kind=LineKind.ADJUSTMENT,
        tier=1,
        corrects=old.key,
    )
