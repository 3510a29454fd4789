"""Small worlds to price: one month, a few items, and Hypothesis strategies for whole months."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pipeline.rating.price import price
from schemas.billing import Assignment, Inputs, Item, Line, PriceRow, Scope, Span, Usage
from schemas.prices import Allowance, Charge, Hours, Model, PerUnit, Sum, Tier, Unit
from schemas.spans import WIDTH_MS
from tests.pipeline.rating.places import APRIL, Place, marks, places
from tests.pipeline.rating.places import HOUR as HOUR  # noqa: PLC0414  # a word of this room too
from tests.pipeline.rating.places import WIDTH as WIDTH  # noqa: PLC0414
from tests.pipeline.rating.places import instants as instants_of

MONTH = APRIL.period
"""720 hours: no clock changes, so that a reader can do the sums in the head."""
START, END = APRIL.start, APRIL.end
TX = "net.tx_bytes"

TB = Unit("TB", "net.bytes", 10**12, Decimal("0.001"))
GB = Unit("GB", "net.bytes", 10**9, Decimal("0.001"))


def hour(hours: int | str) -> datetime:
    """The instant that many hours into the month."""
    microseconds = Decimal(hours) * 3_600_000_000
    return START + timedelta(microseconds=int(microseconds))


def hourly(rate: str, cap: str | None = None) -> Charge:
    most = None if cap is None else Decimal(cap)
    return Charge(Hours(), PerUnit(Decimal(rate)), "hosting", cap=most)


def traffic(price: str = "1.29", tb: int = 20, *, unit: Unit = TB, prorate: bool = True) -> Charge:
    """Sent bytes above ``tb`` billing units."""
    included = Allowance(tb * unit.is_, prorate)
    return Charge(
        Sum((TX,), unit), PerUnit(Decimal(price)), "hosting", included, alerts=(50, 80, 100)
    )


def row(
    price: Charge, charge: str, valid: Span = MONTH, item: str = "web", at: str = "v1"
) -> PriceRow:
    return PriceRow(item, charge, valid, price, at)


def scope_of(
    *rows: PriceRow, rented: Span = MONTH, currency: str = "EUR", server: str = "srv"
) -> Scope:
    """One item, served by one server as long as it is rented."""
    return Scope(
        scope="acme",
        account="acme",
        currency=currency,
        timezone="UTC",
        items=(Item("web", "web-1", "ax", rented),),
        assignments=(Assignment(server, "web", rented),),
        prices=rows,
    )


def used(quantity: int, start: datetime = START, end: datetime = END, server: str = "srv") -> Usage:
    return Usage(server, TX, "eth0", start, end, quantity)


def inputs_of(*usage: Usage) -> Inputs:
    return Inputs(MONTH, usage)


# --- whole months, drawn -------------------------------------------------------------------------

laws = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason to fail: drawing a whole month takes some milliseconds."""

ITEMS = ("web", "db")
SERVERS = ("srv-1", "srv-2", "srv-3")
RATES = ("0", "0.0001", "0.0120", "0.0833", "1.5")
CAPS = (None, "0.00", "6.00", "49.00", "109.00")

windows = st.integers(0, 30 * 288 - 1)
"""Of any month of ``places``."""
quantities = st.one_of(st.integers(0, 1000), st.integers(0, 2**40))


class World(NamedTuple):
    """A scope, what was measured of it in the period of its place, and when it is looked at."""

    place: Place
    scope: Scope
    inputs: Inputs
    as_of: datetime

    @property
    def end(self) -> datetime:
        return self.place.end


@cache
def _points(place: Place, step_ms: int) -> st.SearchStrategy[datetime]:
    last = (place.windows + 1000) * WIDTH_MS // step_ms
    anywhere = st.integers(-1000 * WIDTH_MS // step_ms, last).map(
        lambda number: place.start + timedelta(milliseconds=number * step_ms)
    )
    return st.one_of(anywhere, st.sampled_from(marks(place)))


@st.composite
def cuts(draw: st.DrawFn, most: int, fine: bool = False, place: Place = APRIL) -> list[Span]:
    """Spans without overlap, in order, with or without gaps; on window edges unless ``fine``."""
    at = sorted(
        draw(st.sets(_points(place, 1 if fine else WIDTH_MS), min_size=2, max_size=most + 1))
    )
    spans = [Span(start, end) for start, end in pairwise(at)]
    if draw(st.booleans()):
        spans[-1] = Span(spans[-1].start, None)
    kept = draw(st.lists(st.sampled_from(spans), min_size=1, unique=True))
    return sorted(kept, key=lambda span: span.start)


@st.composite
def charges(draw: st.DrawFn, charge: str, place: Place) -> Charge:
    if charge == "rent":
        cap = draw(st.sampled_from(CAPS))
        rate = place.money(draw(st.sampled_from(RATES)))
        return hourly(str(rate), None if cap is None else str(place.money(cap)))
    unit, prorate = draw(st.sampled_from([TB, GB])), draw(st.booleans())
    price = place.money(draw(st.sampled_from(["0.001", "1.29", "2.00"])))
    return traffic(str(price), draw(st.integers(0, 3)), unit=unit, prorate=prorate)


@st.composite
def scopes(draw: st.DrawFn, fine: bool = False, place: Place = APRIL) -> Scope:
    """Two items with prices that change, served by servers that are swapped."""
    items, prices = [], []
    for name in ITEMS:
        rented = draw(cuts(1, fine, place))[0]
        items.append(Item(name, name, "ax", rented))
        for charge in ("rent", "traffic"):
            for number, span in enumerate(draw(cuts(3, fine, place))):
                prices.append(row(draw(charges(charge, place)), charge, span, name, f"v{number}"))
    assignments = [
        Assignment(server, draw(st.sampled_from((*ITEMS, "elsewhere"))), span)
        for server in SERVERS
        for span in draw(cuts(3, fine, place))
    ]
    return Scope(
        "acme", "acme", place.currency, place.timezone, tuple(items), tuple(assignments),
        tuple(prices),
    )  # fmt: skip


@st.composite
def usages(draw: st.DrawFn, place: Place = APRIL) -> Usage:
    """Usage over whole windows, of a server that may serve nobody."""
    start = draw(st.integers(0, place.windows - 1))
    end = draw(st.integers(start + 1, place.windows))
    server = draw(st.sampled_from((*SERVERS, "idle")))
    meter = draw(st.sampled_from((TX, "net.rx_bytes")))
    from_, to = place.edge(start), place.edge(end)
    return Usage(server, meter, "eth0", from_, to, draw(quantities), draw(windows))


def usage_of(place: Place) -> st.SearchStrategy[Inputs]:
    return st.builds(Inputs, st.just(place.period), st.lists(usages(place), max_size=6).map(tuple))


inputs = usage_of(APRIL)
instants = instants_of(APRIL)


@st.composite
def months(draw: st.DrawFn, fine: bool = False) -> World:
    """A month of rent and traffic, in any of ``places``."""
    place = draw(places)
    return World(place, draw(scopes(fine, place)), draw(usage_of(place)), draw(instants_of(place)))


# --- one charge, one line of text for each invoice line ------------------------------------------

COUNT = Unit("call", "net.bytes", 1, Decimal(1))
"""Whole things, counted one by one."""


def counted(model: Model, unit: Unit = COUNT, **terms: Any) -> Charge:
    """Metered usage of that price."""
    return Charge(Sum((TX,), unit), model, "hosting", **terms)


def tiers(*rows: tuple[str | None, str, str]) -> tuple[Tier, ...]:
    """(up to, price a unit, flat fee)."""
    return tuple(
        Tier(None if up is None else Decimal(up), Decimal(p), Decimal(f)) for up, p, f in rows
    )


def bill(
    charge: Charge, quantity: int = 0, rented: Span = MONTH, currency: str = "EUR"
) -> list[Line]:
    """What one charge of one item comes to at the end of the month."""
    scope = scope_of(row(charge, "it", Span(rented.start)), rented=rented, currency=currency)
    usage = (used(quantity, rented.start, rented.end or END),) if quantity else ()
    return list(price(scope, inputs_of(*usage), END))


def said(lines: Iterable[Line]) -> list[str]:
    return [f"{x.quantity} {x.unit} × {x.unit_price} = {x.net}" for x in lines]


def total(lines: Iterable[Line]) -> Decimal:
    return sum((line.net for line in lines), Decimal(0))
