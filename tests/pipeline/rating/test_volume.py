"""Volume tiers: all units at the price of the last one's tier; and a flat price a step."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Span
from schemas.prices import Graduated, Tier, Volume
from tests.pipeline.rating.worlds import (
    END,
    START,
    bill,
    counted,
    hour,
    hourly,
    inputs_of,
    row,
    scope_of,
    tiers,
    total,
    used,
)

STRIPE = "docs.stripe.com/subscriptions/pricing-models/tiered-pricing"
LAGO = "getlago.com/docs/guide/plans/charges/charge-models/volume"
FLEXPRICE = "docs.flexprice.io/docs/product-catalogue/plans/billing-models/package"
FONTS = tiers(("5", "7", "0"), ("10", "6.5", "0"), (None, "6", "0"))
API = tiers(
    ("10000", "0.0010", "10"), ("50000", "0.0008", "10"), ("100000", "0.0006", "10"),
    (None, "0.0004", "10"),
)  # fmt: skip
STEPS = tiers(("1000", "0", "50"), ("5000", "0", "200"), (None, "0", "350"))


@pytest.mark.parametrize(
    ("rule", "model", "quantity", "net"),
    [
        (f"{STRIPE}: one font", FONTS, 1, "7.00"),
        (f"{STRIPE}: five", FONTS, 5, "35.00"),
        (f"{STRIPE}: six, all at 6.50", FONTS, 6, "39.00"),
        (f"{STRIPE}: twenty", FONTS, 20, "120.00"),
        (f"{STRIPE}: twenty-five", FONTS, 25, "150.00"),
        (f"{LAGO}: 65,000 calls are 39 + 10", API, 65_000, "49.00"),
        (f"{LAGO}: the tier ends with its last unit", API, 50_000, "50.00"),
        (f"{FLEXPRICE}: 4,500 messages are in the step of 200", STEPS, 4500, "200.00"),
        (f"{FLEXPRICE}: 1,500 too", STEPS, 1500, "200.00"),
        ("the first step is paid at zero usage", STEPS, 0, "50.00"),
        ("the first unit above a step", STEPS, 1001, "200.00"),
    ],
)
def test_one_price(rule: str, model: tuple[Tier, ...], quantity: int, net: str) -> None:
    assert str(total(bill(counted(Volume(model)), quantity))) == net, rule


def test_the_month_decides_also_for_what_an_earlier_price_row_used() -> None:
    model = counted(Volume(FONTS))
    rows = (
        row(model, "it", Span(START, hour(360)), at="v1"),
        row(model, "it", Span(hour(360)), at="v2"),
    )
    usage = (used(4, START, hour(360)), used(8, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [line.net for line in lines] == [Decimal(24), Decimal(48)]


@pytest.mark.parametrize(
    ("model", "nets"),
    [
        (Volume(tiers(("1000", "0.10", "5"), (None, "0.05", "0"))), ["72.00", "5.00"]),
        (Graduated(tiers(("100", "0.10", "5"), (None, "0.05", "0"))), ["10.00", "31.00", "5.00"]),
    ],
)
def test_the_first_tier_s_flat_price_is_due_once_wherever_the_first_hour_begins(
    model: Volume | Graduated, nets: list[str]
) -> None:
    """docs/price.md, Tiers. Rented since 23:30 of the last day, cut before the next hour starts."""
    charge = replace(hourly("1"), model=model)
    rented = Span(START - timedelta(minutes=30))
    cut = START + timedelta(minutes=20)
    whole = (row(charge, "rent", rented),)
    parts = (row(charge, "rent", Span(rented.start, cut)), row(charge, "rent", Span(cut)))
    for rows in (whole, parts):
        lines = price(scope_of(*rows, rented=rented), inputs_of(), END)
        assert [str(line.net) for line in lines] == nets


def test_its_lines_say_the_tier_and_the_flat_price_once() -> None:
    """12,000 calls, 4,000 of them before a price change: 0.0008 each, and 10."""
    model = counted(Volume(API))
    rows = (row(model, "it", Span(START, hour(360))), row(model, "it", Span(hour(360))))
    usage = (used(4000, START, hour(360)), used(8000, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [(x.title, x.key.partition("Z/")[2], str(x.net), str(x.above)) for x in lines] == [
        ("web-1: it, tier 2", "0", "3.20", "0"),
        ("web-1: it, tier 2", "0/flat", "10.00", "0"),
        ("web-1: it, tier 2", "1296000", "6.40", "4000"),
    ]
    roundings = [[one.what for one in line.roundings] for line in lines]
    assert roundings == [["quantity", "net"], ["net"], ["quantity", "net"]]
