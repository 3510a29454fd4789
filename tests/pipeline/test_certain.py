"""What is certain of a percentile, and the money that is certain: the rules of pipeline.certain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.certain import certain
from pipeline.live import Live, live
from pipeline.rating.cut import cut
from schemas.billing import Assignment, Inputs, Item, Line, PriceRow, Samples, Scope, Span
from schemas.prices import (
    Charge,
    Commit,
    Graduated,
    Model,
    Package,
    Percentile,
    PerUnit,
    Unit,
)
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating import worlds
from tests.pipeline.rating.worlds import TX, WIDTH, hourly, laws, row, scope_of, tiers

START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))
PORT = PriceRow(
    "port", "port", Span(START),
    Charge(Percentile(("net.tx_bytes",), MBPS), PerUnit(Decimal(1)), "hosting"), "v1", "",
)  # fmt: skip
WINDOWS = 31 * 288
DISCARDED = 5 * WINDOWS // 100


def sure(*windows: int | None) -> int:
    scope = Scope(
        "port", "acme", "EUR", "UTC", (Item("port", "Port", "p", Span(START)),),
        (Assignment("s-1", "port", Span(START)),), (PORT,),
    )  # fmt: skip
    samples = Samples("s-1", "net.tx_bytes", "eth0", START, windows)
    inputs = Inputs(Span(START, END), samples=(samples,))
    ((segment,),) = certain(scope, inputs, cut(scope, inputs.period))
    return segment.used


@pytest.mark.parametrize(
    ("case", "windows", "expected"),
    [
        ("nothing measured", [], 0),
        ("as many as are discarded", [9] * DISCARDED, 0),
        ("one more", [9] * (DISCARDED + 1), 9),
        ("a gap counts as nothing", [9] * DISCARDED + [None, 4], 4),
        ("the whole month: what is billed", [5] * (WINDOWS - DISCARDED) + [9] * DISCARDED, 5),
    ],
)
def test_what_a_percentile_has_come_to_for_certain(
    case: str, windows: list[int | None], expected: int
) -> None:
    assert sure(*windows) == expected, case


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=40))
def test_what_is_certain_never_falls(tail: list[int | None]) -> None:
    head = [7] * (DISCARDED - 10)
    values = [sure(*head, *tail[:count]) for count in range(0, len(tail) + 1, 8)]
    assert values == sorted(values)


# -- money: sixty windows of an April, of which the three highest are discarded --------------------

RENTED = Span(worlds.START, worlds.START + 60 * WIDTH)
HALF = worlds.START + 30 * WIDTH


def port(
    model: Model, pool: str = "", commit: Commit | None = None, cap: Decimal | None = None
) -> Charge:
    """Not prorated: a rate counts for the five hours rented as it would for a month."""
    quantity = Percentile((TX,), MBPS, pool=pool)
    return Charge(quantity, model, "hosting", commit=commit, cap=cap, prorate=False)


def at(scope: Scope, windows: Mapping[str, Sequence[int | None]], count: int | None) -> Live:
    """After so many windows, given in Mbps by server; None: at the end of the month."""
    samples = tuple(
        Samples(server, TX, "1", worlds.START, tuple(n and n * MBPS.is_ for n in rates[:count]))
        for server, rates in windows.items()
    )
    now = worlds.END if count is None else worlds.START + count * WIDTH
    return live(scope, Inputs(worlds.MONTH, samples=samples), now)


def net(lines: Iterable[Line]) -> Decimal:
    return sum((line.net for line in lines), Decimal(0))


PER_UNIT = port(PerUnit(Decimal("1.50")))
BUSY = [100] * 4


@pytest.mark.parametrize(
    ("case", "charge", "terms", "windows", "stands", "certain"),
    [
        ("as many busy windows as are discarded", PER_UNIT, {}, [100] * 3, "150.00", "0.00"),
        ("one more", PER_UNIT, {}, BUSY, "150.00", "150.00"),
        ("the fourth counts", PER_UNIT, {}, [900, 900, 900, 8], "1350.00", "12.00"),
        ("a gap is nothing", PER_UNIT, {}, [900, None, 900, 8], "1350.00", "0.00"),
        ("what is committed is certain", replace(PER_UNIT, commit=Commit(Decimal(50), Decimal(1))),
         {}, [100] * 3, "125.00", "50.00"),
        ("a cap cuts both", replace(PER_UNIT, cap=Decimal("9.00")), {}, [900, 900, 900, 8],
         "9.00", "9.00"),
        ("tiers of what is certain", port(Graduated(tiers(("10", "1", "5"), (None, "2", "0")))),
         {}, [900, 900, 900, 12], "1795.00", "19.00"),
        ("less a percentage of what is certain", PER_UNIT,
         {"discounts": (Discount("partner", Span(worlds.START), percent=Decimal(50)),)},
         [900, 900, 900, 8], "675.00", "6.00"),
        ("less an amount, at most what is certain", PER_UNIT,
         {"discounts": (Discount("start", Span(worlds.START), amount=Decimal(20)),)},
         [900, 900, 900, 8], "1330.00", "0.00"),
        ("a minimum that has ended is certain", PER_UNIT,
         {"commitments": (Commitment("least", Span(worlds.START, worlds.START + 4 * WIDTH),
                                     Decimal("43200.00"), Term.MONTH, "hosting"),)},
         [900, 900, 900, 8], "90.00", "20.00"),
    ],
)  # fmt: skip
def test_money_is_priced_from_what_is_certain(
    case: str, charge: Charge, terms: dict[str, object], windows: list[int | None], stands: str,
    certain: str,
) -> None:  # fmt: skip
    """Twenty minutes are 20.00 of 43,200.00 a month, and a fifteenth of the time that is rented."""
    scope = scope_of(row(charge, "port", RENTED), rented=RENTED)
    now = at(replace(scope, **terms), {"srv": windows}, len(windows))  # type: ignore[arg-type]
    assert (str(net(now.lines)), str(net(now.sure_lines))) == (stands, certain), case


def test_of_a_pool_the_sums_of_windows_count() -> None:
    """Each has three busy windows at its own time: of the six sums three are discarded."""
    charge = port(PerUnit(Decimal(1)), pool="edge")
    scope = two_items(charge, charge)
    first = [100] * 3 + [1] * 3
    second = [1] * 3 + [10] * 3
    now = at(scope, {"srv-1": first, "srv-2": second}, 6)
    assert (net(now.lines), net(now.sure_lines)) == (Decimal(101), Decimal(11))
    assert now.sure == {("db", "port"): 11 * MBPS.is_}


def two_items(first: Charge, second: Charge, *others: PriceRow) -> Scope:
    """Each with a server of its own."""
    items = tuple(Item(name, name, "ax", RENTED) for name in ("db", "web"))
    served = tuple(
        Assignment(server, item.item, RENTED)
        for server, item in zip(("srv-1", "srv-2"), items, strict=True)
    )
    rows = row(first, "port", RENTED, "db"), row(second, "port", RENTED, "web")
    return Scope("acme", "acme", "EUR", "UTC", items, served, (*rows, *others))


def test_without_a_percentile_nothing_is_priced_twice() -> None:
    scope = scope_of(row(hourly("0.10"), "rent"))
    now = at(scope, {}, 30)
    assert now.sure_lines is now.lines


class World(NamedTuple):
    scope: Scope
    windows: Mapping[str, Sequence[int | None]]


MODELS: list[Model] = [
    PerUnit(Decimal(2)), Package(Decimal(10), Decimal("7.00")),
    Graduated(tiers(("20", "3", "5"), (None, "1", "0"))),
]  # fmt: skip
"""Amounts of whole cents a step, so that parts of a cut line round as the whole."""


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    """Two ports, pooled or not, rent, amounts off and minimums that may begin and end on the way.

    A cap whose time is cut by a minimum, and a percentage off a part of it, are left out: by them
    more may cost less.
    """
    cap = draw(st.sampled_from([None, Decimal("80.00")]))
    whole = Span(worlds.START)
    parts = [whole, Span(HALF), Span(worlds.START, HALF)] if cap is None else [whole]
    charge = port(
        draw(st.sampled_from(MODELS)), pool=draw(st.sampled_from(["", "edge"])),
        commit=draw(st.sampled_from([None, Commit(Decimal(15), Decimal(1))])), cap=cap,
    )  # fmt: skip
    scope = two_items(charge, charge, row(hourly("0.50"), "rent", RENTED, "web"))
    part = draw(st.sampled_from(parts))
    less = draw(st.sampled_from([
        (), (Discount("less", whole, percent=Decimal(50)),),
        (Discount("less", part, amount=Decimal(30)),),
    ]))  # fmt: skip
    charges = draw(st.sampled_from([(), ("port",), ("rent",)]))
    least = draw(st.sampled_from([None, "100.00", "9000.00"]))
    return replace(
        scope,
        discounts=less,
        commitments=() if least is None else (
            Commitment("least", draw(st.sampled_from(parts)), Decimal(least), Term.MONTH, "hosting",
                       charges),),
    )  # fmt: skip


def worlds_of(gaps: bool) -> st.SearchStrategy[World]:
    """Each of six runs of ten windows at a rate of its own, or not measured."""
    rate = st.integers(0, 90)
    runs = st.lists(st.none() | rate if gaps else rate, min_size=6, max_size=6)
    series = runs.map(lambda found: [one for one in found for _ in range(10)])
    return st.builds(World, scopes(), st.fixed_dictionaries({"srv-1": series, "srv-2": series}))


@laws
@given(worlds_of(gaps=True))
def test_money_that_is_certain_never_falls_and_is_never_more_than_it_stands_at(
    world: World,
) -> None:
    looks = [at(world.scope, world.windows, count) for count in (1, 4, 14, 31, 45, 60, None)]
    values = [net(now.sure_lines) for now in looks]
    assert values == sorted(values)
    assert all(net(now.sure_lines) <= net(now.lines) for now in looks)


@laws
@given(worlds_of(gaps=False))
def test_at_the_end_of_a_period_measured_without_a_gap_certain_is_what_is_billed(
    world: World,
) -> None:
    now = at(world.scope, world.windows, None)
    assert now.sure_lines == now.lines
