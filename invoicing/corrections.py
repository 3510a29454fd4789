"""The lines that an entry of ``Document.adjusted`` makes, and which invoice a line is about: from
the document alone, by anybody. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from invoicing.document import Adjusted, Priced
from pipeline.periods import closed
from pipeline.rating.adjustment import Correction, adjustments
from pipeline.rating.advance import billed_rates, of_scope
from pipeline.rating.price import price
from schemas.billing import Billed, Line, LineKind, Lot


def corrections(adjusted: Adjusted) -> list[Correction]:
    """What the scope's period comes to, priced again, less what was billed for it."""
    priced = adjusted.priced
    now = _called(adjusted, price(priced.scope, priced.inputs, priced.as_of))
    end, rates = closed(priced.inputs.period), billed_rates(priced.scope, priced.inputs)
    return adjustments(now, adjusted.billed, adjusted.number, end, rates, adjusted.rates)


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


def invoices_of(
    priced: Iterable[Priced],
    lines: Iterable[Line],
    corrected: Iterable[tuple[Adjusted, Iterable[Correction]]],
) -> dict[str, str]:
    """Key of a line → number of the invoice that it is about: what an adjustment corrects, and what
    billed a fee in advance that came to something else. ``lines`` are those of the scopes,
    ``corrected`` what ``corrections`` made.
    """
    of_scopes: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in lines:
        of_scopes[line.scope][line.key] = line
    found: dict[str, str] = {}
    for one in priced:
        found |= _fees(one, of_scopes[one.scope.scope])
    for entry, made in corrected:
        like = {m.line.key: replace(m.line, key=m.line.corrects, kind=m.kind) for m in made}
        found |= dict.fromkeys(like, entry.invoice) | _fees(entry.priced, like)
    return found


def _fees(priced: Priced, lines: Mapping[str, Line]) -> dict[str, str]:
    """The fees among these lines, by the keys that they are given by, without amounts off."""
    period = priced.inputs.period
    billed = {_fee(one): one.invoice for one in priced.inputs.billed if one.invoice}
    off = {_fee(line) for line in lines.values() if line.kind is LineKind.BILLED}
    return {
        key: billed[_fee(line)]
        for key, line in lines.items()
        if _fee(line) in off & billed.keys()
        and line.service.start < closed(period)
        and not of_scope(priced.scope, period, line)
    }


def _fee(one: Line | Billed) -> tuple[str, str]:
    """Whatever its tax: a fee may come to have another one."""
    return one.item, one.charge
