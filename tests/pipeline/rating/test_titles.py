"""What a line is called: as somebody said, else as the plan that its item has in its time.

docs/price.md, Renting: "A title that was given stays on every line; without one each says the
plan's".
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Item, Named, Scope, Span
from schemas.prices import Charge, Fee, PerUnit
from schemas.terms import Discount
from tests.pipeline.rating.worlds import END, MONTH, START, hour, hourly, inputs_of, row, scope_of

HALF = hour(360)
BEFORE, AFTER = Span(START, HALF), Span(HALF, END)
ADDRESS = Charge(Fee(), PerUnit(Decimal("1.70")), "hosting")
NAMED = (Named(START, "GPU M"), Named(HALF, "GPU L"))


def resized(title: str, named: tuple[Named, ...]) -> Scope:
    """An item with an address, resized in the middle of the month."""
    scope = scope_of(
        row(hourly("0.10"), "rent", BEFORE), row(hourly("0.30"), "rent", AFTER),
        row(ADDRESS, "ipv4", MONTH),
    )  # fmt: skip
    return replace(scope, items=(Item("web", title, "m", MONTH, named),))


@pytest.mark.parametrize(
    ("title", "named", "lines"),
    [
        ("web-1", (), ["web-1: ipv4", "web-1: rent", "web-1: rent"]),
        ("", NAMED, ["GPU L: ipv4", "GPU M: rent", "GPU L: rent"]),
        ("", NAMED[:1], ["GPU M: ipv4", "GPU M: rent", "GPU M: rent"]),
        ("", (), ["m: ipv4", "m: rent", "m: rent"]),
    ],
)
def test_a_line_says_the_title_of_its_time(
    title: str, named: tuple[Named, ...], lines: list[str]
) -> None:
    """An address is of the whole month, and stands with the later plan, as the heading does."""
    found = price(resized(title, named), inputs_of(), END)
    assert [line.title for line in found] == lines


def test_what_it_is_called_changes_no_figure_and_no_key() -> None:
    """docs/price.md: a title is no money. Lines are told apart by their keys."""
    plain, other = (
        [replace(line, title="") for line in price(resized(*one), inputs_of(), END)]
        for one in (("web-1", ()), ("", NAMED))
    )
    assert plain == other


def test_a_discount_is_called_as_the_line_it_is_of() -> None:
    scope = replace(resized("", NAMED), discounts=(Discount("loyal", MONTH, percent=Decimal(10)),))
    assert [line.title for line in price(scope, inputs_of(), END) if line.net < 0] == [
        "GPU L: ipv4, loyal 10 %", "GPU M: rent, loyal 10 %", "GPU L: rent, loyal 10 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "title"),
    [(START, "GPU M"), (hour(359), "GPU M"), (HALF, "GPU L"), (END, "GPU L"),
     (datetime.fromisoformat("2020-01-01T00:00Z"), "GPU M")],
)  # fmt: skip
def test_the_plan_of_an_instant(at: datetime, title: str) -> None:
    assert Item("web", "", "m", MONTH, NAMED).title_at(at) == title
    assert Item("web", "mine", "m", MONTH, NAMED).title_at(at) == "mine"
