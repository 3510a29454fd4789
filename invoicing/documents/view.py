"""What the page shows: a document's figures as strings in the reader's language. Pure.

The template sets what it gets; it neither computes nor formats. The only arithmetic here is for the
eye: bar heights, sums of groups, quantities in a unit that fits.
"""

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale

from invoicing.document import OF_THE_WHOLE, Document, DocumentLine, Series, scope_of
from invoicing.documents import figures
from invoicing.documents.words import LANGUAGES, Words
from invoicing.pieces import item_of, metered, price_row
from schemas.billing import Item, LineKind, Scope

PERMILLE = 1000
PART = "\0"
"""Stands where a text is divided; no name or amount can hold it."""
UNITS = {"hour": "h"}
"""Units that have a symbol of their own (SI brochure, table 8)."""


def view(document: Document, digest: str, language: str = "en") -> dict[str, Any]:
    """Everything that the template reads."""
    words = LANGUAGES[language]
    return {**_frame(document, words), **_body(document, words), **_proof(document, words, digest)}


def _frame(document: Document, words: Words) -> dict[str, Any]:
    seller, buyer, heading = document.seller, document.buyer, f"{words.invoice} {document.number}"
    zone = ZoneInfo(document.timezone)
    country = Locale(words.lang).territories.get(buyer.country, buyer.country)
    foreign = [country] if country and country not in buyer.address else []
    issued = document.issued_at.astimezone(zone)
    return {
        "lang": words.lang,
        "words": asdict(words),
        "title": heading,
        "heading": heading,
        "date": {"year": issued.year, "month": issued.month, "day": issued.day},
        "seller": {
            "name": seller.name,
            "address": list(seller.address),
            "line": " · ".join(
                part for part in (seller.name, *seller.address, seller.vat_id) if part
            ),
            "return_line": " · ".join((seller.name, *seller.address)),
        },
        "buyer": {"name": buyer.name, "address": [*buyer.address, *foreign]},
        "facts": list(_facts(document, words, zone)),
        "subject": words.subject.format(
            period=figures.span(document.period, zone, words.locale), currency=document.currency
        ),
    }


def _facts(document: Document, words: Words, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    yield words.number, document.number
    yield words.issued, figures.day(document.issued_at, zone, words.locale)
    yield words.period, figures.span(document.period, zone, words.locale)
    yield words.customer, document.buyer.account
    if document.buyer.vat_id:
        yield words.vat_id, document.buyer.vat_id
    yield words.due, figures.day(document.due_at, zone, words.locale)


def _body(document: Document, words: Words) -> dict[str, Any]:
    def money(value: Decimal) -> str:
        return figures.money(value, document.currency, words.locale)

    *titles, last = words.columns
    due = figures.day(document.due_at, ZoneInfo(document.timezone), words.locale)
    pay_by = words.pay_by if document.totals.due > 0 else words.nothing_to_pay
    return {
        "columns": [*titles, f"{last} {document.currency}"],
        "groups": [_group(document, words, list(rows)) for rows in _by_item(document)],
        "totals": {
            "net": money(document.totals.net),
            "gross": money(document.totals.gross),
            "due": money(document.totals.due),
        },
        "paid": [
            {"title": words.paid.format(credit=one.credit), "amount": money(-one.amount)}
            for one in document.paid
        ],
        "taxes": [
            {
                "title": words.tax.format(
                    rate=figures.percent(tax.rate, words.locale), base=money(tax.base)
                ),
                "tax": money(tax.tax),
            }
            for tax in document.taxes
        ],
        # In parts around the number, which the template keeps on one line.
        "payment": pay_by.format(gross=money(document.totals.due), due=due, number=PART).split(
            PART
        ),
        "number": document.number,
    }


def _by_item(document: Document) -> Iterator[Iterator[DocumentLine]]:
    """What is not of a scope's own lines stands apart from them."""

    def group(row: DocumentLine) -> tuple[str, str, str]:
        kind = row.line.kind.value if row.line.kind in OF_THE_WHOLE else ""
        return row.line.scope, row.line.item, kind

    for _, rows in groupby(document.lines, key=group):
        yield rows


def _group(document: Document, words: Words, rows: list[DocumentLine]) -> dict[str, Any]:
    item = _item(document, rows[0])
    servers = sorted(
        {
            assignment.server
            for priced in document.priced
            for assignment in priced.scope.assignments
            if assignment.item == item.item
        }
    )
    return {
        "title": item.title,
        "detail": " · ".join(servers),
        "net": figures.amount(sum((row.line.net for row in rows), Decimal(0)), words.locale),
        "lines": [_charge(document, words, item, row) for row in rows],
    }


def _charge(document: Document, words: Words, item: Item, row: DocumentLine) -> dict[str, Any]:
    line, locale = row.line, words.locale
    return {
        "title": _short(line.title, item.title),
        "notes": list(_notes(document, words, row)),
        "quantity": figures.quantity(line.quantity, UNITS.get(line.unit, line.unit), locale),
        "unit_price": figures.amount(line.unit_price, locale),
        "tax": figures.percent(row.rate, locale),
        "net": figures.amount(line.net, locale),
    }


def _short(title: str, group: str) -> str:
    """The line's title without what stands in the head of its group."""
    rest = title.removeprefix(group).lstrip(" ·:,-–—") or title
    return rest[:1].upper() + rest[1:]


def _notes(document: Document, words: Words, row: DocumentLine) -> Iterator[str]:
    line, locale = row.line, words.locale
    if line.service != document.period:
        yield figures.span(line.service, ZoneInfo(document.timezone), locale)
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


def _proof(document: Document, words: Words, digest: str) -> dict[str, Any]:
    return {
        "attachment": f"{document.number}.json",
        "charts": [_chart(document, words, row) for row in document.lines if row.evidence],
        "usage_note": words.usage_note.format(timezone=document.timezone),
        "verify": words.verify_note,
        "command": f"rackmeter invoice verify {document.number}.pdf",
        "digest": f"SHA-256 {digest}",
    }


def _chart(document: Document, words: Words, row: DocumentLine) -> dict[str, Any]:
    measured = metered(_scope(document, row), row.line)
    assert measured is not None  # only metered charges have evidence
    days = [sum(day) for day in zip(*(series.days for series in row.evidence), strict=True)]
    highest, unit, locale = max(days, default=0), measured.unit, words.locale
    zone = ZoneInfo(document.timezone)
    first, last = figures.ends(document.period, zone, locale)
    detail = words.measured.format(servers=_names(row.evidence, "server"), meters=_meters(row))
    if row.coverage is not None:
        observed = words.coverage.format(percent=figures.percent(row.coverage, locale))
        detail = f"{detail} · {observed}"
    return {
        "title": _item(document, row).title,
        "total": figures.base_as(row.line.base_quantity, unit, locale),
        "detail": detail,
        "days": [day * PERMILLE // highest if highest else 0 for day in days],
        "first": first,
        "last": last,
        "peak": words.peak.format(peak=figures.base_as(highest, unit, locale)),
    }


def _names(evidence: tuple[Series, ...], field: str) -> str:
    return ", ".join(dict.fromkeys(getattr(series, field) for series in evidence))


def _meters(row: DocumentLine) -> str:
    return ", ".join(
        dict.fromkeys(f"{series.meter} {series.resource}".strip() for series in row.evidence)
    )


def _scope(document: Document, row: DocumentLine) -> Scope:
    return scope_of(document, row.line)


def _item(document: Document, row: DocumentLine) -> Item:
    return item_of(_scope(document, row), row.line)
