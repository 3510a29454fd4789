"""The lines that an entry of ``Document.adjusted`` makes: from it alone, by anybody. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from invoicing.document import Adjusted, Priced
from pipeline.periods import closed
from pipeline.rating.adjustment import Correction, adjustments
from pipeline.rating.advance import billed_rates
from pipeline.rating.price import price
from schemas.billing import Line, Lot


def corrections(adjusted: Adjusted) -> list[Correction]:
    """What the scope's period comes to, priced again, less what was billed for it."""
    priced = adjusted.priced
    now = _called(adjusted, price(priced.scope, priced.inputs, priced.as_of))
    end, rates = closed(priced.inputs.period), billed_rates(priced.scope, priced.inputs)
    return adjustments(now, adjusted.billed, adjusted.number, end, rates)


def _called(adjusted: Adjusted, lines: Iterable[Line]) -> list[Line]:
    """A line that was billed is called as on its invoice, where its item goes by its plans."""
    billed = {one.key: one.title for one in adjusted.billed}
    named = {item.item for item in adjusted.priced.scope.items if item.named}
    return [
        replace(line, title=billed.get(line.key, line.title)) if line.item in named else line
        for line in lines
    ]


def left(priced: Priced) -> tuple[Lot, ...]:
    """What the period leaves to later ones of packs and allowances."""
    lines = price(priced.scope, priced.inputs, priced.as_of)
    return tuple(lot for line in lines for lot in line.lots)
