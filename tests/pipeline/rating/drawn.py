"""Hypothesis strategies for every charge there is: any quantity with any model and any terms."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from schemas.billing import Assignment, Billed, Inputs, Interval, Item, Lot, Samples, Scope, Span
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
from tests.pipeline.rating.worlds import (
    GB,
    ITEMS,
    MONTH,
    SERVERS,
    TB,
    TX,
    cuts,
    edge,
    row,
    usages,
    windows,
)

GPU_HOUR = Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01"))
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))
NAMES = ("a", "b", "c")
MAY, JUNE = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6))

prices = st.integers(0, 20_000).map(lambda units: Decimal(units).scaleb(-4))
amounts = st.integers(0, 20_000).map(lambda cents: Decimal(cents).scaleb(-2))
sizes = st.integers(1, 5000).map(Decimal)


@st.composite
def tiered(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 5000), max_size=3)))
    return tuple(
        Tier(None if end is None else Decimal(end), draw(prices), draw(amounts))
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
models: st.SearchStrategy[Model] = st.one_of(
    st.builds(PerUnit, prices),
    st.builds(Package, sizes, prices),
    st.builds(Graduated, tiered()),
    st.builds(Volume, tiered()),
)


@st.composite
def charges(draw: st.DrawFn) -> Charge:
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
        draw(models),
        draw(st.sampled_from(["hosting", "books"])),
        allowance=draw(st.none() | allowances),
        commit=draw(st.none() | st.builds(Commit, sizes, prices)),
        cap=draw(st.none() | amounts),
        share=Share(draw(st.integers(1, whole)), whole),
        prorate=draw(st.booleans()),
        free=draw(st.sampled_from([(), (IntervalKind.TRIAL,), (*IntervalKind,)])),
        pack=draw(st.none() | packs) if quantity == Fee(Every.BOOKED) else None,
    )


@st.composite
def worlds(draw: st.DrawFn, fine: bool = True) -> Scope:
    """Two items with three charges each, intervals, discounts and commitments."""
    items = [Item(name, name, "ax", draw(cuts(1, fine))[0]) for name in ITEMS]
    rows = [
        row(draw(charges()), name, span, item.item, f"v{number}")
        for item in items
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        for number, span in enumerate(draw(cuts(2, fine)))
    ]
    assignments = [
        Assignment(server, draw(st.sampled_from((*ITEMS, "elsewhere"))), span)
        for server in SERVERS
        for span in draw(cuts(2, fine))
    ]
    intervals = [
        Interval(draw(st.sampled_from(ITEMS)), kind, span)
        for kind in draw(st.lists(st.sampled_from(IntervalKind), max_size=2, unique=True))
        for span in draw(cuts(2, fine))
    ]
    return Scope(
        "acme", "acme", "EUR", "UTC", tuple(items), tuple(assignments), tuple(rows),
        tuple(intervals), draw(discounts()), draw(commitments()),
    )  # fmt: skip


@st.composite
def discounts(draw: st.DrawFn) -> tuple[Discount, ...]:
    """A contract that follows another may keep the names of its discounts."""
    return tuple(
        Discount(
            name, span, Decimal(draw(st.integers(0, 100))), draw(amounts),
            draw(st.sampled_from([(), ("a",), ("b", "c")])),
        )
        for name in draw(st.sampled_from([(), ("x",), ("x", "y")]))
        for span in draw(cuts(2))
    )  # fmt: skip


@st.composite
def commitments(draw: st.DrawFn) -> tuple[Commitment, ...]:
    return tuple(
        Commitment(f"m{number}", span, draw(amounts), draw(st.sampled_from(Term)), "hosting")
        for number, span in enumerate(draw(st.just([]) | cuts(2)))
    )


@st.composite
def sampled(draw: st.DrawFn) -> Samples:
    first = draw(windows)
    rates = draw(st.lists(st.none() | st.integers(0, 10**9), min_size=1, max_size=40))
    meter = draw(st.sampled_from((TX, "net.rx_bytes")))
    return Samples(draw(st.sampled_from(SERVERS)), meter, "1", edge(first), tuple(rates))


inputs = st.builds(
    Inputs,
    st.just(MONTH),
    usage=st.lists(usages(), max_size=4).map(tuple),
    samples=st.lists(sampled(), max_size=3).map(tuple),
    lots=st.lists(
        st.builds(
            Lot, st.sampled_from(["rollover/eu/x", "rollover/eu/y", "pack/web/a/z"]),
            st.just("/eu"), st.integers(0, 10**12), st.sampled_from([MONTH.start, MAY, JUNE]),
        ),
        max_size=2, unique_by=lambda lot: lot.name,
    ).map(tuple),
)  # fmt: skip
billed = st.builds(
    Billed, st.sampled_from(ITEMS), st.sampled_from(NAMES), st.just("hosting"), amounts
)


def cut_at(scope: Scope, window: int) -> Scope:
    """The same prices, each row cut in two at a window's edge."""
    at = edge(window)
    parts = [
        replace(price, valid=span) for price in scope.prices for span in _parts(price.valid, at)
    ]
    return replace(scope, prices=tuple(parts))


def _parts(span: Span, at: datetime) -> tuple[Span, ...]:
    inside = span.start < at and (span.end is None or at < span.end)
    return (Span(span.start, at), Span(at, span.end)) if inside else (span,)
