"""Packages: every one begun is paid whole."""

from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Span
from schemas.prices import Allowance, Package
from tests.pipeline.rating.worlds import END, START, bill, counted, hour, inputs_of, row, scope_of
from tests.pipeline.rating.worlds import used as moved

LAGO = "getlago.com/docs/guide/plans/charges/charge-models/package"
CHARGEBEE = "chargebee.com/docs/billing/2.0/product-catalog/package-pricing"


@pytest.mark.parametrize(
    ("rule", "size", "price_", "free", "used", "packages", "net"),
    [
        (
            f"{LAGO}: 5 a 100, the first 100 free: 201 cost 10",
            "100",
            "5.00",
            100,
            201,
            2,
            "10.00",
        ),
        (
            f"{CHARGEBEE}: exactly one, of a million however that is written",
            "1E+6",
            "1.25",
            0,
            1_000_000,
            1,
            "1.25",
        ),
        (f"{CHARGEBEE}: one and a half are two", "1000000", "1.25", 0, 1_500_000, 2, "2.50"),
        ("billing.md: none at zero", "100", "5.00", 0, 0, 0, "0.00"),
        ("one unit begins one", "100", "5.00", 0, 1, 1, "5.00"),
        ("one more than a package", "100", "5.00", 0, 101, 2, "10.00"),
        ("all within what is free", "100", "5.00", 100, 100, 0, "0.00"),
    ],
)
def test_one_price(
    rule: str, size: str, price_: str, free: int, used: int, packages: int, net: str
) -> None:
    allowance = Allowance(free) if free else None
    charge = counted(Package(Decimal(size), Decimal(price_)), allowance=allowance)
    (line,) = bill(charge, used)
    assert (int(line.quantity), str(line.net)) == (packages, net), rule
    assert line.unit == f"package of {Decimal(size):f} call"


def test_a_price_change_in_the_middle_of_a_package_begins_no_other() -> None:
    """150 calls, then 40 more: two packages are begun in the first half, none in the second."""
    rows = (
        row(counted(Package(Decimal(100), Decimal(5))), "it", Span(START, hour(360)), at="v1"),
        row(counted(Package(Decimal(100), Decimal(7))), "it", Span(hour(360)), at="v2"),
    )
    usage = (moved(150, START, hour(360)), moved(40, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [f"{line.quantity} × {line.unit_price}" for line in lines] == ["2 × 5", "0 × 7"]
    assert [line.above for line in lines] == [0, 150]
