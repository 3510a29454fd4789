"""What each charge has come to, as it is shown: in the unit of its newest price."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.figures import figures
from pipeline.rating.price import price
from schemas.billing import Billed, Inputs, PriceRow, Samples, Span
from schemas.prices import Bill, Charge, Commit, Fee, Graduated, Percentile, PerUnit, Unit
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.worlds import (
    END,
    GB,
    MONTH,
    START,
    TB,
    TX,
    counted,
    hour,
    hourly,
    inputs_of,
    row,
    scope_of,
    tiers,
    traffic,
    used,
)

HALF = hour(360)
TERMS = (Discount("partner", Span(START), percent=Decimal(10)),)
LEAST = (Commitment("least", Span(START), Decimal("9.00"), Term.MONTH, "hosting"),)
TWO = counted(Graduated(tiers(("10", "1", "5"), (None, "2", "0"))), TB)
FIXED = counted(PerUnit(Decimal(1)), TB, commit=Commit(Decimal(4), Decimal("0.50")))


@pytest.mark.parametrize(
    ("rule", "rows", "shown"),
    [
        ("used before the allowance, and what is included",
         [row(traffic("1.00", 20), "it")], ["web/it 12/20 TB = 0.00"]),
        ("all tiers and flat fees are one", [row(TWO, "it")], ["web/it 12/0 TB = 19.00"]),
        ("so is what is committed", [row(FIXED, "it")], ["web/it 12/0 TB = 10.00"]),
        ("in the unit of the newest price; included is what the first found",
         [row(traffic("1.00", 10), "it", Span(START, HALF)),
          row(traffic("0.002", 10_000, unit=GB), "it", Span(HALF))],
         ["web/it 12000/10000 GB = 4.00"]),
        ("by charge; of rent the milliseconds, nothing is included",
         [row(traffic("1.00", 20), "it"), row(hourly("0.01"), "a")],
         ["web/a 720/0 hour = 7.20", "web/it 12/20 TB = 0.00"]),
    ],
)  # fmt: skip
def test_one_charge(rule: str, rows: list[PriceRow], shown: list[str]) -> None:
    """12 TB, all in the second half of the month, of which 10 TB are included at most."""
    scope = scope_of(*rows)
    found = figures(scope, price(scope, inputs_of(used(12 * TB.is_, HALF, END)), END))
    units = [f"{x.used // x.unit_size}/{x.included // x.unit_size} {x.unit}" for x in found]
    assert [
        f"{x.item}/{x.charge} {quantity} = {x.net}"
        for x, quantity in zip(found, units, strict=True)
    ] == shown, rule
    assert {x.currency for x in found} == {"EUR"}


def test_a_rate_is_shown_once_however_its_month_is_cut() -> None:
    mbps = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))
    port = Charge(Percentile((TX,), mbps), PerUnit(Decimal(1)), "hosting")
    scope = scope_of(row(port, "it", Span(START, HALF)), row(port, "it", Span(HALF), at="v2"))
    samples = Samples("srv", TX, "1", START, (90 * mbps.is_,) * 8640)
    (found,) = figures(scope, price(scope, Inputs(MONTH, samples=(samples,)), END))
    assert (found.used, str(found.net)) == (90 * mbps.is_, "90.00")


def test_discounts_are_of_their_charge_and_what_no_price_row_makes_is_of_its_own() -> None:
    scope = replace(scope_of(row(TWO, "it")), discounts=TERMS, commitments=LEAST)
    charged, lacking = figures(scope, price(scope, inputs_of(used(TB.is_)), END))
    assert (charged.unit, charged.unit_size, str(charged.net)) == ("TB", TB.is_, "5.40")
    assert (lacking.charge, lacking.unit, lacking.unit_size) == ("least", "true-up", 1)
    assert (lacking.used, lacking.included, str(lacking.net)) == (0, 0, "3.60")


def test_what_only_takes_off_a_fee_that_was_billed_has_no_unit_of_a_price() -> None:
    """Cancelled as the month began."""
    plan = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")
    scope = scope_of(row(plan, "plan", Span(hour(-1))), rented=Span(hour(-1), START))
    before = Billed("web", "plan", "hosting", Decimal("30.00"))
    (found,) = figures(scope, price(scope, Inputs(MONTH, billed=(before,)), END))
    assert (found.unit, found.unit_size, str(found.net)) == ("billed in advance", 1, "-30.00")
