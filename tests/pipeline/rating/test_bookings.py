"""When add-ons that are paid once are booked, how many, and until when they last.

Source: docs/price.md, "Packs": bought once, a larger count buys what is more; lapses when its
add-on is dropped or the item ends. A new version of the price list buys nothing.
"""

from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.rating.bookings import bookings
from schemas.billing import Item, PriceRow, Scope, Span
from schemas.prices import Charge, Every, Fee, PerUnit
from tests.pipeline.rating.worlds import hour

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
