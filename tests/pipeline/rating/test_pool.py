"""Pools and add-ons: what many bring, all use."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from pipeline.rating.usage_state import progress
from schemas.billing import Assignment, Inputs, Item, Line, Scope, Span, Usage
from schemas.prices import Allowance, Charge, Fee, PerUnit
from tests.pipeline.rating.worlds import END, MONTH, START, TB, counted, hour, row, said, used

PER_TB = PerUnit(Decimal("1.00"))


def traffic(tb: int, prorate: bool = True) -> Charge:
    allowance = Allowance(tb * TB.is_, prorate, "eu")
    return counted(PER_TB, TB, allowance=allowance, alerts=(80, 100))


PACK = Charge(
    Fee(), PerUnit(Decimal("9.00")), "hosting", Allowance(10 * TB.is_, pool="eu"), prorate=False
)
"""billing.md: addon bw-10tb, 9.00 a month, adds 10 TB to the pool."""


def scope(*charges: tuple[str, Charge, Span]) -> Scope:
    return Scope(
        "acme", "acme", "EUR", "UTC",
        tuple(Item(name, name, "ax", span) for name, _, span in charges),
        tuple(Assignment(f"srv-{name}", name, span) for name, _, span in charges),
        tuple(row(charge, "traffic", Span(span.start), name) for name, charge, span in charges),
    )  # fmt: skip


def moved(item: str, tb: int, start: datetime = START, end: datetime = END) -> Usage:
    return used(tb * TB.is_, start, end, f"srv-{item}")


def lines(of: Scope, *usage: Usage) -> list[Line]:
    return list(price(of, Inputs(MONTH, usage), END))


def test_one_uses_what_another_leaves() -> None:
    """20 TB each, 35 and 3 used: nothing is above 40."""
    of = scope(("db", traffic(20), MONTH), ("web", traffic(20), MONTH))
    found = lines(of, moved("db", 35), moved("web", 3))
    assert said(found) == ["0.000 TB × 1.00 = 0.00"] * 2
    assert [line.allowance // TB.is_ for line in found] == [40, 5]


def test_what_is_above_is_paid_by_who_uses_it_later() -> None:
    """Both start with the month: by name, so 45 of 40 TB cost web 5."""
    of = scope(("db", traffic(20), MONTH), ("web", traffic(20), MONTH))
    found = lines(of, moved("db", 35), moved("web", 10))
    assert [line.net for line in found] == [0, 5]


@pytest.mark.parametrize(
    ("rule", "starts", "charges", "nets"),
    [
        ("whoever is there first draws first: 20 + 10", {"db": 360, "web": 0}, ("a", "a"),
         {"db": 10, "web": 5}),
        ("then by item, whatever the charge", {"db": 0, "web": 0}, ("z", "a"),
         {"db": 0, "web": 5}),
    ],
)  # fmt: skip
def test_who_draws_first(
    rule: str, starts: dict[str, int], charges: tuple[str, str], nets: dict[str, int]
) -> None:
    """35 TB of web, 10 of db: the module's head says in which order."""
    of = scope(*((name, traffic(20), Span(hour(at), END)) for name, at in starts.items()))
    rows = [replace(one, charge=charge) for one, charge in zip(of.prices, charges, strict=True)]
    of = replace(of, prices=tuple(rows))
    found = lines(of, moved("db", 10, hour(starts["db"])), moved("web", 35))
    assert {line.item: line.net for line in found} == nets, rule


def test_an_add_on_alone_includes_nothing() -> None:
    assert said(lines(scope(("pack", PACK, MONTH)))) == ["1.000000 month × 9.00 = 9.00"]


def test_a_pool_is_the_sum_of_what_its_members_bring() -> None:
    """Half a month brings half: 20 + 10, and a third member without any uses 31."""
    half = Span(hour(360), END)
    of = scope(("a", traffic(20), MONTH), ("b", traffic(20), half), ("c", traffic(0), MONTH))
    found = lines(of, moved("c", 31))
    assert [line.net for line in found] == [0, 0, 1]


def test_an_add_on_brings_ten_and_uses_none() -> None:
    of = scope(("pack", PACK, MONTH), ("web", traffic(20), MONTH))
    found = lines(of, moved("web", 32))
    assert said(found) == ["1.000000 month × 9.00 = 9.00", "2.000 TB × 1.00 = 2.00"]
    late = scope(("pack", PACK, Span(hour(360), END)), ("web", traffic(20), MONTH))
    assert said(lines(late, moved("web", 32)))[1] == "7.000 TB × 1.00 = 7.00"


def test_without_a_name_there_is_no_pool() -> None:
    own = counted(PER_TB, TB, allowance=Allowance(20 * TB.is_))
    of = scope(("db", own, MONTH), ("web", own, MONTH))
    assert [x.net for x in lines(of, moved("db", 35), moved("web", 3))] == [15, 0]


def test_progress_is_told_of_the_pool_once() -> None:
    of = scope(("db", traffic(20), MONTH), ("pack", PACK, MONTH), ("web", traffic(20), MONTH))
    (state,) = progress(of, Inputs(MONTH, (moved("db", 35), moved("web", 10))), END)
    assert (state.item, state.charge, state.percent) == ("", "eu", 90)
    assert (state.used, state.allowance) == (45 * TB.is_, 50 * TB.is_)
    assert state.charged.alerts == (80, 100)
