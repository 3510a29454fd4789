"""Terms that hold for a part of a month: lines are cut there, an amount counts by time."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import closed
from pipeline.rating.price import price
from pipeline.rating.terms import edges
from schemas.billing import Billed, Inputs, Line, LineKind, Scope, Span
from schemas.prices import Bill, Charge, Every, Fee, PerUnit
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.drawn import everywhere
from tests.pipeline.rating.worlds import (
    END,
    HOUR,
    MONTH,
    START,
    World,
    hour,
    hourly,
    inputs_of,
    laws,
    row,
    scope_of,
    total,
    traffic,
    used,
)

EARLIER = datetime(2025, 11, 1, tzinfo=UTC)
MIDDLE, THIRD = hour(360), hour(240)
FIRST, SECOND = Span(EARLIER, MIDDLE), Span(MIDDLE)
TEN = Decimal(10)


def least(amount: str, valid: Span, name: str = "min", term: Term = Term.MONTH,
          charges: tuple[str, ...] = ()) -> Commitment:  # fmt: skip
    return Commitment(name, valid, Decimal(amount), term, "hosting", charges)


def agreed(*terms: Discount | Commitment, price_of: Charge | None = None) -> Scope:
    """A fee of 100.00 a month since years, and what was agreed besides."""
    fee = price_of or Charge(Fee(), PerUnit(Decimal("100.00")), "hosting")
    return replace(
        scope_of(row(fee, "rent", Span(EARLIER)), rented=Span(EARLIER)),
        discounts=tuple(one for one in terms if isinstance(one, Discount)),
        commitments=tuple(one for one in terms if isinstance(one, Commitment)),
    )


def lines(scope: Scope, inputs: Inputs | None = None, as_of: datetime = END) -> list[Line]:
    return list(price(scope, inputs or inputs_of(), as_of))


def said(found: list[Line]) -> list[str]:
    """From and until as hours of the month, what it is, net; in order of time."""

    def at(instant: datetime | None) -> int:
        assert instant is not None
        return (instant - START) // HOUR

    rows = [(at(x.service.start), at(x.service.end), x.kind.value, str(x.net)) for x in found]
    return [f"{low}-{high} {kind} {net}" for low, high, kind, net in sorted(rows)]


@pytest.mark.parametrize(
    ("rule", "terms", "expected"),
    [
        ("10 % from the middle on", [Discount("p", SECOND, percent=TEN)],
         ["0-360 charge 50.00", "360-720 charge 50.00", "360-720 discount -5.00"]),
        ("10 % until the middle", [Discount("p", FIRST, percent=TEN)],
         ["0-360 charge 50.00", "0-360 discount -5.00", "360-720 charge 50.00"]),
        ("10 %, then 20 %",
         [Discount("p", FIRST, percent=TEN), Discount("p", SECOND, percent=2 * TEN)],
         ["0-360 charge 50.00", "0-360 discount -5.00",
          "360-720 charge 50.00", "360-720 discount -10.00"]),
        ("of other charges: nothing is cut",
         [Discount("p", SECOND, percent=TEN, charges=("ipv4",))], ["0-720 charge 100.00"]),
        ("for the whole month: nothing is cut", [Discount("p", MONTH, percent=TEN)],
         ["0-720 charge 100.00", "0-720 discount -10.00"]),
        ("50.00 a month for half of it", [Discount("a", SECOND, amount=Decimal("50.00"))],
         ["0-360 charge 50.00", "360-720 charge 50.00", "360-720 discount -25.00"]),
        ("10.01 a month for a third of it: 3.3367",
         [Discount("a", Span(START, THIRD), amount=Decimal("10.01"))],
         ["0-240 charge 33.33", "0-240 discount -3.34", "240-720 charge 66.67"]),
        ("half a cent is taken off whole: 5.005",
         [Discount("a", FIRST, amount=Decimal("10.01"))],
         ["0-360 charge 50.00", "0-360 discount -5.01", "360-720 charge 50.00"]),
        ("no more than that time costs", [Discount("a", SECOND, amount=Decimal("150.00"))],
         ["0-360 charge 50.00", "360-720 charge 50.00", "360-720 discount -50.00"]),
        ("less than half a cent is no line",
         [Discount("a", Span(START, hour(1)), amount=Decimal("3.59"))],
         ["0-1 charge 0.14", "1-720 charge 99.86"]),
        ("renewed in the middle: one month's amount, to the cent",
         [Discount("a", FIRST, amount=Decimal("10.01")),
          Discount("a", SECOND, amount=Decimal("10.01"))],
         ["0-360 charge 50.00", "0-360 discount -5.01",
          "360-720 charge 50.00", "360-720 discount -5.00"]),
        ("a commitment from the middle on counts what is used from then on",
         [least("100.00", SECOND)], ["0-360 charge 50.00", "360-720 charge 50.00"]),
        ("and charges what of that it lacks", [least("110.00", SECOND)],
         ["0-360 charge 50.00", "360-720 charge 50.00", "360-720 true-up 5.00"]),
        ("an amount off the same time counts",
         [least("100.00", SECOND), Discount("a", SECOND, amount=TEN)],
         ["0-360 charge 50.00", "360-720 charge 50.00", "360-720 discount -5.00",
          "360-720 true-up 5.00"]),
        ("a ramp of one amount is that amount",
         [least("100.00", FIRST, "a"), least("100.00", SECOND, "b")],
         ["0-360 charge 50.00", "360-720 charge 50.00"]),
        ("a year that ends in the middle has the first half",
         [least("40.00", Span(datetime(2025, 4, 16, tzinfo=UTC)), term=Term.YEAR)],
         ["0-360 charge 50.00", "360-720 charge 50.00"]),
    ],
)  # fmt: skip
def test_what_a_part_of_a_month_comes_to(
    rule: str, terms: list[Discount | Commitment], expected: list[str]
) -> None:
    assert said(lines(agreed(*terms))) == expected, rule


@pytest.mark.parametrize(
    ("rule", "charge", "expected"),
    [
        ("a fee that is charged whole counts where it begins",
         Charge(Fee(), PerUnit(Decimal("100.00")), "hosting", prorate=False),
         ["0-720 charge 100.00"]),
        ("hours that start in each part", hourly("0.10"),
         ["0-360 charge 36.00", "360-720 charge 36.00", "360-720 discount -3.60"]),
        ("a cap is that of the month", hourly("0.10", "49.00"),
         ["0-360 charge 36.00", "360-720 charge 13.00", "360-720 discount -1.30"]),
        ("an allowance is drawn on in the order of time", traffic("1.00", 20),
         ["0-360 charge 0.00", "360-720 charge 10.00", "360-720 discount -1.00"]),
    ],
)  # fmt: skip
def test_10_percent_from_the_middle_on_of(rule: str, charge: Charge, expected: list[str]) -> None:
    scope = agreed(Discount("p", SECOND, percent=TEN), price_of=charge)
    assert said(lines(scope, inputs_of(used(30 * 10**12)))) == expected, rule


def test_where_a_price_changes_nothing_more_is_cut() -> None:
    """15 TB in each half, 20 are included: 10 at the second price, and no parts of no length."""
    rows = (row(traffic("1.00"), "it", FIRST, at="v1"), row(traffic("2.00"), "it", SECOND, at="v2"))
    scope = replace(scope_of(*rows), discounts=(Discount("p", SECOND, percent=TEN),))
    assert said(lines(scope, inputs_of(used(30 * 10**12)))) == [
        "0-360 charge 0.00", "360-720 charge 20.00", "360-720 discount -2.00",
    ]  # fmt: skip


def test_a_set_up_is_not_cut() -> None:
    """It was there when the item began, in the first half."""
    fee = Charge(Fee(Every.ONCE), PerUnit(Decimal("79.00")), "hosting")
    scope = scope_of(row(fee, "setup", Span(START)), rented=Span(START))
    terms = (Discount("p", SECOND, percent=TEN), Discount("q", FIRST, percent=2 * TEN))
    found = lines(replace(scope, discounts=terms))
    assert said(found) == ["0-720 charge 79.00", "0-720 discount -15.80"]


def test_what_is_billed_in_advance_is_cut_as_well() -> None:
    """10 % until the middle of May: so it was billed in April, and May says nothing more."""
    may = Span(END, datetime(2026, 6, 1, tzinfo=UTC))
    plan = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("31.00")), "hosting")
    until = Span(EARLIER, datetime(2026, 5, 11, tzinfo=UTC))
    scope = agreed(Discount("p", until, percent=TEN), price_of=plan)
    ahead = [x for x in lines(scope) if x.service.start >= END]
    assert [str(x.net) for x in ahead] == ["10.00", "-1.00", "21.00"]
    paid = (Billed("web", "rent", "hosting", total(ahead), Decimal(19)),)
    now = lines(scope, Inputs(may, billed=paid), closed(may))
    assert [x for x in now if x.service.start < closed(may)] == []


def test_the_edges_of_one_charge_and_of_all() -> None:
    """Those of the period's beginning and end cut nothing."""
    scope = agreed(
        Discount("p", Span(START, hour(10)), percent=TEN, charges=("rent",)),
        Discount("q", Span(EARLIER, hour(20)), amount=TEN),
        least("1.00", Span(hour(30), END), charges=("ipv4",)),
        least("1.00", Span(datetime(2025, 4, 16, tzinfo=UTC)), "y", Term.YEAR, ("ipv4",)),
        least("1.00", Span(hour(900)), "z"),
    )
    assert edges(scope, MONTH, "rent") == [hour(10), hour(20)]
    assert edges(scope, MONTH, "ipv4") == [hour(20), hour(30), MIDDLE]
    assert edges(scope, MONTH) == [hour(10), hour(20), hour(30), MIDDLE]


@laws
@given(everywhere())
def test_no_line_by_time_lies_in_two_terms(world: World) -> None:
    place, scope = world.place, world.scope
    rows = {(p.item, p.charge, p.version): p.price for p in scope.prices}
    for line in price(scope, world.inputs, world.end):
        if line.kind is LineKind.CHARGE and line.service.start < place.end:
            charge = rows[line.item, line.charge, line.version]
            fee = charge.quantity
            if isinstance(fee, Fee) and not (charge.prorate and fee.every is Every.MONTH):
                continue
            assert not [edge for edge in edges(scope, place.period, line.charge)
                        if line.service.start < edge < closed(line.service)]  # fmt: skip


@laws
@given(st.lists(st.integers(1, 719), max_size=4, unique=True), st.integers(0, 10_000))
def test_renewals_of_one_amount_take_one_amount(at: list[int], cents: int) -> None:
    amount = Decimal(cents) / 100
    ends = [EARLIER, *(hour(one) for one in sorted(at)), hour(900)]
    terms = [Discount("a", Span(*both), amount=amount) for both in pairwise(ends)]
    dear = Charge(Fee(), PerUnit(Decimal(10**6)), "hosting")
    assert total(lines(agreed(*terms, price_of=dear))) == 10**6 - amount
