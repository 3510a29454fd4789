"""Words that pricing, ledger and invoicing share: spans, timelines, prices, usage, lines. Dumb
frozen data.

Quantities are ``int`` in a meter's base unit; money, rates and billed quantities are ``Decimal``;
instants are aware ``datetime``s in UTC. No float anywhere: a test walks these types.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open ``[start, end)``; ``end`` None is open."""

    start: datetime
    end: datetime | None = None

    def clip(self, start: datetime, end: datetime) -> "Span | None":
        """The part inside ``[start, end)``, or None when nothing is left."""
        low = max(self.start, start)
        high = end if self.end is None else min(self.end, end)
        return Span(low, high) if low < high else None


class Source(StrEnum):
    """Where a quantity comes from; a gap means something else for each."""

    AGENT = "agent"
    SWITCH = "switch"
    PDU = "pdu"
    STORAGE = "storage"
    PROVISIONING = "provisioning"


class Gap(StrEnum):
    """What unobserved time costs. ``ZERO`` is refused for a meter whose source is the agent."""

    INTERPOLATE = "interpolate"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class Unit:
    """A billing unit: ``is_`` base units of meter family ``of``; billed in steps of ``step``."""

    name: str
    of: str
    is_: int
    step: Decimal


@dataclass(frozen=True, slots=True)
class HourlyCap:
    """Rent by the started hour, at most ``cap`` a month (None: no cap)."""

    rate: Decimal
    cap: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Overage:
    """Metered usage above an allowance. ``allowance`` is base units a month."""

    meters: tuple[str, ...]
    unit: Unit
    price: Decimal
    allowance: int = 0
    prorate: bool = True
    """True: the allowance counts for the share of the period that the item was owned, rounded up.
    """
    source: Source = Source.AGENT
    gap: Gap = Gap.INTERPOLATE
    alerts: tuple[int, ...] = ()
    """Percent of the allowance at which the customer is told, ascending."""


Model = HourlyCap | Overage


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A row of the timeline ``item_price``: what a charge of an item costs during ``valid``."""

    item: str
    charge: str
    valid: Span
    model: Model
    tax: str
    """Tax category, a key of ``Seller.tax``."""
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
class Item:
    """A slot that a customer rents; the hardware behind it may be swapped."""

    item: str
    title: str
    plan: str
    valid: Span


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
class Inputs:
    """Everything that ``price`` reads besides the scope; accruals and seals store this, never
    money.
    """

    period: Span
    usage: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class Rounding:
    """A place where a figure was rounded: what, the exact figure as a fraction or decimal text, the
    result.
    """

    what: str
    exact: str
    rounded: Decimal


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
    roundings: tuple[Rounding, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class TaxLine:
    """Tax on the sum of nets of one category and rate (EN 16931 BR-CO-17)."""

    category: str
    rate: Decimal
    base: Decimal
    tax: Decimal


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
