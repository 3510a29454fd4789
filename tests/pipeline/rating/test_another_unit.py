"""A plan in GB, then one in TB: what was used before counts in the new unit."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.price import price
from schemas.billing import Line, LineKind, Span
from schemas.prices import (
    Charge,
    Commit,
    Graduated,
    Model,
    Package,
    PerUnit,
    Sum,
    Tier,
    Unit,
    Volume,
)
from tests.pipeline.rating.worlds import (
    END,
    GB,
    START,
    TB,
    TX,
    hour,
    inputs_of,
    laws,
    row,
    scope_of,
    used,
)

MIDDLE = hour(360)
TIERS = (Tier(Decimal(5), Decimal("2.00")), Tier(None, Decimal("1.00")))
FLAT = (Tier(Decimal(5), Decimal("2.00"), Decimal(7)), Tier(None, Decimal("1.00"), Decimal(9)))
GIB = Unit("GiB", "net.bytes", 2**30, Decimal("0.001"))


def charge(unit: Unit, model: Model, commit: str = "") -> Charge:
    agreed = Commit(Decimal(commit), Decimal("0.10")) if commit else None
    return Charge(Sum((TX,), unit), model, "hosting", commit=agreed)


def bill(first: Charge, second: Charge, *quantities: int) -> list[Line]:
    """So many bytes in each half of the month."""
    rows = [
        row(first, "traffic", Span(START, MIDDLE)), row(second, "traffic", Span(MIDDLE, END)),
    ]  # fmt: skip
    usage = used(quantities[0], START, MIDDLE), used(quantities[1], MIDDLE, END)
    return list(price(scope_of(*rows), inputs_of(*usage), END))


def said(lines: list[Line]) -> list[str]:
    return [f"{x.quantity} {x.unit} × {x.unit_price} above {x.above}" for x in lines]


ONE = charge(GB, PerUnit(Decimal("0.002")))
FIRST = "1000.000 GB × 0.002 above 0"


@pytest.mark.parametrize(
    ("rule", "second", "tb", "lines"),
    [
        ("tiers go on where the month stands", charge(TB, Graduated(TIERS)), "3",
         ["3.000 TB × 2.00 above 1.000"]),
        ("into the next one", charge(TB, Graduated(TIERS)), "6",
         ["4.000 TB × 2.00 above 1.000", "2.000 TB × 1.00 above 5"]),
        ("all units have the tier of the last one", charge(TB, Volume(TIERS)), "3",
         ["3.000 TB × 2.00 above 1.000"]),
        ("of both plans together", charge(TB, Volume(TIERS)), "4.5",
         ["4.500 TB × 1.00 above 1.000"]),
        ("a tier's flat fee with its first unit, the first tier's with the month's",
         charge(TB, Graduated(FLAT)), "6",
         ["4.000 TB × 2.00 above 1.000", "2.000 TB × 1.00 above 5", "1 flat fee × 9 above 0"]),
        ("a package that is begun is paid", charge(TB, Package(Decimal(3), Decimal(5))), "1.5",
         ["0 package of 3 TB × 5 above 1.000"]),
        ("another one is begun", charge(TB, Package(Decimal(3), Decimal(5))), "2.5",
         ["1 package of 3 TB × 5 above 1.000"]),
    ],
)  # fmt: skip
def test_a_model_goes_on(rule: str, second: Charge, tb: str, lines: list[str]) -> None:
    made = bill(ONE, second, 10**12, int(Decimal(tb) * 10**12))
    assert said(made) == [FIRST, *lines], rule


@pytest.mark.parametrize(
    ("rule", "gb", "tb", "usage", "above"),
    [
        ("half of 1000 GB: what the first half leaves the second uses", "1000", "",
         (10**11, 3 * 10**12), ["0.000 GB", "2.600 TB"]),
        ("half of 2 TB: what the first half has used of it is gone", "", "2",
         (4 * 10**11, 8 * 10**11), ["0.000 GB", "0.200 TB"]),
        ("half of 1.5 GB, in the steps of the first half", "1.5", "", (10**9, 0),
         ["0.250 GB", "0.000 TB"]),
        ("both", "1000", "2", (18 * 10**11, 10**12), ["300.000 GB", "1.000 TB"]),
        ("nothing is used", "1000", "2", (0, 0), ["0.000 GB", "0.000 TB"]),
    ],
)  # fmt: skip
def test_a_commit_is_drawn_in_each_unit(
    rule: str, gb: str, tb: str, usage: tuple[int, int], above: list[str]
) -> None:
    unit_price = PerUnit(Decimal(1))
    made = bill(charge(GB, unit_price, gb), charge(TB, unit_price, tb), *usage)
    used_above = [x for x in made if x.kind is LineKind.CHARGE]
    assert [f"{x.quantity} {x.unit}" for x in used_above] == above, rule


def test_units_that_are_no_multiples_count_in_steps() -> None:
    """1 TB is 931.3225… GiB."""
    tiers = (Tier(Decimal(1000), Decimal(2)), Tier(None, Decimal(1)))
    made = bill(charge(TB, PerUnit(Decimal(1))), charge(GIB, Graduated(tiers)), 10**12, 100 * 2**30)
    assert said(made)[1:] == ["68.677 GiB × 2 above 931.323", "31.323 GiB × 1 above 1000"]


@laws
@given(
    st.integers(0, 8000), st.integers(0, 8000), st.sampled_from(["", "0.5", "3", "7"]),
    st.sampled_from([Graduated(TIERS), Graduated(FLAT), Volume(TIERS),
                     Package(Decimal(3), Decimal(5))]),
)  # fmt: skip
def test_the_name_of_the_unit_changes_nothing(
    first: int, second: int, commit: str, model: Model
) -> None:
    """A first half in GB costs the second what a first half in TB does."""
    later = charge(TB, model, commit)
    plans = charge(GB, PerUnit(Decimal("0.002"))), charge(TB, PerUnit(Decimal(2)))
    nets = [
        [(x.net, x.above) for x in bill(plan, later, first * 10**9, second * 10**9)
         if x.service.start == MIDDLE]
        for plan in plans
    ]  # fmt: skip
    assert nets[0] == nets[1]


def test_a_cut_in_one_unit_is_what_it_was() -> None:
    """Three parts of a month: each begins where those before it end."""
    plan = charge(TB, Graduated(TIERS))
    rows = [row(plan, "traffic", Span(hour(n * 240), hour(n * 240 + 240))) for n in range(3)]
    usage = [replace(used(2 * 10**12), start=x.valid.start, end=x.valid.end or END) for x in rows]
    made = price(scope_of(*rows), inputs_of(*usage), END)
    assert [str(x.above) for x in made] == ["0", "2.000", "4.000", "5"]
    assert sum(x.net for x in made) == 11
