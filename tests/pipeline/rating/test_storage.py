"""Storage over time: MiB-seconds from gauges, billed in GiB-months of 730 hours."""

from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Usage
from schemas.prices import Charge, PerUnit, Sum, Unit
from tests.pipeline.rating.worlds import END, START, inputs_of, row, said, scope_of

SERVERFAULT = "serverfault.com: EC2 EBS pricing over a month of dynamically allocated space"
AWS = "aws.eu/ebs/pricing"
METER = "disk.used_mib_s"
GIB_MONTH = Unit("GiB-month", METER, 1024 * 730 * 3600, Decimal("0.001"))
AWS_MONTH = Unit("GB-month", METER, 1024 * 30 * 86_400, Decimal("0.001"))


def held(*parts: tuple[int, int]) -> int:
    """MiB-seconds of (GiB, hours)."""
    return sum(gib * 1024 * hours * 3600 for gib, hours in parts)


@pytest.mark.parametrize(
    ("rule", "unit", "price_", "parts", "line"),
    [
        (f"{SERVERFAULT}: 30 GiB for a day", GIB_MONTH, "0.10", [(30, 24)],
         "0.986 GiB-month × 0.10 = 0.10"),
        (f"{SERVERFAULT}: 30 for 24 h, 10 for 5 h, 5 for 730 h", GIB_MONTH, "0.10",
         [(30, 24), (10, 5), (5, 730)], "6.055 GiB-month × 0.10 = 0.61"),
        (f"{AWS}: 2,000 GB for 12 hours of a 30-day month", AWS_MONTH, "0.09394", [(2000, 12)],
         "33.333 GB-month × 0.09394 = 3.13"),
        ("nothing stored", GIB_MONTH, "0.10", [], "0.000 GiB-month × 0.10 = 0.00"),
    ],
)  # fmt: skip
def test_one_price(
    rule: str, unit: Unit, price_: str, parts: list[tuple[int, int]], line: str
) -> None:
    charge = Charge(Sum((METER,), unit), PerUnit(Decimal(price_)), "hosting")
    usage = (Usage("srv", METER, "/", START, END, held(*parts)),) if parts else ()
    assert said(price(scope_of(row(charge, "disk")), inputs_of(*usage), END)) == [line], rule
