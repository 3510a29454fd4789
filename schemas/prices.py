"""What a charge measures and what that costs: the two halves of a price, any with any. Dumb frozen
data.

A ``Charge`` has a ``Quantity`` (a fee, started hours, metered use, a percentile, an allocation) and
a ``Model`` that makes money of it (per unit, package, graduated, volume). Base units are ``int``;
prices, tiers and steps are ``Decimal`` from text, in the billing unit and the major unit of the
currency. No float anywhere: a test walks these types.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final


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
    """A billing unit: ``is_`` base units of meter family ``of``; billed in steps of ``step``.

    Of a rate (Mbps), ``is_`` is how many base units one window of 300 s holds at that rate:
    37,500,000 bytes for 1 Mbps.
    """

    name: str
    of: str
    is_: int
    step: Decimal


# --- quantities: what is measured -----------------------------------------------------------------

HOUR: Final = Unit("hour", "", 3_600_000, Decimal(1))
"""Started hours; the base unit is a millisecond rented."""
MONTH: Final = Unit("month", "", 1_000_000, Decimal("0.000001"))
"""Months of a fee; a prorated one is billed to the millionth, 2.7 seconds."""
ONCE: Final = Unit("fee", "", 1, Decimal(1))
"""A fee charged once."""


class Every(StrEnum):
    """How often a fee is due."""

    ONCE = "once"
    """In the period in which the item starts, or its free time ends; a later price change does not
    charge it again.
    """
    BOOKED = "booked"
    """Of an add-on: in the period in which it is booked, or free time then ends, and for each that
    is booked later.
    """
    MONTH = "month"


class Bill(StrEnum):
    """Which invoice a monthly fee is on: the one of its own period, or the one before."""

    ARREARS = "arrears"
    ADVANCE = "advance"


@dataclass(frozen=True, slots=True)
class Fee:
    """A fixed fee, ``count`` times (four addresses: 4). Due whole as soon as its time begins."""

    every: Every = Every.MONTH
    bill: Bill = Bill.ARREARS
    count: int = 1


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours started since the item was handed over; powered off is still rented."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Everything metered, over all resources: bytes, busy milliseconds, MiB-seconds."""

    meters: tuple[str, ...]
    unit: Unit
    source: Source = Source.AGENT
    gap: Gap = Gap.INTERPOLATE


class Take(StrEnum):
    """How several directions become one figure."""

    MAX_OF_P95 = "max of p95"
    """The percentile of each meter, then the largest."""
    P95_OF_MAX = "p95 of max"
    """The largest meter of each window, then the percentile."""
    SUM = "sum"
    """The sum of the meters in each window, then the percentile."""


class Missing(StrEnum):
    """How an owned window without a reading counts in a percentile."""

    SKIP = "skip"
    """Not at all: the percentile is over the windows that were measured."""
    ZERO = "zero"


class Below(StrEnum):
    """What follows where too few windows were measured for a percentile."""

    NOTE = "note"
    """It is billed, and the line says how much was measured."""
    PARK = "park"
    """Nothing is invoiced until a person has decided."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """Rate that all but ``100 − percent`` of the owned windows stay within.

    N windows are sorted and the floor((100 − percent) N / 100) highest are discarded; the highest
    that is left is billed. ``unit`` is a rate.
    """

    meters: tuple[str, ...]
    unit: Unit
    take: Take = Take.MAX_OF_P95
    percent: int = 95
    pool: str = ""
    """Items of a scope with the same pool are summed window by window, then the percentile."""
    missing: Missing = Missing.SKIP
    source: Source = Source.SWITCH
    coverage: int = 0
    """Percent of the owned windows that have to be measured, of each meter; 0 asks for nothing."""
    below: Below = Below.NOTE


@dataclass(frozen=True, slots=True)
class Allocation:
    """Milliseconds in which ``count`` of something were allocated, from the item's timeline.

    A silent server still bills; what ``evidence`` (a meter) says is shown beside it, never billed.
    """

    unit: Unit
    count: int = 1
    evidence: str = ""


Quantity = Fee | Hours | Sum | Percentile | Allocation


@dataclass(frozen=True, slots=True)
class Share:
    """``taken`` of ``whole`` parts: a MIG slice of 1g of 7g is Share(1, 7). Multiplied exactly."""

    taken: int = 1
    whole: int = 1


@dataclass(frozen=True, slots=True)
class Rollover:
    """What is left of an allowance when a period ends is there in later ones, after theirs."""

    most: int
    """Base units that one period hands on at most."""
    months: int
    """Of how many following months it can be used."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What one of an add-on brings once, to be used up after what is included."""

    quantity: int
    """Base units."""
    pool: str
    months: int
    """In how many months it can be used; that in which it is booked is the first."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is included: base units a month, used up in the order of time.

    ``pool``: shared by the charges of a scope that name the same pool; a pool holds the sum of what
    its members bring. A fee that brings an allowance is an add-on.
    """

    quantity: int
    prorate: bool = True
    """True: counts for the share of the period that the item was owned, rounded up."""
    pool: str = ""
    rollover: Rollover | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """Billing units a month that are paid whether used or not; the model prices what is above."""

    quantity: Decimal
    price: Decimal


# --- models: what it costs ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Quantity × ``price``."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class Package:
    """``price`` for every ``size`` billing units begun; none at zero."""

    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Tier:
    """Units above the previous tier and up to ``up_to``, inclusive; None is all further ones."""

    up_to: Decimal | None
    price: Decimal = Decimal(0)
    """A unit."""
    flat: Decimal = Decimal(0)
    """Once, when the tier is reached; the first tier is reached at zero."""


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each unit costs what its own tier says. Tiers ascend; the last has no ``up_to``."""

    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """All units cost what the tier of the last unit says; with flat parts only, a price a step."""

    tiers: tuple[Tier, ...]


Model = PerUnit | Package | Graduated | Volume


# --- charges: both together -----------------------------------------------------------------------


class IntervalKind(StrEnum):
    """Why an item's time is special."""

    TRIAL = "trial"
    SUSPENSION = "suspension"
    EXCLUSION = "exclusion"
    """The provider's fault: a GPU that failed."""
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Charge:
    """One priced thing of a plan."""

    quantity: Quantity
    model: Model
    tax: str
    """Tax category, a key of ``Seller.tax``."""
    allowance: Allowance | None = None
    commit: Commit | None = None
    cap: Decimal | None = None
    """The most that one item pays for the charge in a period; not prorated."""
    share: Share = Share()
    """Of the measured quantity; applied to the exact figure, before any rounding."""
    prorate: bool = True
    """True: a fee, a percentile and a commit count for the share of the period that was owned."""
    free: tuple[IntervalKind, ...] = (IntervalKind.TRIAL, IntervalKind.EXCLUSION)
    """Intervals of the item in which nothing is charged and no allowance grows."""
    alerts: tuple[int, ...] = ()
    """Percent of the allowance at which the customer is told, ascending."""
    alert_quantities: tuple[int, ...] = ()
    """Base units at which the customer is told, ascending."""
    alert_nets: tuple[Decimal, ...] = ()
    """Net amounts of the charge at which the customer is told, ascending."""
    forecast: bool = False
    """The customer is told when the allowance will be used up in the period at this rate."""
    pack: Pack | None = None
    """Of a booked add-on."""

    @property
    def unit(self) -> Unit:
        """What is billed."""
        match self.quantity:
            case Hours():
                return HOUR
            case Fee(every=Every.ONCE | Every.BOOKED):
                return ONCE
            case Fee():
                return MONTH
            case Sum(unit=unit) | Percentile(unit=unit) | Allocation(unit=unit):
                return unit
