"""Discounts: percentages line by line, amounts over all lines and tax categories."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.price import price
from schemas.billing import Line, LineKind, Scope, Span
from schemas.prices import Charge, Fee, PerUnit
from schemas.terms import Discount
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    hour,
    inputs_of,
    laws,
    row,
    scope_of,
    total,
)

FLEXPRICE = "docs.flexprice.io/docs/invoices/calculation"
ALWAYS = Span(START)
MONEY = st.integers(0, 50_000).map(lambda cents: Decimal(cents) / 100)


def world(fees: dict[str, str], *discounts: Discount, tax: str = "hosting") -> Scope:
    """One item with a monthly fee for each name; those that end in a star are in another tax."""
    rows = [
        row(
            Charge(Fee(), PerUnit(Decimal(net)), "books" if name.endswith("*") else tax),
            name,
            ALWAYS,
        )
        for name, net in fees.items()
    ]
    return replace(scope_of(*rows), discounts=discounts)


def lines(scope: Scope) -> list[Line]:
    return list(price(scope, inputs_of(), END))


def off(scope: Scope) -> dict[str, str]:
    """What each discount line takes, by charge and tax."""
    return {
        f"{x.charge} {x.key.split('/discount/')[1]}": str(x.net)
        for x in lines(scope)
        if x.kind is LineKind.DISCOUNT
    }


@pytest.mark.parametrize(
    ("rule", "fees", "discounts", "net"),
    [
        (f"{FLEXPRICE}: 25 % off one line, then 10 off all: 70",
         {"api": "80.00", "fee": "20.00"},
         [Discount("a", ALWAYS, percent=Decimal(25), charges=("api",)),
          Discount("b", ALWAYS, amount=Decimal(10))], "70.00"),
        (f"{FLEXPRICE}: two of 10 % are 19 %", {"fee": "100.00"},
         [Discount("a", ALWAYS, percent=Decimal(10)), Discount("b", ALWAYS, percent=Decimal(10))],
         "81.00"),
        ("half a cent is taken off whole, away from zero", {"fee": "0.05"},
         [Discount("a", ALWAYS, percent=Decimal(10))], "0.04"),
        ("an amount takes no more than there is", {"fee": "7.00"},
         [Discount("a", ALWAYS, amount=Decimal(10))], "0.00"),
        ("nothing is left for a second one", {"fee": "7.00"},
         [Discount("a", ALWAYS, percent=Decimal(100)), Discount("b", ALWAYS, amount=Decimal(1))],
         "0.00"),
        ("in the order of names, however they are listed", {"fee": "100.00"},
         [Discount("b", ALWAYS, amount=Decimal(10)), Discount("a", ALWAYS, percent=Decimal(10))],
         "80.00"),
        ("half of what an amount left of a line: 2 of 3.00 are off the web's 20.00",
         {"web": "20.00", "db": "10.00"},
         [Discount("a", ALWAYS, amount=Decimal(3)),
          Discount("b", ALWAYS, percent=Decimal(50), charges=("web",))], "18.00"),
        ("of other charges nothing", {"fee": "7.00"},
         [Discount("a", ALWAYS, percent=Decimal(50), charges=("rent",))], "7.00"),
        ("not before it begins: 0.01 of an hour, half of 6.99", {"fee": "7.00"},
         [Discount("a", Span(hour(1)), percent=Decimal(50))], "3.50"),
        ("nor in a month before that", {"fee": "7.00"},
         [Discount("a", Span(END), percent=Decimal(50), amount=Decimal(1))], "7.00"),
        ("not after it ends", {"fee": "7.00"},
         [Discount("a", Span(hour(-9), START), percent=Decimal(50))], "7.00"),
    ],
)  # fmt: skip
def test_what_is_left(rule: str, fees: dict[str, str], discounts: list[Discount], net: str) -> None:
    assert str(total(lines(world(fees, *discounts)))) == net, rule


TEN_PERCENT = Discount("ten", ALWAYS, percent=Decimal(10))
TEN = Discount("ten", ALWAYS, amount=Decimal(10))


@pytest.mark.parametrize(
    ("rule", "fees", "discount", "taken"),
    [
        ("less than half a cent is no line", {"a": "0.04", "b": "0.05"}, TEN_PERCENT,
         {"b ten": "-0.01"}),
        ("nor what a category of nothing gives", {"web": "20.00", "book*": "0.00"}, TEN,
         {"web ten/2026-04-01T00:00:00Z/hosting": "-10.00"}),
        ("an amount stands on the first line of its category", {"a": "5.00", "b": "20.00"}, TEN,
         {"a ten/2026-04-01T00:00:00Z/hosting": "-10.00"}),
        ("an amount of a contract that began earlier is of this month", {"web": "20.00"},
         replace(TEN, valid=Span(hour(-1))), {"web ten/2026-04-01T00:00:00Z/hosting": "-10.00"}),
    ],
)  # fmt: skip
def test_what_is_said(
    rule: str, fees: dict[str, str], discount: Discount, taken: dict[str, str]
) -> None:
    assert off(world(fees, discount)) == taken, rule


def test_what_is_left_over_goes_to_the_first_categories_by_name() -> None:
    """So an invoice that is recomputed elsewhere is the same: 0.04 on six times 1.00."""
    rows = [
        row(Charge(Fee(), PerUnit(Decimal(1)), tax), f"{n}", ALWAYS)
        for n, tax in enumerate("fedcba")
    ]
    terms = (Discount("four", ALWAYS, amount=Decimal("0.04")),)
    found = lines(replace(scope_of(*rows), discounts=terms))
    less = {x.tax: str(x.net) for x in found if x.kind is LineKind.DISCOUNT}
    assert less == dict.fromkeys("abcd", "-0.01")


def test_an_amount_is_shared_among_tax_categories_to_the_cent() -> None:
    """10.00 on 20.00 of hosting and 10.00 of books: 6.67 and 3.33."""
    scope = world({"web": "20.00", "book*": "10.00"}, Discount("ten", ALWAYS, amount=Decimal(10)))
    assert off(scope) == {
        "web ten/2026-04-01T00:00:00Z/hosting": "-6.67",
        "book* ten/2026-04-01T00:00:00Z/books": "-3.33",
    }


def test_a_discount_is_a_line_beside_its_own() -> None:
    scope = world({"fee": "100.00"}, Discount("spring", ALWAYS, percent=Decimal("12.5")))
    line, less = lines(scope)
    assert (less.key, str(less.net)) == (f"{line.key}/discount/spring", "-12.50")
    assert (less.item, less.charge, less.tax) == (line.item, line.charge, line.tax)
    assert less.title == "web-1: fee, spring 12.5 %"
    assert (str(less.quantity), less.unit, less.unit_price) == ("1", "discount", less.net)
    assert (less.tier, less.service, less.version) == (1, line.service, "v1")


def test_what_is_taken_of_one_charge_stands_in_the_order_of_keys() -> None:
    """Whatever the item's name: "db" is before "discount", "web" is not."""
    scope = world({"fee": "100.00"}, TEN_PERCENT, replace(TEN, name="z"))
    (item,), rows = scope.items, scope.prices
    for name in ("db", "web"):
        of = replace(scope, items=(replace(item, item=name),),
                     prices=tuple(replace(one, item=name) for one in rows))  # fmt: skip
        keys = [line.key for line in lines(of)[1:]]
        assert keys == sorted(keys)
        assert len(keys) == 2


def test_an_amount_is_of_the_month_whenever_its_first_line_begins() -> None:
    late = row(Charge(Fee(), PerUnit(Decimal(20)), "hosting"), "fee", Span(hour(360)))
    fee, less = sorted(lines(replace(scope_of(late), discounts=(TEN,))), key=lambda x: -x.net)
    assert (fee.service, less.service) == (Span(hour(360), END), MONTH)


def test_contracts_that_follow_each_other_may_keep_a_name() -> None:
    """Each takes its own of the lines of its time, under keys of their own."""
    middle = hour(360)
    fee = Charge(Fee(), PerUnit(Decimal("100.00")), "hosting")
    rows = (
        row(fee, "fee", Span(START, middle), at="v1"),
        row(fee, "fee", Span(middle), at="v2"),
    )
    terms = (
        Discount("start", Span(START, middle), percent=Decimal(10), amount=Decimal("5.00")),
        Discount("start", Span(middle), percent=Decimal(20), amount=Decimal("7.00")),
    )
    found = lines(replace(scope_of(*rows), discounts=terms))
    said = {x.key.removeprefix("acme/"): str(x.net) for x in found if x.kind is LineKind.DISCOUNT}
    assert said == {
        "web/fee/2026-04-01T00:00:00Z/0/discount/start": "-5.00",
        "web/fee/2026-04-01T00:00:00Z/1296000/discount/start": "-10.00",
        "discount/start/2026-04-01T00:00:00Z/hosting": "-2.50",
        "discount/start/2026-04-16T00:00:00Z/hosting": "-3.50",
    }
    assert lines(replace(scope_of(*rows), discounts=terms[::-1])) == found


@laws
@given(
    st.lists(MONEY, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 100), MONEY), max_size=3),
)
def test_nothing_falls_below_zero_and_amounts_sum(
    nets: list[Decimal], discounts: list[tuple[int, Decimal]]
) -> None:
    fees = {f"c{n}{'*' * (n % 2)}": str(net) for n, net in enumerate(nets)}
    terms = [
        Discount(f"d{n}", ALWAYS, percent=Decimal(percent), amount=amount)
        for n, (percent, amount) in enumerate(discounts)
    ]
    found = lines(world(fees, *terms))
    assert total(found) >= 0
    for tax in {line.tax for line in found}:
        assert total(line for line in found if line.tax == tax) >= 0
    if len(terms) == 1 and not terms[0].percent:
        assert total(found) == max(Decimal(0), sum(nets) - terms[0].amount)
