"""Rent by the hour with a monthly cap: documented rules and examples, one row each."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.periods import MICROSECOND, closed, following, microseconds, month
from pipeline.rating.hours import hours_started
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Inputs, Line, PriceRow, Span
from schemas.prices import Charge, Fee, PerUnit
from tests.pipeline.rating.worlds import (
    END,
    HOUR,
    MONTH,
    START,
    hour,
    hourly,
    inputs_of,
    row,
    scope_of,
)

HETZNER = "docs.hetzner.com/cloud/billing/faq"
CX33 = (
    "0.0104",
    "6.49",
)  # Hetzner's hourly and monthly net price of 2026-05, api.hetzner.cloud/v1/pricing


def span_of(line: Line) -> tuple[datetime, datetime]:
    return line.service.start, closed(line.service)


def rent(rented: Span, *rows: PriceRow, as_of: datetime = END) -> list[Line]:
    return list(price(scope_of(*rows, rented=rented), inputs_of(), as_of))


@pytest.mark.parametrize(
    ("rule", "model", "rented", "hours", "net", "capped"),
    [
        (f"{HETZNER}: a few minutes cost a full hour", CX33, (0, "0.05"), 1, "0.01", False),
        (f"{HETZNER}: partial hours round up", CX33, (0, "10.2"), 11, "0.11", False),
        ("exactly one hour is one", CX33, (0, 1), 1, "0.01", False),
        ("a microsecond more is two", CX33, (0, "1.00000000028"), 2, "0.02", False),
        (f"{HETZNER}: never above the monthly cap", CX33, (0, 720), 720, "6.49", True),
        (f"{HETZNER}: the smaller of cap and hours × rate", CX33, (0, 600), 600, "6.24", False),
        ("624 h × 0.0104 = 6.4896: still the hours", CX33, (0, 624), 624, "6.49", False),
        ("625 h × 0.0104 = 6.50: now the cap", CX33, (0, 625), 625, "6.49", True),
        ("the cap is not prorated", CX33, (95, 720), 625, "6.49", True),
        ("exactly the cap is not capped", ("0.10", "72.00"), (0, 720), 720, "72.00", False),
        ("no cap", ("0.0104", None), (0, 720), 720, "7.49", False),
        ("a cap of nothing", ("0.0104", "0.00"), (0, 5), 5, "0.00", True),
        ("half a cent rounds up", ("0.005", None), (0, 1), 1, "0.01", False),
    ],
)
def test_one_price(
    rule: str, model: tuple[str, str | None], rented: tuple[int | str, int | str],
    hours: int, net: str, capped: bool,
) -> None:  # fmt: skip
    span = Span(hour(rented[0]), hour(rented[1]))
    (line,) = rent(span, row(hourly(*model), "rent"))
    assert (int(line.quantity), str(line.net), line.capped) == (hours, net, capped), rule
    assert (line.unit, line.unit_price) == ("hour", Decimal(model[0]))
    assert line.base_quantity == microseconds(*span_of(line)) // 1000
    assert [one.what for one in line.roundings] == ["net"], "hours are counted"


@pytest.mark.parametrize(
    ("case", "first", "change", "second", "bills"),
    [
        # hours are those that start in a row: 0:00–0:30 holds one start, 0:30–20:00 the others
        ("inside an hour", ("1", None), "0.5", ("2", None), ["1 h 1.00", "19 h 38.00"]),
        ("on the hour", ("1", None), 1, ("2", None), ["1 h 1.00", "19 h 38.00"]),
        ("same cap: once in all", ("1", "10.00"), 8, ("1", "10.00"), ["8 h 8.00", "12 h 2.00"]),
        ("dearer: up to the dearest", ("1", "5.00"), 8, ("1", "10.00"), ["8 h 5.00", "12 h 5.00"]),
        ("cheaper after a reached cap", ("1", "5.00"), 8, ("1", "2.00"), ["8 h 5.00", "12 h 0.00"]),
        ("own cap holds", ("1", "10.00"), 1, ("1", "3.00"), ["1 h 1.00", "19 h 3.00"]),
        ("from no cap: own cap", ("1", None), 8, ("1", "2.00"), ["8 h 8.00", "12 h 2.00"]),
        ("not reached by it", ("1", None), 8, ("1", "15.00"), ["8 h 8.00", "12 h 12.00"]),
        ("to no cap", ("1", "2.00"), 8, ("1", None), ["8 h 2.00", "12 h 12.00"]),
    ],
)
def test_price_change(
    case: str, first: tuple[str, str | None], change: int | str, second: tuple[str, str | None],
    bills: list[str],
) -> None:  # fmt: skip
    rows = (
        row(hourly(*first), "rent", Span(START, hour(change)), at="v1"),
        row(hourly(*second), "rent", Span(hour(change)), at="v2"),
    )
    found = rent(Span(START, hour(20)), *rows)
    assert [f"{line.quantity} h {line.net}" for line in found] == bills, case
    assert [line.version for line in found] == ["v1", "v2"]
    assert len({line.key for line in found}) == 2


@pytest.mark.parametrize(
    ("case", "prices", "bills"),
    [
        ("back to a plan", [("1", "5.00"), ("2", "20.00"), ("1", "5.00")], ["5", "15", "0"]),
        ("what it left", [("1", "12.00"), ("2", "20.00"), ("1", "12.00")], ["8", "12", "0"]),
        ("and still is left", [("1", "12.00"), ("1", "20.00"), ("1", "12.00")], ["8", "8", "4"]),
        ("two plans below the dearest", [("2", "20.00"), ("1", "5.00"), ("1", "6.00")],
         ["16", "4", "0"]),
        ("a free hour", [("9", "90.00"), ("1", "5.00"), None, ("1", "5.00")], ["72", "5", "0"]),
    ],
)  # fmt: skip
def test_a_cap_is_paid_once_however_often_it_is_interrupted(
    case: str, prices: list[tuple[str, str] | None], bills: list[str]
) -> None:
    """docs/price.md, the rules: all under one cap is bounded by it. Eight hours each."""
    rows = [
        row(hourly(*one), "rent", Span(hour(8 * n), hour(8 * n + 8)), at=f"v{n}")
        for n, one in enumerate(prices)
        if one
    ]
    found = rent(Span(START, hour(8 * len(prices))), *rows)
    assert [format(line.net.normalize(), "f") for line in found] == bills, case


def test_midnight_on_the_first_adds_no_hour() -> None:
    """Rented 23:30 to 02:10 over the month's end: three hours in all, not four.

    23:30 ── 0:00 ── 0:30 ────── 1:30 ── 2:10
    │ hour 1 ┆       │ hour 2    │ hour 3
    """
    rented = Span(START - HOUR / 2, hour("2.1666666666667"))
    (line,) = rent(rented, row(hourly("1"), "rent", Span(rented.start)))
    assert line.quantity == 2
    before = Inputs(month(rented.start, "UTC"))
    scope = scope_of(row(hourly("1"), "rent", Span(rented.start)), rented=rented)
    assert [line.quantity for line in price(scope, before, START)] == [1]


def test_months_together_bill_every_started_hour_once() -> None:
    start = datetime(2026, 2, 11, 9, 17, 5, 123456, tzinfo=UTC)
    period = month(start, "Europe/Berlin")
    scope = scope_of(row(hourly("0.01"), "rent", Span(start)), rented=Span(start))
    billed = 0
    for _ in range(12):  # both clock changes among them
        (line,) = price(scope, Inputs(period), period.end or END)
        billed += int(line.quantity)
        period = following(period, "Europe/Berlin")
    assert billed == hours_started(start, period.start)


def test_a_server_that_ends_before_its_next_hour_starts_gives_no_line() -> None:
    """The hour that began at 23:40 belongs to last month; at 0:20 it is over and no other began."""
    rented = Span(START - HOUR / 3, START + HOUR / 3)
    assert rent(rented, row(hourly("1"), "rent", Span(rented.start))) == []


def test_before_the_start_there_is_nothing() -> None:
    span = Span(hour(10))
    assert rent(span, row(hourly("1"), "rent"), as_of=hour(10)) == []
    assert hours_started(hour(10), hour(3)) == 0


def test_currencies_round_to_their_own_minor_unit() -> None:
    scope = scope_of(row(hourly("0.5"), "rent"), rented=Span(START, hour(1)), currency="JPY")
    (line,) = price(scope, inputs_of(), END)
    assert str(line.net) == "1"


class TestNextEvalAt:
    """The sweep follows the hours of a silent server until its cap is reached."""

    def at(self, as_of: datetime, *rows: PriceRow, rented: Span = MONTH) -> datetime | None:
        return next_eval_at(scope_of(*rows, rented=rented), inputs_of(), as_of)

    def test_the_instant_after_the_next_full_hour(self) -> None:
        rows = row(hourly("1"), "rent")
        assert self.at(START, rows) == START + MICROSECOND
        assert self.at(hour("0.3"), rows) == hour(1) + MICROSECOND
        assert self.at(hour(1), rows) == hour(1) + MICROSECOND
        assert self.at(hour(1) + MICROSECOND, rows) == hour(2) + MICROSECOND

    def test_until_the_cap_is_reached(self) -> None:
        rows = row(hourly("1", "2.50"), "rent")
        assert self.at(hour("1.5"), rows) == hour(2) + MICROSECOND
        assert self.at(hour("2.5"), rows) is None

    def test_past_a_reached_cap_the_next_price_may_cost_more(self) -> None:
        rows = (
            row(hourly("1", "2.00"), "rent", Span(START, hour("50.5"))),
            row(hourly("1", "9.00"), "rent", Span(hour("50.5"))),
        )
        assert self.at(hour(10), *rows) == hour(51) + MICROSECOND

    def test_nothing_after_the_end(self) -> None:
        assert self.at(hour("719.5"), row(hourly("1"), "rent")) is None
        assert self.at(END, row(hourly("1"), "rent")) is None
        assert self.at(hour(2), row(hourly("1"), "rent"), rented=Span(START, hour("2.5"))) == (
            hour(2) + MICROSECOND
        )
        assert (
            self.at(hour("2.1"), row(hourly("1"), "rent"), rented=Span(START, hour("2.5"))) is None
        )

    def test_a_fee_counts_from_the_instant_at_which_it_begins(self) -> None:
        plan = row(Charge(Fee(), PerUnit(Decimal(9)), "hosting"), "plan", Span(hour("10.5")))
        begins = hour("10.5") + MICROSECOND
        assert self.at(START, plan) == self.at(hour("10.5"), plan) == begins
        assert self.at(begins, plan) is None
        rent = row(hourly("1"), "rent")
        assert self.at(hour("10.2"), rent, plan) == begins, "the first of both"
        assert self.at(begins, rent, plan) == hour(11) + MICROSECOND

    def test_a_free_hour_needs_no_sweep(self) -> None:
        assert self.at(hour(2), row(hourly("0"), "rent")) is None

    def test_metered_charges_wait_for_usage(self) -> None:
        assert next_eval_at(scope_of(), inputs_of(), START) is None
