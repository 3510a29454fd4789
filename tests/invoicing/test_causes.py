"""Why a line of a sealed period comes to something else: what changed, and nothing that did not."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from invoicing.causes import EARLIER, FIRST, PRICE, TIMELINE, USAGE, causes
from invoicing.document import Priced
from pipeline.rating.price import price
from schemas.billing import (
    Assignment,
    Billed,
    Inputs,
    Interval,
    Item,
    Lot,
    PriceRow,
    Samples,
    Scope,
    Span,
    Spent,
    Usage,
)
from schemas.prices import IntervalKind
from schemas.terms import Commitment, Discount, Term
from tests.invoicing.papers import END, PERIOD, START
from tests.invoicing.test_why import OPEN, RENT, TRAFFIC

T = TypeVar("T", Scope, Inputs)
DAY = timedelta(days=1)
SCOPE = Scope(
    "it", "acme", "EUR", "Europe/Berlin",
    (Item("it", "It", "plan", OPEN), Item("on", "On", "plan", OPEN)),
    (Assignment("srv", "it", OPEN), Assignment("other", "on", OPEN)),
    (PriceRow("it", "rent", OPEN, RENT, "v1"), PriceRow("it", "traffic", OPEN, TRAFFIC, "v1")),
    (
        Interval("it", IntervalKind.TRIAL, Span(START, START + DAY)),
        Interval("it", IntervalKind.EXCLUSION, Span(START + 2 * DAY, START + 3 * DAY)),
    ),
    (Discount("a", OPEN, percent=Decimal(5)), Discount("b", OPEN, amount=Decimal(2))),
    (
        Commitment("x", OPEN, Decimal(100), Term.YEAR, "hosting"),
        Commitment("y", OPEN, Decimal(50), Term.MONTH, "hosting"),
    ),
)  # fmt: skip
INPUTS = Inputs(
    PERIOD,
    (
        Usage("srv", "net.tx_bytes", "eth0", START, START + DAY, 9 * 10**12),
        Usage("other", "net.tx_bytes", "eth0", START, END, 7),
    ),
    (
        Samples("srv", "net.tx_bytes", "eth0", START, (1, None)),
        Samples("other", "net.tx_bytes", "eth0", START, (2,)),
    ),
    (Spent("x", Decimal(10)), Spent("z", Decimal(20))),
    (
        Billed("it", "rent", "hosting", Decimal(10), Decimal(19)),
        Billed("on", "rent", "hosting", Decimal(20), Decimal(19)),
    ),
    (Lot("pack/it/p/1", "/eu", 5, END), Lot("rollover/eu/1", "/eu", 7, END)),
)
PRICED = Priced(SCOPE, INPUTS, END)
LINE = price(SCOPE, INPUTS, END)[0]


def turned(value: T) -> T:
    """The same rows, last first."""
    rows: dict[str, Any] = {
        one.name: part[::-1]
        for one in fields(value)
        if isinstance(part := getattr(value, one.name), tuple)
    }
    assert all(len(part) == 2 for part in rows.values()), "each has an order"
    return replace(value, **rows)


@pytest.mark.parametrize(
    "now", [replace(PRICED, scope=turned(SCOPE)), replace(PRICED, inputs=turned(INPUTS))]
)
def test_the_order_of_rows_is_no_cause(now: Priced) -> None:
    assert now != PRICED
    assert causes(PRICED, now, LINE) == ()


def scope(**changed: object) -> Priced:
    return replace(PRICED, scope=replace(SCOPE, **changed))  # type: ignore[arg-type]


def inputs(**changed: object) -> Priced:
    return replace(PRICED, inputs=replace(INPUTS, **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cause", "now"),
    [
        (USAGE, lambda: inputs(usage=INPUTS.usage[:1])),
        (USAGE, lambda: inputs(samples=INPUTS.samples[:1])),
        (TIMELINE, lambda: scope(assignments=SCOPE.assignments[1:])),
        (TIMELINE, lambda: scope(intervals=SCOPE.intervals[:1])),
        (PRICE, lambda: scope(prices=SCOPE.prices[:1])),
        (PRICE, lambda: scope(discounts=SCOPE.discounts[:1])),
        (PRICE, lambda: scope(commitments=SCOPE.commitments[:1])),
        (EARLIER, lambda: inputs(spent=INPUTS.spent[:1])),
        (EARLIER, lambda: inputs(billed=INPUTS.billed[:1])),
        (EARLIER, lambda: inputs(billed=(*INPUTS.billed, INPUTS.billed[0]))),
        (EARLIER, lambda: inputs(lots=(replace(INPUTS.lots[0], left=4), INPUTS.lots[1]))),
    ],
)
def test_what_changed_is_the_cause(cause: str, now: Callable[[], Priced]) -> None:
    assert causes(PRICED, now(), LINE) == (cause,)


def test_what_was_never_billed_has_no_other() -> None:
    assert causes(None, PRICED, LINE) == (FIRST,)
