"""The invoice document: the whole truth of an invoice; PDF and tables derive from it.

Pure. It holds what was priced (scope and inputs) beside what came out (lines, taxes, totals), so a
customer recomputes it with no database. Evidence is per day, not per window: a month of one server
is 31 sums a series instead of 8,928 windows.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from pipeline.rating.credit import Draw
from schemas.billing import BilledLine, Inputs, Line, LineKind, Scope, Seller, Span, Taken, TaxLine
from schemas.terms import Credit, TaxProfile

FORMAT: Final = "rackmeter.invoice/2"
"""Raised when a reader of the previous format could misunderstand the new one."""

PAYMENT_DAYS: Final = 14
"""Term of payment: what German business customers expect when nothing else was agreed."""

INVOICE: Final = "invoice"
CREDIT_NOTE: Final = "credit-note"
OF_THE_WHOLE: Final = frozenset({LineKind.ADJUSTMENT, LineKind.CREDIT})
"""Lines that no scope's pricing makes: what corrects older invoices, and promotional credit."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """The customer as known when the invoice was issued; a copy, later changes do not reach it."""

    account: str
    name: str
    address: tuple[str, ...]
    country: str
    vat_id: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A cumulative reading of a series and where its report stands in Kafka."""

    origin: str
    at: datetime
    kind: str
    seq: int
    value: int
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Series:
    """What one series contributed to one line: per local day, in base units."""

    server: str
    meter: str
    resource: str
    quantity: int
    windows: int
    """Windows with a row in the ledger, cut ones included."""
    first: datetime
    """Start of the first of them."""
    last: datetime
    """Start of the last of them."""
    covered_ms: int
    days: tuple[int, ...]
    """One sum a local day of the invoice's period, in order; a day without windows is 0."""
    readings: tuple[Reading, ...]
    """First and last reading kept of each origin that reported in the line's time."""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line with the tax rate that applied and the measurements behind it (none for rent)."""

    line: Line
    rate: Decimal
    evidence: tuple[Series, ...]
    coverage: Decimal | None
    """Percent of the assigned time that was observed; None where nothing is metered."""


@dataclass(frozen=True, slots=True)
class Priced:
    """Arguments of ``price``: repeating the call gives the invoice's lines of this scope."""

    scope: Scope
    inputs: Inputs
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A sealed scope and period that this document corrects: priced as known now, and what was
    billed for it until now. The difference is in the lines.
    """

    invoice: str
    """Number under which it was billed first; "" where it was sealed with nothing to bill."""
    priced: Priced
    billed: tuple[BilledLine, ...]
    number: int = 1
    """Which correction of this scope and period it is."""
    rates: dict[str, Decimal] = field(default_factory=dict)
    """Tax category → rate in percent, of that invoice; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Position:
    """A partition of the log as the invoice saw it; ledger rows above are adjustments."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of the rounded lines and of the tax lines; due is gross less the paid credit drawn."""

    net: Decimal
    tax: Decimal
    gross: Decimal
    due: Decimal


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice before its digests are taken (:mod:`invoicing.digest`)."""

    format: str
    number: str
    kind: str
    """``invoice`` or ``credit-note``."""
    corrects: str
    """Number of the invoice that a credit note corrects, else ""."""
    invoice_id: str
    issued_at: datetime
    due_at: datetime
    currency: str
    timezone: str
    """The customer's: days and the period are cut by its midnights."""
    period: Span
    seller: Seller
    buyer: Buyer
    profile: TaxProfile
    """How the buyer is taxed, as known when it was issued."""
    lines: tuple[DocumentLine, ...]
    """Of the scopes, then adjustments, then promotional credit."""
    taxes: tuple[TaxLine, ...]
    totals: Totals
    credits: tuple[Credit, ...]
    """The wallet when it was issued: what is left of each credit."""
    paid: tuple[Draw, ...]
    """Paid credit that it draws; promotional credit is among the lines."""
    priced: tuple[Priced, ...]
    adjusted: tuple[Adjusted, ...]
    cut: tuple[Position, ...]
    taken: tuple[Taken, ...] = ()
    """What it takes back of earlier invoices, which stood as is said here when it was issued."""


def of_scopes(document: Document) -> list[DocumentLine]:
    """The lines that pricing the scopes made: without adjustments and promotional credit."""
    return [row for row in document.lines if row.line.kind not in OF_THE_WHOLE]


def scope_of(document: Document, line: Line) -> Scope:
    """The scope of a line, also of one that corrects a scope which is not priced here."""
    known = [*document.priced, *(one.priced for one in document.adjusted)]
    return next(one.scope for one in known if one.scope.scope == line.scope)


def adjusted_of(document: Document, line: Line) -> Adjusted:
    """What an adjustment belongs to: its scope's period that holds the start of its service."""
    mine = [one for one in document.adjusted if one.priced.scope.scope == line.scope]
    named = (one for one in mine if one.priced.inputs.period.holds(line.service.start))
    return next(named, mine[0])


def below_zero(document: Document) -> bool:
    """No invoice may be: what comes to less than nothing is a credit note."""
    return document.totals.net < 0 or document.totals.gross < 0


def numbered(draft: Document, number: str) -> Document:
    """The draft with its number: the last thing that is decided."""
    return replace(draft, number=number)
