"""Hypothesis strategies for every charge there is: any quantity with any model and any terms."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cache

from hypothesis import strategies as st

from schemas.billing import (
    Assignment,
    Billed,
    Inputs,
    Interval,
    Item,
    Lot,
    Samples,
    Scope,
    Span,
    Spent,
)
from schemas.prices import (
    Allocation,
    Allowance,
    Bill,
    Charge,
    Commit,
    Every,
    Fee,
    Graduated,
    Hours,
    IntervalKind,
    Missing,
    Model,
    Pack,
    Package,
    Percentile,
    PerUnit,
    Quantity,
    Rollover,
    Share,
    Sum,
    Take,
    Tier,
    Unit,
    Volume,
)
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.places import APRIL, Place, instants, local_midnight, marks, places
from tests.pipeline.rating.worlds import (
    GB,
    HOUR,
    ITEMS,
    SERVERS,
    TB,
    TX,
    World,
    cuts,
    row,
    usages,
    windows,
)

GPU_HOUR = Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01"))
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))
NAMES = ("a", "b", "c")
sizes = st.integers(1, 5000).map(Decimal)


@cache
def prices(digits: int) -> st.SearchStrategy[Decimal]:
    """Up to 200 minor units, with two decimals more than the currency has."""
    return st.integers(0, 20_000).map(lambda units: Decimal(units).scaleb(-digits - 2))


@cache
def amounts(digits: int, most: int = 20_000) -> st.SearchStrategy[Decimal]:
    """Whole minor units of a currency of so many decimals."""
    return st.integers(0, most).map(lambda units: Decimal(units).scaleb(-digits))


@st.composite
def tiered(draw: st.DrawFn, digits: int) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 5000), max_size=3)))
    return tuple(
        Tier(None if end is None else Decimal(end), draw(prices(digits)), draw(amounts(digits)))
        for end in (*ends, None)
    )


quantities: st.SearchStrategy[Quantity] = st.one_of(
    st.builds(Fee, st.sampled_from(Every), st.sampled_from(Bill), st.integers(1, 4)),
    st.just(Hours()),
    st.builds(Sum, st.sampled_from([(TX,), (TX, "net.rx_bytes")]), st.sampled_from([TB, GB])),
    st.builds(
        Percentile, st.just((TX, "net.rx_bytes")), st.just(MBPS), st.sampled_from(Take),
        st.integers(50, 100), st.sampled_from(["", "ports"]), st.sampled_from(Missing),
        coverage=st.sampled_from([0, 90]),
    ),
    st.builds(Allocation, st.just(GPU_HOUR), st.integers(1, 8)),
)  # fmt: skip


@cache
def models(digits: int) -> st.SearchStrategy[Model]:
    return st.one_of(
        st.builds(PerUnit, prices(digits)),
        st.builds(Package, sizes, prices(digits)),
        st.builds(Graduated, tiered(digits)),
        st.builds(Volume, tiered(digits)),
    )


@st.composite
def charges(draw: st.DrawFn, digits: int) -> Charge:
    quantity = draw(quantities)
    bytes_ = isinstance(quantity, Sum)
    rollovers = st.builds(Rollover, st.integers(0, 10**12), st.integers(1, 3))
    allowances = st.builds(
        Allowance, st.integers(0, 3 * 10**12), st.booleans(),
        st.sampled_from(["", "eu"] if bytes_ else [""]), st.none() | rollovers,
    )  # fmt: skip
    packs = st.builds(Pack, st.integers(0, 10**12), st.just("eu"), st.integers(1, 3))
    whole = draw(st.integers(1, 8))
    return Charge(
        quantity,
        draw(models(digits)),
        draw(st.sampled_from(["hosting", "books"])),
        allowance=draw(st.none() | allowances),
        commit=draw(st.none() | st.builds(Commit, sizes, prices(digits))),
        cap=draw(st.none() | amounts(digits)),
        share=Share(draw(st.integers(1, whole)), whole),
        prorate=draw(st.booleans()),
        free=draw(st.sampled_from([(), (IntervalKind.TRIAL,), (*IntervalKind,)])),
        pack=draw(st.none() | packs) if quantity == Fee(Every.BOOKED) else None,
    )


@st.composite
def worlds(draw: st.DrawFn, fine: bool = True, place: Place = APRIL) -> Scope:
    """Two items with three charges each, intervals, discounts and commitments."""
    items = [Item(name, name, "ax", draw(cuts(1, fine, place))[0]) for name in ITEMS]
    rows = [
        row(draw(charges(place.digits)), name, span, item.item, f"v{number}")
        for item in items
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        for number, span in enumerate(draw(cuts(2, fine, place)))
    ]
    assignments = [
        Assignment(server, draw(st.sampled_from((*ITEMS, "elsewhere"))), span)
        for server in SERVERS
        for span in draw(cuts(2, fine, place))
    ]
    intervals = [
        Interval(draw(st.sampled_from(ITEMS)), kind, span)
        for kind in draw(st.lists(st.sampled_from(IntervalKind), max_size=2, unique=True))
        for span in draw(cuts(2, fine, place))
    ]
    return Scope(
        "acme", "acme", place.currency, place.timezone, tuple(items), tuple(assignments),
        tuple(rows), tuple(intervals), draw(discounts(place)), draw(commitments(place)),
    )  # fmt: skip


@st.composite
def discounts(draw: st.DrawFn, place: Place) -> tuple[Discount, ...]:
    """A contract that follows another may keep the names of its discounts."""
    return tuple(
        Discount(
            name, span, Decimal(draw(st.integers(0, 100))), draw(amounts(place.digits)),
            draw(st.sampled_from([(), ("a",), ("b", "c")])),
        )
        for name in draw(st.sampled_from([(), ("x",), ("x", "y")]))
        for span in draw(cuts(2, place=place))
    )  # fmt: skip


@st.composite
def commitments(draw: st.DrawFn, place: Place) -> tuple[Commitment, ...]:
    """Months and years, some of them since earlier years, of all charges or of some."""
    spans = draw(st.just([]) | cuts(2, place=place) | since(place) | since(place))
    return tuple(
        Commitment(
            f"m{number}", span, draw(amounts(place.digits, 2_000_000)), draw(st.sampled_from(Term)),
            "hosting", draw(st.sampled_from([(), ("a",), ("b", "c"), ("elsewhere",)])),
        )
        for number, span in enumerate(spans)
    )  # fmt: skip


@st.composite
def since(draw: st.DrawFn, place: Place) -> list[Span]:
    """A span from a local midnight, or some hours after it, one to three years before."""
    day = local_midnight(place, draw(st.sampled_from(marks(place))), -draw(st.integers(1, 3)))
    end = draw(st.none() | st.sampled_from(marks(place)[1:]))
    return [Span(day + draw(st.sampled_from([0, 0, 7])) * HOUR, end)]


@st.composite
def sampled(draw: st.DrawFn, place: Place) -> Samples:
    first = draw(windows)
    rates = draw(st.lists(st.none() | st.integers(0, 10**9), min_size=1, max_size=40))
    meter = draw(st.sampled_from((TX, "net.rx_bytes")))
    return Samples(draw(st.sampled_from(SERVERS)), meter, "1", place.edge(first), tuple(rates))


@cache
def inputs_in(place: Place) -> st.SearchStrategy[Inputs]:
    ends = [place.start, place.end, place.next_end]
    names = ["rollover/eu/x", "rollover/eu/y", "pack/web/a/z"]
    lots = st.builds(
        Lot, st.sampled_from(names), st.just("/eu"), st.integers(0, 10**12), st.sampled_from(ends)
    )
    net = amounts(place.digits)
    spent = st.tuples(st.builds(Spent, st.just("m0"), net), st.builds(Spent, st.just("m1"), net))
    return st.builds(
        Inputs,
        st.just(place.period),
        usage=st.lists(usages(place), max_size=4).map(tuple),
        samples=st.lists(sampled(place), max_size=3).map(tuple),
        spent=spent,
        lots=st.lists(lots, max_size=2, unique_by=lambda lot: lot.name).map(tuple),
    )


inputs = inputs_in(APRIL)


@cache
def billed(digits: int) -> st.SearchStrategy[list[Billed]]:
    one = st.builds(
        Billed, st.sampled_from(ITEMS), st.sampled_from(NAMES), st.just("hosting"), amounts(digits)
    )
    return st.lists(one, max_size=3)


@st.composite
def everywhere(draw: st.DrawFn, fine: bool = True) -> World:
    """Any charges in any of ``places``."""
    place = draw(places)
    return World(place, draw(worlds(fine, place)), draw(inputs_in(place)), draw(instants(place)))


def cut_at(scope: Scope, at: datetime) -> Scope:
    """The same prices, each row cut in two at that instant."""
    parts = [
        replace(price, valid=span) for price in scope.prices for span in _parts(price.valid, at)
    ]
    return replace(scope, prices=tuple(parts))


def _parts(span: Span, at: datetime) -> tuple[Span, ...]:
    inside = span.start < at and (span.end is None or at < span.end)
    return (Span(span.start, at), Span(at, span.end)) if inside else (span,)
