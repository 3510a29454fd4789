"""From priced lines and their evidence to an invoice document. Pure: no database, no clock.

Nothing is priced here; tax and totals are the only arithmetic, and both come from the rounded nets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from invoicing.document import (
    FORMAT,
    PAYMENT_DAYS,
    Buyer,
    Document,
    DocumentLine,
    Position,
    Priced,
    Series,
    Totals,
)
from invoicing.pieces import parts
from pipeline.money import EXACT, exact_sum
from pipeline.periods import closed, midnight, zone
from pipeline.rating.tax import tax_lines
from schemas.billing import Line, Scope, Seller, Span, TaxLine
from schemas.serial import digest, to_json

INVOICES: Final = UUID("6d1c1f2c-54a6-5f0e-9d3a-2f6e0b7c9a41")
"""Name space of invoice ids: random once, fixed for ever."""
UNKNOWN: Final = Decimal(0)
"""Rate of a category that the seller does not know; ``tax_lines`` refuses it in words."""
DAY: Final = timedelta(days=1)
MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Header:
    """What an invoice says before its first line."""

    kind: str
    issued_at: datetime
    timezone: str
    currency: str
    period: Span
    seller: Seller
    buyer: Buyer


def draft(
    header: Header,
    priced: Sequence[Priced],
    lines: Sequence[DocumentLine],
    cut: Sequence[Position],
) -> Document:
    """The document, complete but for its number."""
    taxes = tax_lines((row.line for row in lines), header.seller, header.currency)
    return Document(
        format=FORMAT,
        number="",
        kind=header.kind,
        invoice_id=invoice_id(header, [one.scope.scope for one in priced]),
        issued_at=header.issued_at,
        due_at=header.issued_at + PAYMENT_DAYS * DAY,
        currency=header.currency,
        timezone=header.timezone,
        period=header.period,
        seller=header.seller,
        buyer=header.buyer,
        lines=tuple(lines),
        taxes=taxes,
        totals=totals([row.line for row in lines], taxes),
        priced=tuple(priced),
        cut=tuple(cut),
    )


def document_lines(
    scope: Scope,
    lines: Sequence[Line],
    evidence: Sequence[tuple[Series, ...]],
    seller: Seller,
) -> list[DocumentLine]:
    """Each line with its tax rate, its evidence and how much of it was observed."""
    return [
        DocumentLine(
            line, seller.tax.get(line.tax, UNKNOWN), series, coverage(scope, lines, number, series)
        )
        for number, (line, series) in enumerate(zip(lines, evidence, strict=True))
    ]


def coverage(
    scope: Scope, lines: Sequence[Line], number: int, series: Sequence[Series]
) -> Decimal | None:
    """Percent of the assigned time that was observed, rounded down: 100 means all of it."""
    mine = [part for part in parts(scope, lines) if part.line == number]
    assigned_ms = sum((part.end - part.start) // MILLISECOND for part in mine)
    if not assigned_ms:
        return None
    # A server's coverage belongs to its reports, not to one series: the best series shows it.
    best: dict[str, int] = {}
    for one in series:
        best[one.server] = max(best.get(one.server, 0), one.covered_ms)
    hundredths = min(sum(best.values()), assigned_ms) * 10_000 // assigned_ms
    return EXACT.scaleb(Decimal(hundredths), -2)


def totals(lines: Sequence[Line], taxes: Sequence[TaxLine]) -> Totals:
    """Net is the sum of rounded lines, tax the sum of tax lines."""
    net = exact_sum(line.net for line in lines)
    tax = exact_sum(tax.tax for tax in taxes)
    return Totals(net, tax, EXACT.add(net, tax))


def invoice_id(header: Header, scopes: Sequence[str]) -> str:
    """The same invoice has the same id, whoever makes it and however often."""
    said = [header.seller.entity, header.kind, to_json(header.period), sorted(scopes)]
    return str(uuid5(INVOICES, digest(said)))


def local_days(period: Span, timezone: str) -> list[datetime]:
    """The starts of the period's days, by the midnights of that zone."""
    first = period.start.astimezone(zone(timezone)).date()
    last = closed(period).astimezone(zone(timezone)).date()
    dates = [first + number * DAY for number in range((last - first).days)]
    return [midnight(date.year, date.month, date.day, timezone) for date in dates]
