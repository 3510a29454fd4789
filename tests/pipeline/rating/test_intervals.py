"""Trials, suspensions and exclusions: what each charge costs in them is a field of the charge."""

from dataclasses import replace

import pytest

from pipeline.rating.price import price
from schemas.billing import Interval, Scope, Span
from schemas.prices import Charge, IntervalKind
from tests.pipeline.rating.worlds import (
    END,
    START,
    hour,
    hourly,
    inputs_of,
    row,
    said,
    scope_of,
    total,
    traffic,
    used,
)

TRIAL, SUSPENSION = IntervalKind.TRIAL, IntervalKind.SUSPENSION
EXCLUSION, MAINTENANCE = IntervalKind.EXCLUSION, IntervalKind.MAINTENANCE


def world(charge: Charge, kind: IntervalKind, *spans: tuple[int | str, int | str]) -> Scope:
    intervals = tuple(Interval("web", kind, Span(hour(low), hour(high))) for low, high in spans)
    return replace(scope_of(row(charge, "it")), intervals=intervals)


@pytest.mark.parametrize(
    ("rule", "kind", "free", "hours"),
    [
        ("a trial is free", TRIAL, (), 720 - 48),
        ("an exclusion is free", EXCLUSION, (), 720 - 48),
        ("billing.md: powered off is still rented; so is suspended", SUSPENSION, (), 720),
        ("maintenance is told, not taken off", MAINTENANCE, (), 720),
        ("a charge may say otherwise", SUSPENSION, (SUSPENSION,), 720 - 48),
        ("also that a trial is paid", TRIAL, (EXCLUSION,), 720),
    ],
)
def test_hours(rule: str, kind: IntervalKind, free: tuple[IntervalKind, ...], hours: int) -> None:
    charge = replace(hourly("1"), free=free) if free else hourly("1")
    lines = price(world(charge, kind, (100, 148)), inputs_of(), END)
    assert sum(line.quantity for line in lines) == hours, rule


def test_an_hour_that_starts_in_a_trial_is_free() -> None:
    """Trial to 10:30: the hour of 10:00 began in it, the next one begins at 11:00."""
    lines = price(world(hourly("1"), TRIAL, (0, "10.5")), inputs_of(), hour(12))
    assert said(lines) == ["1 hour × 1 = 1.00"]


def test_usage_in_a_trial_is_free_and_brings_no_allowance() -> None:
    """20 TB a month, a trial of half of it: 10 TB are left for the other half."""
    scope = world(traffic("1.00"), TRIAL, (0, 360))
    usage = (used(30 * 10**12, START, hour(360)), used(12 * 10**12, hour(360), END))
    (line,) = price(scope, inputs_of(*usage), END)
    assert (line.base_quantity, line.allowance) == (12 * 10**12, 10 * 10**12)
    assert str(line.net) == "2.00"


def test_intervals_that_overlap_count_once() -> None:
    scope = world(hourly("1"), TRIAL, (10, 20))
    more = Interval("web", EXCLUSION, Span(hour(15), hour(30)))
    scope = replace(scope, intervals=(*scope.intervals, more))
    assert total(price(scope, inputs_of(), END)) == 720 - 20


def test_an_interval_of_another_item_changes_nothing() -> None:
    other = (Interval("db", TRIAL, Span(START)),)
    scope = scope_of(row(hourly("1"), "it"))
    assert price(replace(scope, intervals=other), inputs_of(), END) == price(
        scope, inputs_of(), END
    )
