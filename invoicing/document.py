"""The invoice document: the whole truth of an invoice; PDF and tables derive from it.

Pure. It holds what was priced (scope and inputs) beside what came out (lines, taxes, totals), so a
customer recomputes it with no database. Evidence is per day, not per window: a month of one server
is 31 sums a series instead of 8,928 windows.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from schemas.billing import Inputs, Line, Scope, Seller, Span, TaxLine

FORMAT: Final = "rackmeter.invoice/1"
"""Raised when a reader of the previous format could misunderstand the new one."""

PAYMENT_DAYS: Final = 14
"""Term of payment: what German business customers expect when nothing else was agreed."""


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
class Position:
    """A partition of the log as the invoice saw it; ledger rows above are adjustments."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of the rounded lines and of the tax lines."""

    net: Decimal
    tax: Decimal
    gross: Decimal


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice before its digests are taken (:mod:`invoicing.digest`)."""

    format: str
    number: str
    kind: str
    invoice_id: str
    issued_at: datetime
    due_at: datetime
    currency: str
    timezone: str
    """The customer's: days and the period are cut by its midnights."""
    period: Span
    seller: Seller
    buyer: Buyer
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxLine, ...]
    totals: Totals
    priced: tuple[Priced, ...]
    cut: tuple[Position, ...]


def numbered(draft: Document, number: str) -> Document:
    """The draft with its number: the last thing that is decided."""
    return replace(draft, number=number)
