"""What the page shows: a document's figures as strings in the reader's language. Pure.

The template sets what it gets; it neither computes nor formats. The only arithmetic here is for the
eye: bar heights, sums of groups, quantities in a unit that fits.
"""

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale

from invoicing.document import CREDIT_NOTE, Document
from invoicing.documents import figures
from invoicing.documents.charts import charts
from invoicing.documents.groups import groups
from invoicing.documents.words import LANGUAGES, Words
from schemas.terms import TaxMode

PART = "\0"
"""Stands where a text is divided; no name or amount can hold it."""


def view(document: Document, digest: str, language: str = "en") -> dict[str, Any]:
    """Everything that the template reads."""
    words = LANGUAGES[language]
    return {**_frame(document, words), **_body(document, words), **_proof(document, words, digest)}


def _frame(document: Document, words: Words) -> dict[str, Any]:
    seller, buyer = document.seller, document.buyer
    corrects = document.kind == CREDIT_NOTE
    heading = f"{words.credit_note if corrects else words.invoice} {document.number}"
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
        "subject": (words.subject_credit if corrects else words.subject).format(
            period=figures.span(document.period, zone, words.locale),
            currency=document.currency,
            invoice=document.corrects,
        ),
    }


def _facts(document: Document, words: Words, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    corrects = document.kind == CREDIT_NOTE
    yield words.credit_number if corrects else words.number, document.number
    yield words.issued, figures.day(document.issued_at, zone, words.locale)
    if document.corrects:
        yield words.corrects, document.corrects
    yield words.period, figures.span(document.period, zone, words.locale)
    yield words.customer, document.buyer.account
    if document.buyer.vat_id:
        yield words.vat_id, document.buyer.vat_id
    if document.totals.due > 0:
        yield words.due, figures.day(document.due_at, zone, words.locale)


def _body(document: Document, words: Words) -> dict[str, Any]:
    def money(value: Decimal) -> str:
        return figures.money(value, document.currency, words.locale)

    *titles, last = words.columns
    totals = document.totals
    return {
        "columns": [*titles, f"{last} {document.currency}"],
        "groups": groups(document, words),
        "totals": {
            "net": money(totals.net),
            "gross": money(totals.gross),
            "due": money(totals.due),
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
        "payment": _payment(document, words, money(abs(totals.due))),
        "account": _account(document, words),
        "tax_notes": list(_tax_notes(document, words)),
        "number": document.number,
    }


def _payment(document: Document, words: Words, due: str) -> list[str]:
    """In parts around the number, which the template keeps on one line."""
    if not document.totals.due:
        return [words.nothing_to_pay]
    said = words.pay_by if document.totals.due > 0 else words.in_favour
    day = figures.day(document.due_at, ZoneInfo(document.timezone), words.locale)
    return said.format(gross=due, due=day, number=PART).split(PART)


def _account(document: Document, words: Words) -> str:
    """Where to pay to, the IBAN in groups of four."""
    seller = document.seller
    if not seller.iban or document.totals.due <= 0:
        return ""
    grouped = "\u00a0".join(seller.iban[at : at + 4] for at in range(0, len(seller.iban), 4))
    return f"{words.account}: IBAN\u00a0{grouped}" + (
        f", BIC\u00a0{seller.bic}" if seller.bic else ""
    )


def _tax_notes(document: Document, words: Words) -> Iterator[str]:
    mode = document.profile.mode
    if mode is TaxMode.REVERSE_CHARGE and any(not row.rate for row in document.lines):
        yield words.reverse_charge
    if mode is TaxMode.INCLUSIVE:
        yield words.inclusive


def _proof(document: Document, words: Words, digest: str) -> dict[str, Any]:
    return {
        "attachment": f"{document.number}.json",
        "charts": charts(document, words),
        "usage_note": words.usage_note.format(timezone=document.timezone),
        "verify": words.verify_note,
        "command": f"rackmeter invoice verify {document.number}.pdf",
        "digest": f"SHA-256 {digest}",
    }
