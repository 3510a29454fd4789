"""Thresholds of an allowance: what the current use has reached."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given

from pipeline.rating.usage_state import progress
from pipeline.thresholds import Crossing, crossings
from schemas.billing import Inputs, PriceRow, Scope, Span, Usage
from schemas.prices import Unit
from schemas.serial import from_json, to_json
from tests.pipeline.rating.worlds import (
    END,
    START,
    TB,
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
    found = crossings(scope_of(*rows, rented=rented), inputs_of(usage), as_of)
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
    (found,) = crossings(scope, inputs_of(used(6 * 10**12, START, hour(1))), hour(2))
    assert found == Crossing(
        threshold="web/traffic/50%",
        percent=50,
        item="web",
        charge="traffic",
        used=6 * 10**12,
        allowance=10**13,
        unit=TB,
        limit_version="v1/10000000000000",
        kind="crossed",
    )
    assert from_json(Crossing, to_json(found)) == found


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


@laws
@given(scopes(), inputs, usages(), instants)
def test_more_usage_reaches_no_less(
    scope: Scope, given_: Inputs, more: Usage, as_of: datetime
) -> None:
    before = {crossing.threshold for crossing in crossings(scope, given_, as_of)}
    after = crossings(scope, replace(given_, usage=(*given_.usage, more)), as_of)
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
    assert {crossing.threshold for crossing in crossings(scope, given_, as_of)} == expected
