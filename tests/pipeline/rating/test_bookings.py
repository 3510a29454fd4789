"""When add-ons that are paid once are booked, how many, and until when they last.

Source: docs/price.md, "Packs": bought once, a larger count buys what is more; lapses when its
add-on is dropped or the item ends. A new version of the price list buys nothing.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.periods import closed, following
from pipeline.rating.bookings import bookings
from pipeline.rating.price import price
from schemas.billing import Inputs, Interval, Item, PriceRow, Scope, Span
from schemas.prices import Charge, Every, Fee, IntervalKind, PerUnit
from tests.pipeline.rating.worlds import MONTH as APRIL
from tests.pipeline.rating.worlds import hour, total

MONTHLY, ONCE, BOOKED = Every.MONTH, Every.ONCE, Every.BOOKED


def april(start: int, end: int | None) -> Span:
    """From one day of April to another."""
    return Span(hour(24 * start - 24), None if end is None else hour(24 * end - 24))


def of(
    start: int, end: int | None, count: int = 1, name: str = "web/pack", every: Every = BOOKED
) -> PriceRow:
    item, charge = name.split("/")
    fee = Charge(Fee(every, count=count), PerUnit(Decimal(9)), "hosting")
    return PriceRow(item, charge, april(start, end), fee, "v1")


def scope(*rows: PriceRow, ends: int | None = None) -> Scope:
    rented = april(1, ends)
    items = tuple(Item(name, name, "ax", rented) for name in ("web", "db"))
    return Scope("acme", "acme", "EUR", "UTC", items, (), rows)


def said(scope_: Scope) -> list[str]:
    def day(at: datetime | None) -> str:
        return "ever" if at is None else str(at.day)

    return [
        f"{b.count} {b.row.item}/{b.row.charge} {day(b.until.start)} to {day(b.until.end)}"
        for b in bookings(scope_)
    ]


@pytest.mark.parametrize(
    ("rule", "rows", "booked"),
    [
        ("one", [of(5, None)], ["1 web/pack 5 to ever"]),
        ("until it is dropped", [of(5, 9)], ["1 web/pack 5 to 9"]),
        ("a new version goes on", [of(5, 9), of(9, 20)], ["1 web/pack 5 to 20"]),
        ("in whatever order prices are known", [of(9, 20), of(5, 9)], ["1 web/pack 5 to 20"]),
        ("more, to the same end", [of(5, 9), of(9, 20, 3)],
         ["1 web/pack 5 to 20", "2 web/pack 9 to 20"]),
        ("dropped and booked again", [of(5, 9), of(10, None)],
         ["1 web/pack 5 to 9", "1 web/pack 10 to ever"]),
        ("each add-on and item on its own; by item, add-on and time",
         [of(5, 9, name="web/b"), of(9, 10, name="web/a"), of(9, 10, name="db/b")],
         ["1 db/b 9 to 10", "1 web/a 9 to 10", "1 web/b 5 to 9"]),
        ("a fee by the month is none", [of(5, 9, every=MONTHLY)], []),
        ("nor one that is due once", [of(5, 9, every=ONCE)], []),
        ("what was paid by the month is booked when it is no more",
         [of(5, 9, every=MONTHLY), of(9, 20)], ["1 web/pack 9 to 20"]),
        ("and ends where it is by the month", [of(5, 9), of(9, 20, every=MONTHLY)],
         ["1 web/pack 5 to 9"]),
    ],
)  # fmt: skip
def test_what_is_booked(rule: str, rows: list[PriceRow], booked: list[str]) -> None:
    assert said(scope(*rows)) == booked, rule


@pytest.mark.parametrize(
    ("rule", "ends", "booked"),
    [
        ("before", 9, ["1 web/pack 5 to 9"]),
        ("after it was dropped", 25, ["1 web/pack 5 to 20"]),
        ("when it would be booked", 5, []),
        ("before it would be booked", 4, []),
    ],
)
def test_the_item_ends(rule: str, ends: int, booked: list[str]) -> None:
    """A rental that is ended late was over before what was entered for later."""
    assert said(scope(of(5, 20), ends=ends)) == booked, rule


@pytest.mark.parametrize(
    ("rule", "trials", "rows", "paid"),
    [
        ("no trial", [], [of(20, None)], [9, 0, 0]),
        ("booked when the item begins", [], [of(1, None)], [9, 0, 0]),
        ("a trial within the month", [(20, 25)], [of(20, None)], [9, 0, 0]),
        ("to the next month", [(20, 34)], [of(20, None)], [0, 9, 0]),
        ("to the month after that", [(20, 70)], [of(20, None)], [0, 0, 9]),
        ("for ever", [(20, None)], [of(20, None)], [0, 0, 0]),
        ("dropped in the trial, or as it ends", [(20, 34)],
         [of(20, 25, name="web/a"), of(20, 34, name="web/b")], [0, 0, 0]),
        ("dropped after it", [(20, 34)], [of(20, 35)], [0, 9, 0]),
        ("booked in the midst of it", [(20, 34)], [of(28, None)], [0, 9, 0]),
        ("booked when it is over", [(20, 34)], [of(34, None)], [0, 9, 0]),
        ("booked before it, and free later", [(22, 34)], [of(20, None)], [9, 0, 0]),
        ("several", [(20, 34)], [of(20, None, 3)], [0, 27, 0]),
        ("what is more by its end falls due together", [(20, 34)],
         [of(20, 25), of(25, None, 3)], [0, 27, 0]),
        ("what is more later is booked by itself", [(20, 34)],
         [of(20, 64), of(64, None, 3)], [0, 9, 18]),
        ("fewer by its end are as many as were booked", [(20, 34)],
         [of(20, 25, 3), of(25, None)], [0, 27, 0]),
        ("a new version within it books nothing", [(20, 34)],
         [of(20, 25), of(25, None)], [0, 9, 0]),
        ("one that begins with the month", [(20, 34)], [of(20, 31), of(31, None)], [0, 9, 0]),
        ("dropped in the trial and booked again: the second", [(20, 34)],
         [of(20, 25), of(28, None)], [0, 9, 0]),
        ("each trial defers what is booked in it", [(20, 34), (50, 64)],
         [of(20, 55), of(55, None, 2)], [0, 9, 9]),
        ("what comes to be paid by the month in it is not booked any more", [(20, 34)],
         [of(20, 25), of(25, 26, every=MONTHLY)], [0, 0, 0]),
    ],
)  # fmt: skip
def test_what_is_booked_is_paid_with_the_first_time_that_is_charged(
    rule: str, trials: list[tuple[int, int | None]], rows: list[PriceRow], paid: list[int]
) -> None:
    """docs/price.md, "Once": in April, May, June; days are counted on from April."""
    free = tuple(Interval("web", IntervalKind.TRIAL, april(*trial)) for trial in trials)
    world = replace(scope(*rows), intervals=free)
    may = following(APRIL, "UTC")
    periods = (APRIL, may, following(may, "UTC"))
    found = [total(price(world, Inputs(period), closed(period))) for period in periods]
    assert found == paid, rule


def test_the_price_is_that_of_when_it_is_paid() -> None:
    """The list of May asks 12.00; the trial ends on the fourth."""
    dearer = of(31, None)
    dearer = replace(dearer, price=replace(dearer.price, model=PerUnit(Decimal(12))), version="v2")
    trial = Interval("web", IntervalKind.TRIAL, april(20, 34))
    world = replace(scope(of(20, 31), dearer), intervals=(trial,))
    may = following(APRIL, "UTC")
    (line,) = price(world, Inputs(may), closed(may))
    assert line.service == Span(hour(33 * 24), may.end)
    assert (str(line.net), line.version) == ("12.00", "v2")
