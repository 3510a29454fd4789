"""Quantity × price; the unit's step and the minor units of the currency."""

from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Span
from schemas.prices import PerUnit, Unit
from tests.pipeline.rating.worlds import (
    END,
    GB,
    START,
    TB,
    bill,
    counted,
    hour,
    inputs_of,
    row,
    said,
    scope_of,
)
from tests.pipeline.rating.worlds import used as moved

AUTUMN = "zuplo.com/docs/articles/monetization/pricing-models"


@pytest.mark.parametrize(
    ("rule", "price_", "unit", "used", "currency", "line"),
    [
        (f"{AUTUMN}: 100,000 calls at 0.001", "0.001", Unit("call", "net.bytes", 1, Decimal(1)),
         100_000, "USD", "100000 call × 0.001 = 100.00"),
        ("nothing used, nothing paid", "1.29", TB, 0, "EUR", "0.000 TB × 1.29 = 0.00"),
        ("yen have no minor unit: half of one is one", "0.5", GB, 10**9, "JPY",
         "1.000 GB × 0.5 = 1"),
        ("dinars have three", "0.0125", GB, 10**9, "KWD", "1.000 GB × 0.0125 = 0.013"),
        ("a TB is 10**12", "1.00", TB, 2**40, "EUR", "1.100 TB × 1.00 = 1.10"),
    ],
)  # fmt: skip
def test_one_price(rule: str, price_: str, unit: Unit, used: int, currency: str, line: str) -> None:
    lines = bill(counted(PerUnit(Decimal(price_)), unit), used, currency=currency)
    assert said(lines) == [line], rule


def test_each_line_says_what_the_month_came_to_before_it() -> None:
    one = counted(PerUnit(Decimal(2)))
    rows = (row(one, "it", Span(START, hour(360))), row(one, "it", Span(hour(360))))
    usage = (moved(3, START, hour(360)), moved(4, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [(str(line.quantity), str(line.above)) for line in lines] == [("3", "0"), ("4", "3")]
