"""What is agreed beyond prices: discounts, commitments, credits, tax treatment. Dumb frozen data.

Amounts are ``Decimal`` in the major unit of the scope's or invoice's currency.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from schemas.spans import Span


@dataclass(frozen=True, slots=True)
class Discount:
    """Less on the lines of a scope: ``percent`` of each, or ``amount`` a period over all of them,
    prorated where it holds for a part of one.

    With ``charges`` it is a line discount, without it is one on all that the scope pays.
    """

    name: str
    valid: Span
    """A line counts when its service begins inside: what is charged by time is cut at both ends."""
    percent: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    """At most what the lines come to; shared among tax categories by their nets."""
    charges: tuple[str, ...] = ()
    """Names of charges; none names all."""


class Term(StrEnum):
    """How often a commitment is settled."""

    MONTH = "month"
    YEAR = "year"
    """Drawn down month by month, from the start of the commitment; settled when a year ends."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """Money that a scope pays at least: what its lines lack when a month or year ends is charged.

    Counts net lines after discounts, before credit and tax, by the time at which their service
    begins, wherever they are invoiced. A ramp is a row of commitments, one after the other. A month
    or year of which only a part is committed counts by time.
    """

    name: str
    valid: Span
    amount: Decimal
    term: Term
    tax: str
    charges: tuple[str, ...] = ()
    """Names of charges that count; none names all."""


class CreditKind(StrEnum):
    """Promotional credit lowers the tax base, paid credit is a means of payment."""

    PROMOTIONAL = "promotional"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class Credit:
    """A wallet's entry with what is ``left`` of it.

    Drawn by priority (lowest number first), earliest expiry, then oldest; promotional before paid.
    """

    credit: str
    kind: CreditKind
    left: Decimal
    granted_at: datetime
    expires_at: datetime | None = None
    priority: int = 0


class TaxMode(StrEnum):
    """What a price says about tax."""

    EXCLUSIVE = "exclusive"
    INCLUSIVE = "inclusive"
    """The net is rounded, tax is the rest."""
    REVERSE_CHARGE = "reverse charge"
    """The buyer owes it (EN 16931 category AE): rate 0."""


class TaxRounding(StrEnum):
    """How a country rounds tax to its minor unit; negatives mirror positives."""

    HALF_UP = "half up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class TaxProfile:
    """How the tax of one invoice is computed, and what that rests on."""

    mode: TaxMode = TaxMode.EXCLUSIVE
    rounding: TaxRounding = TaxRounding.HALF_UP
    country: str = ""
    """Where the buyer is taxed, two letters; "" where nothing was entered."""
    vat_id: str = ""
    evidence: str = ""
    """What confirmed the VAT id, such as the number of an answer of VIES; "" where nobody asked."""
    checked_at: datetime | None = None
