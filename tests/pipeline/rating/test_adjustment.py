"""Corrections of a sealed period: invoice and corrections together are the price of all that is
known, whatever came in which order, and nothing is corrected twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.adjustment import Correction, adjustments, carried, merged
from pipeline.rating.price import price
from schemas.billing import BilledLine, Inputs, Line, LineKind, Scope, Span, Spent, Usage
from schemas.prices import Bill, Charge, Fee, PerUnit
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.drawn import inputs, worlds
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    inputs_of,
    laws,
    row,
    scope_of,
    traffic,
    usages,
    used,
)

RATE = Decimal(19)
Known = tuple[Scope, Inputs]
Nets = dict[tuple[str, str], Decimal]


def lines_of(known: Known) -> list[Line]:
    """What the period itself comes to: fees in advance are the next one's."""
    return [line for line in price(*known, END) if line.service.start < END]


def as_billed(lines: Iterable[Line]) -> tuple[BilledLine, ...]:
    return tuple(
        BilledLine(
            line.key, line.net, line.tax, RATE, line.title, line.service, line.scope, line.item,
            line.charge, line.version, line.kind,
        )
        for line in lines
    )  # fmt: skip


def corrected(billed: Sequence[BilledLine], made: Iterable[Correction]) -> tuple[BilledLine, ...]:
    """What is billed once the corrections are."""
    more = (replace(one.line, key=one.line.corrects, kind=one.kind) for one in made)
    return merged([*billed, *as_billed(more)])


def nets(lines: Iterable[BilledLine | Line]) -> Nets:
    sums: Nets = defaultdict(Decimal)
    for line in lines:
        sums[line.key, line.tax] += line.net
    return {key: net for key, net in sums.items() if net}


def after(states: Sequence[Known]) -> tuple[BilledLine, ...]:
    """Sealed with the first, looked at with each of the others."""
    billed = as_billed(lines_of(states[0]))
    for number, known in enumerate(states[1:], 1):
        billed = corrected(billed, adjustments(price(*known, END), billed, number, END))
    return billed


states = st.lists(st.tuples(worlds(), inputs), min_size=2, max_size=4)


@laws
@given(states)
def test_invoice_and_corrections_are_the_price_of_everything_known(known: list[Known]) -> None:
    """Usage, timelines, prices, terms: all of it may have changed, several times."""
    assert nets(after(known)) == nets(lines_of(known[-1]))


@laws
@given(states)
def test_nothing_new_makes_no_correction(known: list[Known]) -> None:
    assert adjustments(price(*known[-1], END), after(known), 9, END) == []


@laws
@given(worlds(), inputs, st.lists(usages(), min_size=1, max_size=4), st.randoms())
def test_the_order_in_which_usage_comes_late_does_not_matter(
    scope: Scope, first: Inputs, late: list[Usage], rng: Random
) -> None:
    def told(order: Sequence[Usage]) -> Nets:
        parts = [order[:count] for count in range(len(order) + 1)]
        return nets(after([(scope, replace(first, usage=(*first.usage, *p))) for p in parts]))

    other = list(late)
    rng.shuffle(other)
    assert told(late) == told(other)


@laws
@given(states)
def test_keys_of_one_correction_are_unique_and_name_their_line(known: list[Known]) -> None:
    billed = as_billed(lines_of(known[0]))
    made = adjustments(price(*known[1], END), billed, 3, END)
    keys = [one.line.key for one in made]
    assert len(set(keys)) == len(keys)
    assert all(one.line.key.startswith(f"adjust/3/{one.line.corrects}") for one in made)
    assert all(one.line.net == one.line.unit_price and one.line.quantity == 1 for one in made)


def tb(amount: str) -> Usage:
    return used(int(Decimal(amount) * 10**12))


def minimum(amount: str, term: Term = Term.MONTH, since: datetime = START) -> Commitment:
    return Commitment("minimum", Span(since), Decimal(amount), term, "hosting")


def late_traffic(**terms: Any) -> list[tuple[str, Decimal]]:
    """19.899 of 20 TB were used when the month was sealed; then 0.412 TB came."""
    scope = replace(scope_of(row(traffic("1.19"), "traffic")), **terms)
    before = as_billed(price(scope, inputs_of(tb("19.899")), END))
    made = adjustments(price(scope, inputs_of(tb("20.311")), END), before, 1, END)
    return [(one.kind.value, one.line.net) for one in made]


@pytest.mark.parametrize(
    ("rule", "terms", "made"),
    [
        ("only what crosses the allowance", {}, [("charge", "0.37")]),
        (
            "a true-up of the month takes back what the usage brings, to the cent",
            {"commitments": (minimum("10.00"),)},
            [("charge", "0.37"), ("true-up", "-0.37")],
        ),
        (
            "a percentage is taken of the new line as well",
            {"discounts": (Discount("partner", Span(START), Decimal(10)),)},
            [("charge", "0.37"), ("discount", "-0.04")],
        ),
        (
            "an amount off takes what there is, up to all of it",
            {"discounts": (Discount("start", Span(START), amount=Decimal("0.20")),)},
            [("charge", "0.37"), ("discount", "-0.20")],
        ),
    ],
)
def test_usage_that_crosses_an_allowance_late(
    rule: str, terms: dict[str, Any], made: list[tuple[str, str]]
) -> None:
    assert sorted(late_traffic(**terms)) == sorted((kind, Decimal(net)) for kind, net in made), rule


def test_the_year_takes_back_what_a_month_of_it_brings_later() -> None:
    """Corrections of its first and of its last month lower the true-up of the year, but no true-up
    counts for one, nor another scope's or charge's, and what was a month of the year before is of
    that.
    """
    year = minimum("100.00", Term.YEAR, datetime(2024, 5, 1, tzinfo=UTC))
    year = replace(year, charges=("traffic",))
    scope = replace(scope_of(row(traffic("1.19"), "traffic")), commitments=(year,))
    known = replace(inputs_of(tb("1")), spent=(Spent("minimum", Decimal("60.00")),))
    march = Span(datetime(2026, 3, 1, tzinfo=UTC), MONTH.start)
    long_ago = Span(datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC))
    first = Span(datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC))

    def line(kind: LineKind, net: str, service: Span = march, **other: str) -> Correction:
        like = replace(price(scope, known, END)[-1], **other)  # type: ignore[arg-type]
        return Correction(replace(like, net=Decimal(net), service=service), RATE, kind)

    billed = as_billed(price(scope, known, END))
    later = carried(
        scope, known,
        [line(LineKind.CHARGE, "0.37"), line(LineKind.TRUE_UP, "9.00"),
         line(LineKind.CHARGE, "5.00", MONTH), line(LineKind.CHARGE, "7.00", long_ago),
         line(LineKind.CHARGE, "1.00", first), line(LineKind.CHARGE, "11.00", scope="other"),
         line(LineKind.CHARGE, "13.00", charge="rent")],
    )  # fmt: skip
    assert later.spent == (Spent("minimum", Decimal("61.37")),)
    made = adjustments(price(scope, later, END), billed, 1, END)
    assert [(one.kind, one.line.net) for one in made] == [(LineKind.TRUE_UP, Decimal("-1.37"))]


def test_a_correction_is_a_line_of_its_own_kind() -> None:
    """Of the item, charge, time and version that it corrects."""
    scope = scope_of(row(traffic("1.19"), "traffic"))
    (now,) = price(scope, inputs_of(tb("21")), END)
    (made,) = adjustments([now], as_billed([replace(now, net=Decimal("3.00"))]), 1, END)
    net = Decimal("-1.81")
    assert made.line == Line(
        f"adjust/1/{now.key}", "acme", "web", "traffic", now.title, MONTH, Decimal(1),
        "adjustment", net, net, "hosting", "v1", kind=LineKind.ADJUSTMENT, tier=1,
        corrects=now.key,
    )  # fmt: skip


def test_fees_in_advance_are_settled_when_their_own_period_closes() -> None:
    plan = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")
    now = price(scope_of(row(plan, "plan", Span(START)), rented=Span(START)), inputs_of(), END)
    assert [line.service.start for line in now] == [START, END]
    assert [one.line.service for one in adjustments(now, [], 1, END)] == [MONTH]


def test_a_correction_has_the_rate_that_was_billed() -> None:
    """Its own, also once it has vanished; a new line that of its category, the first of them; where
    none was billed, today's."""
    template = price(scope_of(row(traffic("1.19"), "traffic")), inputs_of(tb("21")), END)[0]

    def line(key: str, tax: str) -> Line:
        return replace(template, key=key, tax=tax)

    rates = {("a", "books"): 7, ("b", "books"): 5, ("c", "hosting"): 19, ("gone", "books"): 5}
    billed = [
        replace(one, rate=Decimal(rate), net=Decimal(9))
        for (key, tax), rate in rates.items()
        for one in as_billed([line(key, tax)])
    ]
    now = [line("new", "books"), line("c", "hosting"), line("b", "books"), line("a", "food")]
    made = adjustments(now, billed, 1, END)
    assert [(one.line.key.removeprefix("adjust/1/"), str(one.rate)) for one in made] == [
        ("new", "7"), ("c", "19"), ("b", "5"), ("a/food", "None"), ("a/books", "7"), ("gone", "5"),
    ]  # fmt: skip


def test_a_line_and_what_corrected_it_are_one_in_its_place() -> None:
    one = as_billed(price(scope_of(row(traffic("1.19"), "traffic")), inputs_of(tb("21")), END))[0]
    told = [("a", "books", 3), ("b", "books", 1), ("a", "hosting", 5), ("a", "books", -1)]
    lines = [replace(one, key=key, tax=tax, net=Decimal(net)) for key, tax, net in told]
    assert [(x.key, x.tax, str(x.net)) for x in merged(lines)] == [
        ("a", "books", "2"), ("b", "books", "1"), ("a", "hosting", "5"),
    ]  # fmt: skip


def test_another_tax_category_is_taken_back_and_charged_anew() -> None:
    scope = scope_of(row(traffic("1.19"), "traffic"))
    usage = inputs_of(tb("21"))
    charged = [replace(line, tax="books") for line in price(scope, usage, END)]
    made = adjustments(charged, as_billed(price(scope, usage, END)), 1, END)
    (key,) = {one.line.corrects for one in made}
    assert [(one.line.key, one.line.tax, one.line.net, one.rate) for one in made] == [
        (f"adjust/1/{key}/books", "books", Decimal("1.19"), None),
        (f"adjust/1/{key}/hosting", "hosting", Decimal("-1.19"), RATE),
    ]
