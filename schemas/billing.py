"""Words that pricing, ledger and invoicing share: timelines, usage, lines. Dumb frozen data.

Quantities are ``int`` in a meter's base unit; money, rates and billed quantities are ``Decimal``;
instants are aware ``datetime``s in UTC. No float anywhere: a test walks these types.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from schemas.prices import Charge, IntervalKind
from schemas.spans import Span as Span  # noqa: PLC0414  # a word of this room too
from schemas.terms import Commitment, Discount


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A row of the timeline ``item_price``: what a charge of an item costs during ``valid``."""

    item: str
    charge: str
    valid: Span
    price: Charge
    version: str
    """The catalogue version that wrote the row."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A row of the timeline ``assignment``: the server that serves an item."""

    server: str
    item: str
    valid: Span


@dataclass(frozen=True, slots=True)
class Interval:
    """A row of the timeline ``item_interval``: time of an item that counts in its own way."""

    item: str
    kind: IntervalKind
    valid: Span


@dataclass(frozen=True, slots=True)
class Named:
    """What a plan is called by the version of its price, from ``since`` on."""

    since: datetime
    title: str


@dataclass(frozen=True, slots=True)
class Item:
    """A slot that a customer rents; the hardware behind it may be swapped."""

    item: str
    title: str
    """As somebody said; "" where nobody did: it is called as its plan is."""
    plan: str
    valid: Span
    named: tuple[Named, ...] = ()
    """What it is called where it has no title of its own, in order of time."""

    def title_at(self, at: datetime) -> str:
        """Its own title, else that of the plan it has then."""
        if self.title or not self.named:
            return self.title or self.plan
        return [self.named[0], *(one for one in self.named if one.since <= at)][-1].title


@dataclass(frozen=True, slots=True)
class Scope:
    """What is priced and sealed as one: an item, a pool of items or a contract."""

    scope: str
    account: str
    currency: str
    timezone: str
    items: tuple[Item, ...]
    assignments: tuple[Assignment, ...]
    prices: tuple[PriceRow, ...]
    intervals: tuple[Interval, ...] = ()
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[Commitment, ...] = ()

    @property
    def ended_at(self) -> datetime | None:
        """When the last item ends, or None while one is open."""
        ends = [item.valid.end for item in self.items]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered quantity of one series over whole windows in ``[start, end)``.

    Readers of the ledger sum windows that no timeline cuts and give a cut window as a row of its
    own.
    """

    server: str
    meter: str
    resource: str
    start: datetime
    end: datetime
    quantity: int
    covered_ms: int = 0


@dataclass(frozen=True, slots=True)
class Samples:
    """Quantities of one series window by window, what a percentile is taken of.

    ``windows[n]`` belongs to the window ``n`` × 300 s after ``start``; None was not measured.
    """

    server: str
    meter: str
    resource: str
    start: datetime
    windows: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """What earlier periods of a commitment's running year came to, net; for the yearly true-up."""

    commitment: str
    net: Decimal


@dataclass(frozen=True, slots=True)
class Billed:
    """Net that an earlier invoice charged in advance for this period."""

    item: str
    charge: str
    tax: str
    net: Decimal
    rate: Decimal | None = None
    """Tax rate in percent of what billed it; None in documents that did not keep it."""
    since: datetime | None = None
    """When the year of a commitment began that its service is in; None: none in this period."""
    retaxed: bool = False
    """The period has another rate: it is taken off, and the fee charged, however they compare."""
    invoice: str = ""
    """Number of the period before's invoice, which billed it; "" where that is not known."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Base units to be used after what is included: a pack, or what an earlier period left."""

    name: str
    """``pack/item/charge/when booked``, or ``rollover/pot/start of the period that left it``."""
    pot: str
    """Whose use it serves: ``/pool``, or ``item/charge/unit``."""
    left: int
    expires_at: datetime
    """The end of a period."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that ``price`` reads besides the scope; accruals and seals store this. The only
    money in it was invoiced before.
    """

    period: Span
    usage: tuple[Usage, ...] = ()
    samples: tuple[Samples, ...] = ()
    spent: tuple[Spent, ...] = ()
    billed: tuple[Billed, ...] = ()
    lots: tuple[Lot, ...] = ()
    """As the newest period that used them left them; a pack that nothing was used of is in none."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """A place where a figure was rounded: what, the exact figure as a fraction or decimal text, the
    result.
    """

    what: str
    exact: str
    rounded: Decimal


class LineKind(StrEnum):
    """What a line is; only a ``CHARGE`` has a price row."""

    CHARGE = "charge"
    FLAT = "flat"
    """A fixed part of a charge: the flat fee of a tier, or a commit."""
    DISCOUNT = "discount"
    TRUE_UP = "true-up"
    BILLED = "billed in advance"
    """Takes off what an earlier invoice charged for this time."""
    CREDIT = "credit"
    ADJUSTMENT = "adjustment"
    """What a line of a sealed period comes to by now, less what was billed for it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One invoice line. ``quantity × unit_price`` rounds to ``net`` unless ``capped``."""

    key: str
    """Stable reference: ``scope/item/charge/period start/part``; also upsert key and idempotency
    seed.
    """
    scope: str
    item: str
    charge: str
    title: str
    service: Span
    """Service period of this line."""
    quantity: Decimal
    unit: str
    unit_price: Decimal
    net: Decimal
    tax: str
    version: str
    base_quantity: int = 0
    """Exact quantity in base units before the allowance (usage) or milliseconds rented (rent)."""
    allowance: int = 0
    capped: bool = False
    roundings: tuple[Rounding, ...] = ()
    kind: LineKind = LineKind.CHARGE
    tier: int = 0
    """Position among the lines of one charge and service time; the first carries
    ``base_quantity``.
    """
    above: Decimal = Decimal(0)
    """Billing units of the same charge and period that other lines price before this one."""
    lots: tuple[Lot, ...] = ()
    """What the period leaves of packs and of its allowance, on the last line that uses them."""
    corrects: str = ""
    """Key of the line that an adjustment corrects."""


@dataclass(frozen=True, slots=True)
class BilledLine:
    """What was billed until now under one key of a sealed period, adjustments included."""

    key: str
    net: Decimal
    tax: str
    rate: Decimal
    """Tax rate of the invoice that billed it, in percent: a correction keeps it."""
    title: str
    service: Span
    scope: str
    item: str
    charge: str
    version: str = ""
    kind: LineKind = LineKind.CHARGE


@dataclass(frozen=True, slots=True)
class TaxLine:
    """Tax on the sum of nets of one category and rate (EN 16931 BR-CO-17)."""

    category: str
    rate: Decimal
    base: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Used:
    """Promotional credit that an invoice used, and that is not given back until now."""

    credit: str
    left: Decimal
    back: Decimal = Decimal(0)
    """What a document gives back of it to the wallet."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a document takes back of an earlier invoice, in one tax category and rate. All amounts
    count upwards, and include tax where prices do.
    """

    invoice: str
    category: str
    rate: Decimal
    charged: Decimal
    """What the invoice charged, less the promotional credit that it used."""
    tax: Decimal
    """The tax that it charged."""
    before: Decimal
    """What credit notes took back of it before."""
    before_tax: Decimal
    used: tuple[Used, ...] = ()
    """In the order in which they were drawn."""
    back: Decimal = Decimal(0)
    """What this document takes back of ``charged``, besides credit."""
    back_tax: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Seller:
    """The legal entity that sells."""

    entity: str
    name: str
    address: tuple[str, ...]
    vat_id: str
    timezone: str
    currency: str
    tax: dict[str, Decimal]
    """Tax category → rate in percent."""
    iban: str = ""
    """Account to pay to, without spaces; "" where customers are not asked to transfer."""
    bic: str = ""
