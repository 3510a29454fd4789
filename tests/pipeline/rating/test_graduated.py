"""Graduated tiers: each unit at its own tier's price."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.price import price
from schemas.billing import LineKind, Span
from schemas.prices import Allowance, Graduated, Rollover, Tier
from tests.pipeline.rating.worlds import (
    END,
    START,
    bill,
    counted,
    hour,
    inputs_of,
    laws,
    row,
    said,
    scope_of,
    tiers,
    total,
    used,
)

STRIPE = "docs.stripe.com/subscriptions/pricing-models/tiered-pricing"
AUTUMN = "docs.useautumn.com/documentation/modelling-pricing/graduated-pricing"
ZUPLO = "zuplo.com/docs/articles/monetization/pricing-models"
LAGO = "getlago.com/docs/guide/plans/charges/charge-models/graduated"
FONTS = tiers(("5", "7", "0"), ("10", "6.5", "0"), (None, "6", "0"))
CALLS = tiers(("100", "1", "0"), ("200", "0.50", "0"), (None, "0.10", "0"))
FLAT = tiers(("10", "1", "5"), ("20", "1", "7"), (None, "1", "9"))


@pytest.mark.parametrize(
    ("rule", "model", "quantity", "net"),
    [
        (f"{STRIPE}: 5 fonts", FONTS, 5, "35.00"),
        (f"{STRIPE}: up_to is inclusive, the 6th is in the second tier", FONTS, 6, "41.50"),
        (f"{STRIPE}: 20 are 5 × 7 + 5 × 6.5 + 10 × 6", FONTS, 20, "127.50"),
        (f"{LAGO}: 100 × 1 + 100 × 0.50 + 50 × 0.10", CALLS, 250, "155.00"),
        (f"{AUTUMN}: 15,000 requests are 107",
         tiers(("1000", "0.01", "0"), ("10000", "0.008", "0"), (None, "0.005", "0")), 15_000,
         "107.00"),
        (f"{ZUPLO}: 15,000 units are 600",
         tiers(("1000", "0.10", "0"), ("10000", "0.05", "0"), (None, "0.01", "0")), 15_000,
         "600.00"),
        ("the first flat fee is charged at zero usage", FLAT, 0, "5.00"),
        ("the last unit of a tier does not enter the next", FLAT, 10, "15.00"),
        ("its first unit does: both flat fees", FLAT, 11, "23.00"),
        ("all three", FLAT, 21, "42.00"),
        ("one open tier is a price a unit", tiers((None, "2", "0")), 3, "6.00"),
    ],
)  # fmt: skip
def test_one_price(rule: str, model: tuple[Tier, ...], quantity: int, net: str) -> None:
    lines = bill(counted(Graduated(model)), quantity)
    assert str(total(lines)) == net, rule
    assert sum(x.quantity for x in lines if x.kind is LineKind.CHARGE) == quantity
    assert sum(x.base_quantity for x in lines) == quantity


@pytest.mark.parametrize(
    ("cap", "model", "nets"),
    [
        ("5.00", (("100", "0.01235", "0"), (None, "0.01", "0")), ["1.24", "3.76"]),
        (
            "1.00",
            (("10", "0.0126", "0"), ("20", "0.0116", "0"), (None, "0.01", "0")),
            ["0.13", "0.12", "0.75"],
        ),
    ],
)
def test_what_tiers_are_rounded_to_counts_against_the_cap(
    cap: str, model: tuple[tuple[str | None, str, str], ...], nets: list[str]
) -> None:
    """1.235 and 3.765 are 5.00, and 1.24 + 3.77 would be a cent more than may be billed."""
    lines = bill(counted(Graduated(tiers(*model)), cap=Decimal(cap)), 1000)
    assert [str(line.net) for line in lines] == nets


def test_a_price_change_after_a_cap_bills_nothing_below_zero() -> None:
    model = Graduated(tiers(("100", "0.01235", "0"), (None, "0.01", "0")))
    charge = counted(model, cap=Decimal("5.00"))
    half = hour(360)
    rows = row(charge, "it", Span(START, half), at="v1"), row(charge, "it", Span(half), at="v2")
    lines = price(scope_of(*rows), inputs_of(used(1000, START, half), used(1000, half, END)), END)
    assert [str(line.net) for line in lines] == ["1.24", "3.76", "0.00"]


def test_one_line_a_tier() -> None:
    lines = bill(counted(Graduated(FLAT)), 12)
    assert said(lines) == [
        "10 call × 1 = 10.00",
        "2 call × 1 = 2.00",
        "1 flat fee × 5 = 5.00",
        "1 flat fee × 7 = 7.00",
    ]
    assert [line.key.rpartition("/")[2] for line in lines] == ["0", "tier2", "flat1", "flat2"]
    assert [line.above for line in lines] == [0, 10, 0, 0]
    assert [line.title.removeprefix("web-1: it") for line in lines] == [
        "", " above 10 call", ", tier 1", ", tier 2",
    ]  # fmt: skip


def test_what_is_of_the_whole_quantity_is_said_once() -> None:
    """4 of 10 included calls are used: the flat fee says nothing of them, nor of the rest."""
    terms = Allowance(10, True, "eu", Rollover(100, 1))
    lines = bill(counted(Graduated(FLAT), allowance=terms), 4)
    assert [(x.base_quantity, x.allowance, len(x.lots)) for x in lines] == [(4, 10, 1), (0, 0, 0)]


def test_an_edge_is_written_in_full() -> None:
    model = Graduated(tiers(("1E+3", "1", "0"), (None, "1", "0")))
    assert bill(counted(model), 1001)[-1].title == "web-1: it above 1000 call"


@pytest.mark.parametrize(
    ("cap", "nets", "capped"),
    [
        ("155.00", ["100.00", "50.00", "5.00"], [False, False, False]),
        ("152.00", ["100.00", "50.00", "2.00"], [False, False, True]),
        ("120.00", ["100.00", "20.00", "0.00"], [False, True, True]),
        ("90.00", ["90.00", "0.00", "0.00"], [True, True, True]),
    ],
)
def test_a_cap_is_of_all_tiers_together(cap: str, nets: list[str], capped: list[bool]) -> None:
    """docs/price.md: the most that one item pays for a charge; the last tiers are cut off."""
    lines = bill(counted(Graduated(CALLS), cap=Decimal(cap)), 250)
    assert [str(line.net) for line in lines] == nets
    assert [line.capped for line in lines] == capped


def test_a_price_change_goes_on_where_the_month_stands() -> None:
    """8 fonts, then 4: the 9th and 10th at 6.50, two more at 6."""
    model = counted(Graduated(FONTS))
    rows = (
        row(model, "it", Span(START, hour(360)), at="v1"),
        row(model, "it", Span(hour(360)), at="v2"),
    )
    usage = (used(8, START, hour(360)), used(4, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert said(lines) == [
        "5 call × 7 = 35.00",
        "3 call × 6.5 = 19.50",
        "2 call × 6.5 = 13.00",
        "2 call × 6 = 12.00",
    ]


@pytest.mark.parametrize(("first", "price_"), [(0, "7"), (4, "7"), (5, "6.5"), (12, "6")])
def test_a_line_of_nothing_is_at_the_price_of_the_next_unit(first: int, price_: str) -> None:
    model = counted(Graduated(FONTS))
    rows = (row(model, "it", Span(START, hour(360))), row(model, "it", Span(hour(360))))
    lines = price(scope_of(*rows), inputs_of(used(first, START, hour(360))), END)
    assert said(lines)[-1] == f"0 call × {price_} = 0.00"


@pytest.mark.parametrize(("first", "second"), [(10, 4), (11, 3), (14, 0)])
def test_a_flat_fee_is_due_once_wherever_a_price_change_lies(first: int, second: int) -> None:
    """14 calls enter the second tier, whether its first unit is before the change or after."""
    model = counted(Graduated(FLAT))
    rows = (
        row(model, "it", Span(START, hour(360)), at="v1"),
        row(model, "it", Span(hour(360)), at="v2"),
    )
    usage = (used(first, START, hour(360)), used(second, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [str(line.net) for line in lines if line.kind is LineKind.FLAT] == ["5.00", "7.00"]
    assert total(lines) == total(bill(model, 14))


edges = st.lists(st.integers(1, 1000), min_size=1, max_size=4, unique=True).map(sorted)
prices = st.integers(0, 500).map(lambda cents: Decimal(cents) / 100)


@laws
@given(edges, st.lists(prices, min_size=5, max_size=5), st.integers(0, 1100))
def test_without_flat_fees_a_unit_more_costs_its_own_price(
    ends: list[int], costs: list[Decimal], quantity: int
) -> None:
    """Continuous: nothing jumps where a tier ends."""
    rows = [(str(end), str(cost), "0") for end, cost in zip(ends, costs, strict=False)]
    model = counted(Graduated(tiers(*rows, (None, str(costs[4]), "0"))))
    step = total(bill(model, quantity + 1)) - total(bill(model, quantity))
    own = next((c for e, c in zip(ends, costs, strict=False) if quantity + 1 <= e), costs[4])
    assert step == own
