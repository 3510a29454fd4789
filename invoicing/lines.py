"""From priced lines and their evidence to an invoice document. Pure: no database, no clock.

The scopes are priced already. What is computed here is of the whole invoice: adjustments,
promotional credit, tax, paid credit, totals; all of it from rounded nets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from invoicing.corrections import corrections, invoices_of
from invoicing.document import (
    CREDIT_NOTE,
    FORMAT,
    PAYMENT_DAYS,
    Adjusted,
    Buyer,
    Document,
    DocumentLine,
    Position,
    Priced,
    Series,
    Totals,
)
from invoicing.pieces import parts
from pipeline.money import EXACT
from pipeline.periods import closed, midnight, zone
from pipeline.rating.advance import billed_rates
from pipeline.rating.settle import settle
from pipeline.rating.taken import Taking, home
from pipeline.rating.tax import DOMESTIC
from schemas.billing import Line, Scope, Seller, Span, Taken
from schemas.serial import text_digest, to_json
from schemas.terms import Credit, TaxProfile

INVOICES: Final = UUID("6d1c1f2c-54a6-5f0e-9d3a-2f6e0b7c9a41")
"""Name space of invoice ids: random once, fixed for ever."""
UNSETTLED: Final = Decimal(0)
"""Tax rate of a line until ``draft`` sets it."""
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
    profile: TaxProfile = DOMESTIC
    corrects: str = ""
    """Number of the invoice that a credit note corrects."""


def draft(
    header: Header,
    priced: Sequence[Priced],
    rows: Sequence[DocumentLine],
    cut: Sequence[Position],
    credits_: Sequence[Credit] = (),
    adjusted: Sequence[Adjusted] = (),
    earlier: Sequence[Taken] = (),
) -> Document:
    """The document, complete but for its number; ``rows`` are those of the scopes, ``earlier`` what
    it may take back of other invoices.
    """
    corrected = [(one, corrections(one)) for one in adjusted]  # step 10
    made = [each for _, of in corrected for each in of]
    own = {each.line.key: each.rate for each in made if each.rate is not None}
    about = invoices_of(priced, (row.line for row in rows), corrected)
    for one in priced:
        own |= billed_rates(one.scope, one.inputs)
    taking = Taking(tuple(earlier), about, header.kind == CREDIT_NOTE)
    settled = settle(
        [*(row.line for row in rows), *(each.line for each in made)],
        header.seller, header.currency, header.profile, credits_, header.issued_at, own,
        taking,
    )  # fmt: skip
    added = [DocumentLine(line, UNSETTLED, (), None) for line in settled.lines[len(rows) :]]
    lines = zip([*rows, *added], settled.rates, strict=True)
    return Document(
        format=FORMAT,
        number="",
        kind=header.kind,
        corrects=header.corrects,
        invoice_id=invoice_id(header, [one.scope.scope for one in priced], adjusted),
        issued_at=header.issued_at,
        due_at=header.issued_at + PAYMENT_DAYS * DAY,
        currency=header.currency,
        timezone=header.timezone,
        period=header.period,
        seller=header.seller,
        buyer=header.buyer,
        profile=header.profile,
        lines=tuple(replace(row, rate=rate) for row, rate in lines),
        taxes=settled.taxes,
        totals=Totals(settled.net, settled.tax, settled.gross, settled.due),
        credits=drawable(credits_, settled.taken),
        paid=settled.paid,
        priced=tuple(priced),
        adjusted=tuple(adjusted),
        cut=tuple(cut),
        taken=settled.taken,
    )


def drawable(credits_: Iterable[Credit], taken: Iterable[Taken]) -> tuple[Credit, ...]:
    """Credits of which something is left, or given back."""
    back = home(taken)
    return tuple(one for one in credits_ if one.left or one.credit in back)


def document_lines(
    scope: Scope, lines: Sequence[Line], evidence: Sequence[tuple[Series, ...]]
) -> list[DocumentLine]:
    """Each line with its evidence and how much of it was observed; ``draft`` sets the rates."""
    assigned_ms = assigned(scope, lines)
    return [
        DocumentLine(line, UNSETTLED, series, coverage(assigned_ms[number], series))
        for number, (line, series) in enumerate(zip(lines, evidence, strict=True))
    ]


def assigned(scope: Scope, lines: Sequence[Line]) -> list[int]:
    """Milliseconds in which servers were assigned to each line; 0 where nothing is metered."""
    found = [0] * len(lines)
    for part in parts(scope, lines):
        found[part.line] += (part.end - part.start) // MILLISECOND
    return found


def coverage(assigned_ms: int, series: Sequence[Series]) -> Decimal | None:
    """Percent of the assigned time that was observed, rounded down: 100 means all of it."""
    if not assigned_ms:
        return None
    # A server's coverage belongs to its reports, not to one series: the best series shows it.
    best: dict[str, int] = {}
    for one in series:
        best[one.server] = max(best.get(one.server, 0), one.covered_ms)
    hundredths = min(sum(best.values()), assigned_ms) * 10_000 // assigned_ms
    return EXACT.scaleb(Decimal(hundredths), -2)


def invoice_id(header: Header, scopes: Sequence[str], adjusted: Sequence[Adjusted] = ()) -> str:
    """The same invoice has the same id, whoever makes it and however often."""
    said = [header.seller.entity, header.kind, to_json(header.period), sorted(scopes)]
    if adjusted and not scopes:  # several may correct the same period
        said.append(sorted([one.priced.scope.scope, str(one.number)] for one in adjusted))
    return str(uuid5(INVOICES, text_digest(said)))


def taxed_at(period: Span) -> datetime:
    """The instant whose tax profile a period has: its last millisecond."""
    return closed(period) - MILLISECOND


def local_days(period: Span, timezone: str) -> list[datetime]:
    """The starts of the period's days, by the midnights of that zone."""
    first = period.start.astimezone(zone(timezone)).date()
    last = closed(period).astimezone(zone(timezone)).date()
    dates = [first + number * DAY for number in range((last - first).days)]
    return [midnight(date.year, date.month, date.day, timezone) for date in dates]
