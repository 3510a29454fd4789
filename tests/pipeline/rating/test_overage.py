"""Usage above an allowance: documented examples, one row each."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Inputs, Line, PriceRow, Rounding, Span, Usage
from schemas.prices import Allowance, Charge, PerUnit, Sum, Unit
from tests.pipeline.rating.worlds import (
    END,
    GB,
    MONTH,
    START,
    TB,
    TX,
    bill,
    counted,
    hour,
    inputs_of,
    row,
    scope_of,
    traffic,
    used,
)

GIB = Unit("GiB", "net.bytes", 2**30, Decimal("0.001"))
FULL, HALF, THIRD = (0, 720), (0, 360), (0, 240)


def lines(*rows: PriceRow, usage: tuple[Usage, ...], rented: Span = MONTH) -> list[Line]:
    return list(price(scope_of(*rows, rented=rented), inputs_of(*usage), END))


@pytest.mark.parametrize(
    ("rule", "unit", "price_", "included", "rented", "base", "quantity", "net"),
    [
        ("DigitalOcean bandwidth FAQ 2018: 1500 GB of 1000 GB at 0.02", GB, "0.02", 1000, FULL,
         1500 * 10**9, "500.000", "10.00"),
        ("DigitalOcean bandwidth: 1,000 GiB above at 0.01 are 10", GIB, "0.01", 1000, FULL,
         2000 * 2**30, "1000.000", "10.00"),
        ("xneelo over-usage: 501.3 GB of 500 GB bill 1.3 GB", GB, "1.00", 500, FULL,
         5013 * 10**8, "1.300", "1.30"),
        ("DigitalOcean: half the month holds half the allowance", GB, "0.01", 1000, HALF,
         1000 * 10**9, "500.000", "5.00"),
        ("within the allowance: a line of nothing", TB, "1.29", 20, FULL, 10**12, "0.000", "0.00"),
        ("exactly the allowance", TB, "1.29", 20, FULL, 20 * 10**12, "0.000", "0.00"),
        ("no usage at all", TB, "1.29", 20, FULL, 0, "0.000", "0.00"),
        ("nothing included", TB, "1.29", 0, FULL, 10**12, "1.000", "1.29"),
        ("less than half a step is none", TB, "1.29", 20, FULL, 20 * 10**12 + 499_999_999,
         "0.000", "0.00"),
        ("half a step is one", TB, "10.00", 20, FULL, 20 * 10**12 + 500_000_000, "0.001", "0.01"),
        ("0.412 TB of a prorated third", TB, "1.29", 3, THIRD, 1_412_000_000_000, "0.412", "0.53"),
    ],
)  # fmt: skip
def test_one_price(
    rule: str, unit: Unit, price_: str, included: int, rented: tuple[int, int],
    base: int, quantity: str, net: str,
) -> None:  # fmt: skip
    span = Span(hour(rented[0]), hour(rented[1]))
    usage = used(base, span.start, span.end or END)
    (line,) = lines(
        row(traffic(price_, included, unit=unit), "traffic"), usage=(usage,), rented=span
    )
    assert (str(line.quantity), str(line.net)) == (quantity, net), rule
    assert (line.unit, line.base_quantity) == (unit.name, base)


def test_every_rounding_is_on_the_line() -> None:
    (line,) = lines(row(traffic(), "traffic"), usage=(used(20_412_345_678_901),))
    assert line.roundings == (
        Rounding("quantity", "0.412345678901", Decimal("0.412")),
        Rounding("net", "0.53148", Decimal("0.53")),
    )
    assert line.allowance == 20 * 10**12
    assert line.key == "acme/web/traffic/2026-04-01T00:00:00Z/0"


def test_a_prorated_allowance_rounds_up() -> None:
    """100 bytes × 1 h ÷ 720 h = 0.138…: one byte is included."""
    tiny = Unit("B", "net.bytes", 1, Decimal(1))
    (line,) = lines(
        row(traffic("1.00", 100, unit=tiny), "traffic"),
        usage=(used(3, START, hour(1)),),
        rented=Span(START, hour(1)),
    )
    assert (line.allowance, str(line.quantity)) == (1, "2")


def test_an_allowance_that_is_not_prorated_is_whole_however_short() -> None:
    model = traffic("2.00", 256, unit=Unit("MB", "net.bytes", 10**6, Decimal(1)), prorate=False)
    (line,) = lines(
        row(model, "traffic"), usage=(used(300 * 10**6, hour(700), hour(701)),),
        rented=Span(hour(700)),
    )  # fmt: skip
    assert (line.allowance, str(line.quantity), str(line.net)) == (256 * 10**6, "44", "88.00")


def test_an_open_item_has_its_whole_allowance_from_the_first_day() -> None:
    scope = scope_of(row(traffic(), "traffic", Span(START)), rented=Span(START))
    (line,) = price(scope, inputs_of(used(10**13, START, hour(24))), hour(24))
    assert (line.allowance, str(line.net)) == (20 * 10**12, "0.00")
    assert line.service == Span(START, hour(24))


class TestPriceChange:
    """The allowance is the item's for the month; each part of the month pays its own price."""

    FIRST = row(traffic("1.00", 10), "traffic", Span(START, hour(360)), at="v1")
    SECOND = row(traffic("2.00", 10), "traffic", Span(hour(360)), at="v2")

    def test_what_the_first_half_leaves_is_used_in_the_second(self) -> None:
        usage = (used(2 * 10**12, START, hour(360)), used(9 * 10**12, hour(360), END))
        first, second = lines(self.FIRST, self.SECOND, usage=usage)
        assert (first.allowance, str(first.net)) == (10**13, "0.00")
        assert (second.allowance, str(second.net)) == (8 * 10**12, "2.00")
        assert (first.version, second.version) == ("v1", "v2")
        assert (first.service, second.service) == (Span(START, hour(360)), Span(hour(360), END))

    def test_excess_is_priced_when_it_happens(self) -> None:
        usage = (used(12 * 10**12, START, hour(360)), used(10**12, hour(360), END))
        assert [line.net for line in lines(self.FIRST, self.SECOND, usage=usage)] == [2, 2]

    def test_where_nothing_is_included_any_more_the_first_half_s_share_is(self) -> None:
        """10 of 20 TB: 9 are used in the first half, so of 3 in the second 2 are paid."""
        first = row(traffic("1.00", 20), "traffic", Span(START, hour(360)), at="v1")
        second = row(counted(PerUnit(Decimal(1)), TB), "traffic", Span(hour(360)), at="v2")
        usage = (used(9 * TB.is_, START, hour(360)), used(3 * TB.is_, hour(360), END))
        assert [line.net for line in lines(first, second, usage=usage)] == [0, 2]

    def test_what_is_included_and_not_used_lowers_no_other_part(self) -> None:
        """Byte by byte: 4 of 10, then 8."""
        tiny = Unit("B", "net.bytes", 1, Decimal(1))
        rows = (
            row(traffic("1.00", 10, unit=tiny), "traffic", Span(START, hour(360)), at="v1"),
            row(traffic("2.00", 10, unit=tiny), "traffic", Span(hour(360)), at="v2"),
        )
        usage = (used(4, START, hour(360)), used(8, hour(360), END))
        assert [line.quantity for line in lines(*rows, usage=usage)] == [0, 2]

    def test_a_window_that_the_change_cuts_is_split_by_overlap(self) -> None:
        """300 s, cut after 100 s: a third and two thirds, the odd byte to the larger remainder."""
        cut = START.replace(hour=1, minute=1, second=40)
        rows = (
            row(traffic("1.00", 0), "traffic", Span(START, cut)),
            row(traffic("1.00", 0), "traffic", Span(cut)),
        )
        window = used(1000, START.replace(hour=1), START.replace(hour=1, minute=5))
        assert [line.base_quantity for line in lines(*rows, usage=(window,))] == [333, 667]

    def test_keys_survive_a_cut_later_in_the_month(self) -> None:
        whole = lines(row(traffic(), "traffic"), usage=())
        assert lines(self.FIRST, self.SECOND, usage=())[0].key == whole[0].key

    def test_another_unit_of_the_family_shares_the_allowance(self) -> None:
        """Of 10 + 10 TB the first half leaves 5; of 15 in the second 10 are paid, by the GB."""
        by_tb = row(traffic("1.00", 20), "traffic", Span(START, hour(360)), at="v1")
        by_gb = row(traffic("0.002", 20_000, unit=GB), "traffic", Span(hour(360)), at="v2")
        usage = (used(15 * TB.is_, START, hour(360)), used(15 * TB.is_, hour(360), END))
        for rows in ((by_tb, by_gb), (by_gb, by_tb)):
            found = lines(*rows, usage=usage)
            assert [f"{x.quantity} {x.unit} {x.net}" for x in found] == [
                "0.000 TB 0.00",
                "10000.000 GB 20.00",
            ]

    def test_another_unit_family_has_an_allowance_of_its_own(self) -> None:
        hours = Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01"))
        gpu = Charge(
            Sum(("gpu.alloc_ms",), hours), PerUnit(Decimal("2.19")), "hosting", Allowance(3_600_000)
        )
        rows = (self.FIRST, replace(self.SECOND, price=gpu))
        assert [line.allowance for line in lines(*rows, usage=())] == [5 * 10**12, 1_800_000]


def test_other_meters_and_other_servers_are_not_counted() -> None:
    other = replace(used(10**15), meter="net.rx_bytes")
    (line,) = lines(row(traffic(), "traffic"), usage=(other, used(10**15, server="other")))
    assert (line.base_quantity, str(line.net)) == (0, "0.00")


def test_meters_and_resources_are_summed() -> None:
    both = replace(traffic(tb=0), quantity=Sum((TX, "net.rx_bytes"), TB))
    usage = (used(10**12), replace(used(10**12), meter="net.rx_bytes", resource="eth1"))
    (line,) = lines(row(both, "traffic"), usage=usage)
    assert (line.base_quantity, line.net) == (2 * 10**12, Decimal("2.58"))


def test_an_item_not_rented_in_the_period_has_no_line() -> None:
    past = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    scope = scope_of(row(traffic(), "traffic", Span(past.start)), rented=past)
    assert price(scope, Inputs(MONTH, (used(10**15),)), END) == ()


def test_what_is_not_prorated_counts_once_the_largest_of_the_month() -> None:
    """5 TB by the first price, 2 by the second: 5, and nothing of it is left for the second."""
    first, second = (traffic("1.00", tb, prorate=False) for tb in (5, 2))
    rows = (
        row(first, "traffic", Span(START, hour(360))),
        row(second, "traffic", Span(hour(360)), at="v2"),
    )
    usage = (used(5 * TB.is_, START, hour(360)), used(TB.is_, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    assert [(line.allowance, str(line.net)) for line in lines] == [
        (5 * TB.is_, "0.00"),
        (0, "1.00"),
    ]


def test_where_nothing_is_included_every_byte_is_paid() -> None:
    (line,) = bill(counted(PerUnit(Decimal("1.00"))), 1)
    assert (line.allowance, str(line.net)) == (0, "1.00")
