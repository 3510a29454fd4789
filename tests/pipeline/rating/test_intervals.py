"""Trials, suspensions and exclusions: what each charge costs in them is a field of the charge."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Interval, Scope, Span
from schemas.prices import Charge, Fee, IntervalKind, PerUnit
from tests.pipeline.rating.worlds import (
    END,
    START,
    counted,
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
CUT = "1.0277777777777778"
"""1:01:40 in hours."""


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


@pytest.mark.parametrize(("trial", "charged"), [((0, CUT), 667), ((CUT, 720), 333)])
def test_usage_is_split_where_free_time_ends_or_begins(
    trial: tuple[int | str, int | str], charged: int
) -> None:
    """A window of 300 s, cut after 100: charged are the bytes of the rest, or of those 100."""
    scope = world(counted(PerUnit(Decimal(1))), TRIAL, trial)
    window = used(1000, START.replace(hour=1), START.replace(hour=1, minute=5))
    (line,) = price(scope, inputs_of(window), END)
    assert line.quantity == charged


@pytest.mark.parametrize(("more", "free"), [((15, 30), 20), ((12, 15), 10), ((10, 20), 10)])
def test_intervals_that_overlap_count_once(more: tuple[int, int], free: int) -> None:
    scope = world(hourly("1"), TRIAL, (10, 20))
    other = Interval("web", EXCLUSION, Span(hour(more[0]), hour(more[1])))
    scope = replace(scope, intervals=(*scope.intervals, other))
    assert total(price(scope, inputs_of(), END)) == 720 - free


@pytest.mark.parametrize("spans", [((100, 110), (200, 210)), ((200, 210), (100, 110))])
def test_intervals_count_in_whatever_order_they_were_entered(
    spans: tuple[tuple[int, int], ...],
) -> None:
    lines = price(world(hourly("1"), TRIAL, *spans), inputs_of(), END)
    assert said(lines) == ["100 hour × 1 = 100.00", "90 hour × 1 = 90.00", "510 hour × 1 = 510.00"]


@pytest.mark.parametrize(
    ("rule", "trial", "nets"),
    [
        ("a trial as long as the rental: not even a fee that is charged whole", (0, 500), []),
        ("one that outlasts the rental", (0, 720), []),
        ("one to its end leaves the time before", (400, 500), ["30.00", "9.00"]),
    ],
)
def test_no_time_is_no_line(rule: str, trial: tuple[int, int], nets: list[str]) -> None:
    """billing.md: intervals are half-open; so what a trial leaves of no length is nothing."""
    fee = Charge(Fee(), PerUnit(Decimal("9.00")), "hosting", prorate=False)
    rows = (row(fee, "plan"), row(traffic("1.00", 0), "moved"))
    free = Interval("web", TRIAL, Span(hour(trial[0]), hour(trial[1])))
    scope = replace(scope_of(*rows, rented=Span(START, hour(500))), intervals=(free,))
    before = used(30 * 10**12, START, hour(400))
    lines = price(scope, inputs_of(before), END)
    assert [str(line.net) for line in lines] == nets, rule


def test_a_price_of_an_item_of_another_scope_is_not_charged() -> None:
    """A timeline may know more items than the scope has."""
    both = (row(hourly("1"), "it"), row(hourly("9"), "it", item="db"))
    for rows in (both, both[::-1]):
        assert [line.item for line in price(scope_of(*rows), inputs_of(), END)] == ["web"]


def test_an_interval_of_another_item_changes_nothing() -> None:
    other = (Interval("db", TRIAL, Span(START)),)
    scope = scope_of(row(hourly("1"), "it"))
    assert price(replace(scope, intervals=other), inputs_of(), END) == price(
        scope, inputs_of(), END
    )
