"""Thresholds of an allowance: what the current use has reached."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from pipeline.budgets import Mark, Said
from pipeline.live import live
from pipeline.rating.usage_state import progress
from pipeline.thresholds import Crossing, crossings, forecasts, marks_now
from schemas.billing import Inputs, PriceRow, Samples, Scope, Span, Usage
from schemas.prices import Charge, Percentile, PerUnit, Unit
from schemas.serial import from_json, to_json
from schemas.terms import Discount
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    TB,
    TX,
    hour,
    hourly,
    inputs,
    inputs_of,
    instants,
    laws,
    row,
    scope_of,
    scopes,
    traffic,
    usages,
    used,
)

ROW = row(traffic(tb=10), "traffic", Span(START))
OPEN = Span(START)


def reached(*rows: PriceRow, use: int, as_of: datetime = END, rented: Span = OPEN) -> list[str]:
    usage = used(use, START, hour(24))
    found = crossings(live(scope_of(*rows, rented=rented), inputs_of(usage), as_of))
    return [crossing.threshold for crossing in found]


@pytest.mark.parametrize(
    ("case", "use", "expected"),
    [
        ("nothing used", 0, ""),
        ("a byte below half", 5 * 10**12 - 1, ""),
        ("exactly half", 5 * 10**12, "50"),
        ("between", 79 * 10**11, "50"),
        ("80 %", 8 * 10**12, "50 80"),
        ("a byte below all", 10**13 - 1, "50 80"),
        ("all", 10**13, "50 80 100"),
        ("more than all", 10**14, "50 80 100"),
    ],
)
def test_every_threshold_at_or_below_the_use(case: str, use: int, expected: str) -> None:
    assert reached(ROW, use=use) == [f"web/traffic/{p}%" for p in expected.split()], case


def test_a_crossing_tells_everything() -> None:
    scope = scope_of(ROW, rented=OPEN)
    (found,) = crossings(live(scope, inputs_of(used(6 * 10**12, START, hour(1))), hour(2)))
    assert found == Crossing(
        threshold="web/traffic/50%",
        percent=50,
        item="web",
        charge="traffic",
        used=6 * 10**12,
        allowance=10**13,
        unit=TB,
        limit_version="v1/10000000000000/0",
        kind="crossed",
    )
    assert from_json(Crossing, to_json(found)) == found


TOLD = Said(crossed=True, version="v1/10000000000000")


@pytest.mark.parametrize(
    ("case", "use", "said", "version"),
    [
        ("told, and still reached", 5 * 10**12, TOLD, "0"),
        ("told, and a hundredth of the limit below", 49 * 10**11, TOLD, "0"),
        ("told, and a byte more below", 49 * 10**11 - 1, TOLD, None),
        ("told of another limit, and a byte below", 5 * 10**12 - 1,
         replace(TOLD, version="v0/10000000000000"), None),
        ("taken back, and a byte below", 5 * 10**12 - 1, replace(TOLD, crossed=False), None),
        ("taken back, and reached again", 5 * 10**12, replace(TOLD, crossed=False), "1"),
        ("told again", 5 * 10**12, replace(TOLD, turn=1), "1"),
    ],
)  # fmt: skip
def test_a_crossing_stands_until_it_is_well_below_and_is_another_one_after_that(
    case: str, use: int, said: Said, version: str | None
) -> None:
    now = live(scope_of(ROW, rented=OPEN), inputs_of(used(use, START, hour(1))), hour(2))
    found = [
        one.limit_version.rpartition("/")[2]
        for one in crossings(now, {"web/traffic/50%": said})
        if one.percent == 50
    ]
    assert found == ([] if version is None else [version]), case


def test_nothing_crosses_where_nothing_is_included() -> None:
    none = replace(ROW, price=replace(traffic(tb=0), alerts=(50,)))
    assert reached(none, use=10**15) == []
    (state,) = progress(scope_of(none), inputs_of(used(10**15)), END)
    assert (state.used, state.allowance, state.percent) == (10**15, 0, 0)


def test_percent_is_rounded_down() -> None:
    (state,) = progress(scope_of(ROW), inputs_of(used(10**13 - 1)), END)
    assert (state.percent, state.used, state.unit, state.charged.alerts) == (
        99,
        10**13 - 1,
        TB,
        (50, 80, 100),
    )


def test_rent_has_no_progress() -> None:
    assert progress(scope_of(row(hourly("1"), "rent")), inputs_of(), END) == ()


def test_nothing_before_the_charge_begins() -> None:
    later = replace(ROW, valid=Span(hour(48)))
    assert progress(scope_of(later), inputs_of(), hour(48)) == ()


class TestLimitVersion:
    """What re-arms an alert: the agreed limit, and not how much of the month is left."""

    def version(self, *rows: PriceRow, as_of: datetime = END, rented: Span = OPEN) -> str:
        (state,) = progress(scope_of(*rows, rented=rented), inputs_of(), as_of)
        return state.limit_version

    def test_an_end_that_becomes_known_does_not_re_arm(self) -> None:
        assert self.version(ROW) == self.version(ROW, rented=Span(START, hour(300)))

    def test_a_new_allowance_does(self) -> None:
        assert self.version(ROW) != self.version(replace(ROW, price=traffic(tb=11)))

    def test_a_new_version_of_the_price_list_does_from_its_day_on(self) -> None:
        rows = (
            replace(ROW, valid=Span(START, hour(300))),
            replace(ROW, valid=Span(hour(300)), version="v2"),
        )
        assert self.version(*rows, as_of=hour(300)) == "v1/10000000000000"
        assert self.version(*rows, as_of=hour(301)) == "v2/10000000000000"


def test_a_small_limit_of_another_unit() -> None:
    mb = Unit("MB", "net.bytes", 10**6, Decimal(1))
    model = replace(traffic("2.00", 256, unit=mb, prorate=False), alerts=(50, 80, 100))
    rows = row(model, "traffic", Span(hour(0)))
    assert reached(rows, use=205 * 10**6) == ["web/traffic/50%", "web/traffic/80%"]


def told(charge: Charge, *usage: Usage, as_of: datetime = END, **more: Any) -> list[str]:
    scope = scope_of(row(charge, "it", OPEN), rented=OPEN)
    found = crossings(live(scope, Inputs(MONTH, usage, **more), as_of))
    return [crossing.threshold.removeprefix("web/it/") for crossing in found]


QUANTITIES = (10**12, 25 * 10**12)
NETS = (Decimal("5.00"), Decimal("20.00"))


@pytest.mark.parametrize(
    ("case", "use", "expected"),
    [
        ("a byte below", 10**12 - 1, []),
        ("exactly", 10**12, ["1 TB"]),
        ("6 TB at 1.00 are above 5.00", 6 * 10**12, ["1 TB", "5 EUR"]),
        ("exactly 5.00", 5 * 10**12, ["1 TB", "5 EUR"]),
        ("a cent below 5.00", 499 * 10**10, ["1 TB"]),
        ("all of them", 26 * 10**12, ["1 TB", "25 TB", "5 EUR", "20 EUR"]),
    ],
)
def test_quantities_and_net_amounts(case: str, use: int, expected: list[str]) -> None:
    charge = replace(traffic("1.00", 0), alerts=(), alert_quantities=QUANTITIES, alert_nets=NETS)
    assert told(charge, used(use)) == expected, case


def test_an_amount_is_after_discounts_and_over_all_prices_of_the_month() -> None:
    """3.00 by the first price, 3.00 by the second; 10 % off is 5.40, half off 3.00."""
    charge = replace(traffic("1.00", 0), alerts=(), alert_nets=(Decimal("5.00"),))
    rows = (
        row(charge, "it", Span(START, hour(360))),
        row(charge, "it", Span(hour(360)), at="v2"),
    )
    usage = used(6 * 10**12)
    for percent, expected in ((10, ["web/it/5 EUR"]), (50, [])):
        less = (Discount("less", OPEN, Decimal(percent)),)
        scope = replace(scope_of(*rows, rented=OPEN), discounts=less)
        found = crossings(live(scope, Inputs(MONTH, (usage,)), END))
        assert [one.threshold for one in found] == expected
        assert [one.limit_version for one in found] == ["v2/0"] * len(expected)


def test_an_amount_of_rent_that_is_over_is_still_told() -> None:
    """A plan that ended in the month: its price was the last; one that is to come says nothing."""
    charge = replace(hourly("1.00"), alert_nets=(Decimal("5.00"),))
    over = row(charge, "it", Span(START, hour(10)))
    scope = scope_of(over, rented=OPEN)
    assert [one.used for one in crossings(live(scope, inputs_of(), END))] == [1000]
    later = scope_of(row(charge, "it", Span(hour(20))), rented=OPEN)
    assert crossings(live(later, inputs_of(), hour(20))) == ()


@pytest.mark.parametrize(
    ("measured", "expected"), [(431, []), (432, []), (433, ["100 Mbps"]), (8640, ["100 Mbps"])]
)
def test_a_percentile_is_told_when_it_is_certain(measured: int, expected: list[str]) -> None:
    """The others may still be nothing: 432 of 8,640 windows are discarded."""
    mbps = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))
    charge = Charge(
        Percentile((TX,), mbps), PerUnit(Decimal(1)), "hosting",
        alert_quantities=(100 * mbps.is_, 200 * mbps.is_),
    )  # fmt: skip
    for rate in (100, 150):
        samples = Samples("srv", TX, "1", START, (rate * mbps.is_,) * measured)
        assert told(charge, samples=(samples,)) == expected
    below = Samples("srv", TX, "1", START, (100 * mbps.is_ - 1,) * measured)
    assert told(charge, samples=(below,)) == []


@pytest.mark.parametrize(
    ("measured", "expected"), [(432, []), (433, ["100 EUR"]), (8640, ["100 EUR"])]
)
def test_so_is_its_money(measured: int, expected: list[str]) -> None:
    """150.00 as it stands from the first window on."""
    mbps = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))
    charge = Charge(
        Percentile((TX,), mbps), PerUnit(Decimal(1)), "hosting",
        alert_nets=(Decimal(100), Decimal(200)),
    )  # fmt: skip
    samples = Samples("srv", TX, "1", START, (150 * mbps.is_,) * measured)
    assert told(charge, samples=(samples,)) == expected


class TestForecasts:
    """10 TB are included; the earlier mark is of two hours ago."""

    NAME = "web/traffic"
    NOW = hour(100)

    def found(
        self, before: int, now: int, hours: int = 2, told: tuple[str, ...] = (), tb: int = 10
    ) -> list[tuple[str, datetime | None]]:
        charge = replace(traffic(tb=tb), forecast=True)
        scope = scope_of(row(charge, "traffic", OPEN), rented=OPEN)
        given_ = inputs_of(used(now, START, hour(99)))
        marks = {self.NAME: (Mark(hour(100 - hours), Fraction(before)),)}
        found = forecasts(live(scope, given_, self.NOW), marks, told)
        assert all((one.kind, one.percent) == ("forecast", 100) for one in found)
        return [(one.threshold, one.at) for one in found]

    @pytest.mark.parametrize(
        ("case", "before", "now", "ahead"),
        [
            ("half a TB an hour: 6 TB more in twelve hours", 3, 4, 12),
            ("half a TB an hour, 8.5 left: in 17 hours", 0.5, 1.5, 17),
            ("slower: not within a day", 3.9, 4, None),
            ("nothing gained", 4, 4, None),
            ("used up already", 8, 10, None),
        ],
    )
    def test_within_a_day(self, case: str, before: float, now: float, ahead: int | None) -> None:
        at = None if ahead is None else self.NOW + timedelta(hours=ahead)
        expected = [] if at is None else [(f"{self.NAME}/forecast", at)]
        assert self.found(int(before * 10**12), int(now * 10**12)) == expected, case

    def test_to_the_instant_within_a_day(self) -> None:
        """0.5 TB an hour: 12 TB left are a day, a byte more is not."""
        assert self.found(0, 10**12, tb=13)[0][1] == self.NOW + timedelta(days=1)
        assert self.found(0, 10**12 - 2, tb=13) == []

    def test_not_from_a_mark_of_less_than_an_hour(self) -> None:
        assert self.found(0, 5 * 10**12, hours=1)
        scope = scope_of(row(replace(traffic(tb=10), forecast=True), "traffic", OPEN), rented=OPEN)
        young = {self.NAME: (Mark(self.NOW - timedelta(minutes=59), Fraction(0)),)}
        given_ = inputs_of(used(5 * 10**12, START, hour(99)))
        assert forecasts(live(scope, given_, self.NOW), young, ()) == ()
        assert forecasts(live(scope, given_, self.NOW), {}, ()) == ()

    def test_what_was_told_stands_as_long_as_it_is_true_for_the_period(self) -> None:
        name = f"{self.NAME}/forecast"
        slower = int(3.9 * 10**12), 4 * 10**12
        assert self.found(*slower) == []
        assert [one for one, _ in self.found(*slower, told=(name,))] == [name]
        assert self.found(4 * 10**12, 4 * 10**12 + 1, told=(name,)) == [], "not in this period"
        assert self.found(4 * 10**12, 12 * 10**12, told=(name,)) == [(name, None)], "come true"
        assert self.found(4 * 10**12, 10**13, told=(name,)) == [(name, None)], "exactly"
        assert self.found(4 * 10**12, 12 * 10**12) == [], "the crossing says it"

    def test_only_where_it_is_asked_for_and_something_is_included(self) -> None:
        assert self.found(0, 10**12, tb=0) == []
        scope = scope_of(row(traffic(tb=10), "traffic", OPEN), rented=OPEN)
        given_ = inputs_of(used(5 * 10**12, START, hour(99)))
        marks = {self.NAME: (Mark(hour(98), Fraction(0)),)}
        assert forecasts(live(scope, given_, self.NOW), marks, ()) == ()
        assert marks_now(live(scope, given_, self.NOW)) == {}
        asked = scope_of(row(replace(traffic(tb=10), forecast=True), "traffic", OPEN), rented=OPEN)
        assert marks_now(live(asked, given_, self.NOW)) == {
            self.NAME: Mark(self.NOW, Fraction(5 * 10**12))
        }


@laws
@given(scopes(), inputs, usages(), instants)
def test_more_usage_reaches_no_less(
    scope: Scope, given_: Inputs, more: Usage, as_of: datetime
) -> None:
    before = {crossing.threshold for crossing in crossings(live(scope, given_, as_of))}
    after = crossings(live(scope, replace(given_, usage=(*given_.usage, more)), as_of))
    assert before <= {crossing.threshold for crossing in after}


@laws
@given(scopes(), inputs, instants)
def test_crossings_are_those_of_progress(scope: Scope, given_: Inputs, as_of: datetime) -> None:
    states = progress(scope, given_, as_of)
    expected = {
        f"{s.item}/{s.charge}/{p}%"
        for s in states
        if s.allowance
        for p in s.charged.alerts
        if s.percent >= p
    }
    assert {crossing.threshold for crossing in crossings(live(scope, given_, as_of))} == expected
