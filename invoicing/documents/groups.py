"""The lines of an invoice as the page groups them: by what is rented, corrections and credit apart.

Pure. Texts in the reader's language; the sums of groups are for the eye.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from invoicing.document import Document, DocumentLine, adjusted_of, scope_of
from invoicing.documents import figures
from invoicing.documents.words import Words
from invoicing.pieces import item_of, metered, price_row
from pipeline.periods import MICROSECOND, closed
from schemas.billing import Item, LineKind, Scope, Span

COUNTED: Final = frozenset({LineKind.CHARGE, LineKind.FLAT})
"""Lines with a quantity of something; of all others the amount says everything."""


def groups(document: Document, words: Words) -> list[dict[str, Any]]:
    """In the order of the lines."""
    return [_group(document, words, list(rows)) for rows in _by_item(document)]


def _by_item(document: Document) -> Iterator[Iterator[DocumentLine]]:
    """What is not of a scope's own lines stands apart from them."""

    def group(row: DocumentLine) -> tuple[str, ...]:
        line = row.line
        if line.kind is LineKind.CREDIT:
            return (line.kind.value,)
        if line.kind is LineKind.ADJUSTMENT:
            return line.scope, line.item, *_corrected(document, row)
        return line.scope, line.item

    for _, rows in groupby(document.lines, key=group):
        yield rows


def _corrected(document: Document, row: DocumentLine) -> tuple[str, str]:
    """Invoice and start of the period that an adjustment corrects."""
    found = adjusted_of(document, row.line)
    return found.invoice, found.priced.inputs.period.start.isoformat()


def _group(document: Document, words: Words, rows: list[DocumentLine]) -> dict[str, Any]:
    title, detail = _head(document, words, rows[0])
    net = figures.amount(sum((row.line.net for row in rows), Decimal(0)), words.locale)
    return {
        "title": title,
        "detail": detail,
        # One line says the same in its own column.
        "net": net if len(rows) > 1 else "",
        "lines": [_charge(document, words, title, row) for row in rows],
    }


def _head(document: Document, words: Words, row: DocumentLine) -> tuple[str, str]:
    line = row.line
    if line.kind is LineKind.CREDIT:
        return words.credit, ""
    item = _item(document, row)
    if line.kind is LineKind.ADJUSTMENT:
        found = adjusted_of(document, line)
        period = figures.span(found.priced.inputs.period, ZoneInfo(document.timezone), words.locale)
        said = words.correction_of.format(invoice=found.invoice, period=period)
        title = _called(item, found.priced.inputs.period)
        return title, said if found.invoice else f"{words.correction}, {period}"
    servers = {
        assignment.server
        for priced in document.priced
        for assignment in priced.scope.assignments
        if assignment.item == item.item
    }
    return _called(item, document.period), " · ".join(sorted(servers))


def _called(item: Item, period: Span) -> str:
    """Its title; of plans that follow each other in the period the one after the other."""
    first = max(item.valid.start, period.start)
    later = (one.title for one in item.named if first < one.since < closed(period))
    return " → ".join((item.title_at(first), *later))


def _charge(document: Document, words: Words, group: str, row: DocumentLine) -> dict[str, Any]:
    line, locale = row.line, words.locale
    counted = line.kind in COUNTED
    unit = words.units.get(line.unit, line.unit)
    return {
        "title": _title(document, row, group),
        "notes": list(_notes(document, words, row)),
        "quantity": figures.quantity(line.quantity, unit, locale) if counted else "",
        "unit_price": figures.amount(line.unit_price, locale) if counted else "",
        "tax": figures.percent(row.rate, locale),
        "net": figures.amount(line.net, locale),
    }


def _title(document: Document, row: DocumentLine, group: str) -> str:
    """Without what stands in the head of its group, where that is of all of the line's time."""
    line = row.line
    title = line.title
    if line.kind is LineKind.CREDIT:
        return title.removeprefix(f"{line.kind.value} ")
    item = _item(document, row)
    if _called(item, line.service) == group:
        title = title.removeprefix(f"{item.title_at(closed(line.service) - MICROSECOND)}: ")
    return title[:1].upper() + title[1:]


def _notes(document: Document, words: Words, row: DocumentLine) -> Iterator[str]:
    line, locale = row.line, words.locale
    period = document.period
    if line.kind is LineKind.ADJUSTMENT:
        period = adjusted_of(document, line).priced.inputs.period
    if line.kind is not LineKind.CREDIT and line.service != period:
        yield figures.span(line.service, ZoneInfo(document.timezone), locale)
    if line.kind is LineKind.CREDIT and line.net > 0:
        invoice = line.key.partition("/return/")[2].partition("/")[0]
        yield words.given_back.format(invoice=invoice)
    if line.kind is not LineKind.CHARGE:
        return
    scope = _scope(document, row)
    charge, measured = price_row(scope, line).price, metered(scope, line)
    if line.capped and charge.cap is not None:
        exact = figures.EXACT.multiply(line.quantity, line.unit_price)
        yield words.cap.format(
            exact=figures.amount(exact.normalize(), locale), cap=figures.amount(charge.cap, locale)
        )
    if measured is not None:
        unit = measured.unit
        yield words.used.format(
            used=figures.base_as(line.base_quantity, unit, locale),
            allowance=figures.base_as(line.allowance, unit, locale),
        )


def _scope(document: Document, row: DocumentLine) -> Scope:
    return scope_of(document, row.line)


def _item(document: Document, row: DocumentLine) -> Item:
    return item_of(_scope(document, row), row.line)
