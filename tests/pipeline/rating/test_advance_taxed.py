"""Fees in advance when the tax rate has changed since: taken off at the rate at which they were
billed, what the month came to at that of its own invoice (Directive 2006/112/EC, art. 90 and 95;
§ 17 (1) and § 27 (1) UStG).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from pipeline.rating.adjustment import adjustments
from pipeline.rating.advance import billed_rates, retaxed
from pipeline.rating.price import price
from pipeline.rating.settle import settle
from pipeline.rating.tax import rates_of
from schemas.billing import Billed, BilledLine, Inputs, Line, LineKind, Scope, Seller, Span
from schemas.prices import Bill, Charge, Fee, PerUnit
from schemas.terms import TaxMode, TaxProfile
from tests.pipeline.rating.worlds import END, MONTH, START, hour, row, scope_of

PLAN = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")
TENTH = hour(240)
"""Ten of thirty days."""
AHEAD = "30.00 at 19"


def scope(end: datetime | None) -> Scope:
    return scope_of(row(PLAN, "plan", Span(START)), rented=Span(START, end))


def billed(*said: str) -> Inputs:
    """``30.00 at 19``, or without a rate."""
    parts = [one.partition(" at ") for one in said]
    before = (
        Billed("web", "plan", "hosting", Decimal(net), Decimal(rate) if rate else None)
        for net, _, rate in parts
    )
    return Inputs(MONTH, billed=tuple(before))


def seller(rate: str) -> Seller:
    return Seller("rm", "R", (), "", "UTC", "EUR", {"hosting": Decimal(rate)})


@pytest.mark.parametrize(
    ("rule", "before", "end", "now", "lines", "taxes"),
    [
        ("as it was billed: nothing to say, and May's",
         [AHEAD], None, "19", ["30.00 at 19"], ["5.70 of 30.00 at 19"]),
        ("the same at a lower rate by now, and May at that",
         [AHEAD], None, "16", ["30.00 at 16", "-30.00 at 19", "30.00 at 16"],
         ["9.60 of 60.00 at 16", "-5.70 of -30.00 at 19"]),
        ("the same at a higher one",
         ["30.00 at 16"], None, "19", ["30.00 at 19", "-30.00 at 16", "30.00 at 19"],
         ["-4.80 of -30.00 at 16", "11.40 of 60.00 at 19"]),
        ("the same, of which a part was billed at another rate",
         ["20.00 at 19", "10.00 at 16"], None, "16",
         ["30.00 at 16", "-10.00 at 16", "-20.00 at 19", "30.00 at 16"],
         ["8.00 of 50.00 at 16", "-3.80 of -20.00 at 19"]),
        ("the same, given back meanwhile and billed at the rate of by now",
         [AHEAD, "-30.00 at 19", "30.00 at 16"], None, "16", ["30.00 at 16"],
         ["4.80 of 30.00 at 16"]),
        ("the same, by a document that did not keep the rate: nothing to say",
         ["30.00"], None, "16", ["30.00 at 16"], ["4.80 of 30.00 at 16"]),
        ("the same in figures: 19 is 19.0",
         ["30.00 at 19.0"], None, "19", ["30.00 at 19"], ["5.70 of 30.00 at 19"]),
        ("a lower rate by now",
         [AHEAD], TENTH, "16", ["10.00 at 16", "-30.00 at 19"],
         ["1.60 of 10.00 at 16", "-5.70 of -30.00 at 19"]),
        ("a higher one",
         ["30.00 at 16"], TENTH, "19", ["10.00 at 19", "-30.00 at 16"],
         ["-4.80 of -30.00 at 16", "1.90 of 10.00 at 19"]),
        ("the same one: the tax of what is left",
         [AHEAD], TENTH, "19", ["10.00 at 19", "-30.00 at 19"], ["-3.80 of -20.00 at 19"]),
        ("the buyer owes the tax by now",
         [AHEAD], TENTH, "reverse charge", ["10.00 at 0", "-30.00 at 19"],
         ["0.00 of 10.00 at 0", "-5.70 of -30.00 at 19"]),
        ("he does no more: what was billed without tax comes back without",
         ["30.00 at 0"], TENTH, "19", ["10.00 at 19", "-30.00 at 0"],
         ["0.00 of -30.00 at 0", "1.90 of 10.00 at 19"]),
        ("never begun",
         [AHEAD], START, "16", ["-30.00 at 19"], ["-5.70 of -30.00 at 19"]),
        ("billed at two rates: two lines, in the order of their keys",
         ["20.00 at 19", "10.00 at 7"], TENTH, "16",
         ["10.00 at 16", "-20.00 at 19", "-10.00 at 7"],
         ["-0.70 of -10.00 at 7", "1.60 of 10.00 at 16", "-3.80 of -20.00 at 19"]),
        ("billed in parts at one rate: one line",
         ["20.00 at 19", "10.00 at 19"], TENTH, "16", ["10.00 at 16", "-30.00 at 19"],
         ["1.60 of 10.00 at 16", "-5.70 of -30.00 at 19"]),
        ("given back meanwhile, and billed at another rate",
         [AHEAD, "-30.00 at 19", "30.00 at 16"], TENTH, "7", ["10.00 at 7", "-30.00 at 16"],
         ["0.70 of 10.00 at 7", "-4.80 of -30.00 at 16"]),
        ("given back whole: only what the month comes to",
         [AHEAD, "-30.00 at 19"], TENTH, "16", ["10.00 at 16"], ["1.60 of 10.00 at 16"]),
        ("by a document that did not keep the rate: today's",
         ["30.00"], TENTH, "16", ["10.00 at 16", "-30.00 at 16"], ["-3.20 of -20.00 at 16"]),
    ],
)  # fmt: skip
def test_what_was_billed_ahead_comes_back_with_its_tax(
    rule: str, before: list[str], end: datetime | None, now: str, lines: list[str],
    taxes: list[str],
) -> None:  # fmt: skip
    profile = TaxProfile(TaxMode.REVERSE_CHARGE if now == "reverse charge" else TaxMode.EXCLUSIVE)
    sold = seller("19" if now == "reverse charge" else now)
    known, inputs = scope(end), retaxed(billed(*before), rates_of(sold, profile))
    made = settle(
        price(known, inputs, END), sold, "EUR", profile, (), END, billed_rates(known, inputs)
    )
    said = [f"{x.net} at {rate}" for x, rate in zip(made.lines, made.rates, strict=True)]
    assert said == lines, rule
    assert [f"{one.tax} of {one.base} at {one.rate}" for one in made.taxes] == taxes, rule


@pytest.mark.parametrize(
    ("rule", "said", "rates", "other"),
    [
        ("at the month's rate", AHEAD, {"hosting": Decimal(19)}, False),
        ("at another", AHEAD, {"hosting": Decimal(16)}, True),
        ("the category is taxed no more: nothing says another", AHEAD, {}, False),
        ("nothing says at which it was billed", "30.00", {"hosting": Decimal(16)}, False),
    ],
)
def test_what_was_billed_at_another_rate(
    rule: str, said: str, rates: dict[str, Decimal], other: bool
) -> None:
    assert [one.retaxed for one in retaxed(billed(said), rates).billed] == [other], rule


def test_the_key_names_the_rate_where_it_is_known() -> None:
    """A document that did not keep it has the keys that it had."""
    keys = [
        next(x.key for x in price(scope(TENTH), billed(said), END) if x.kind is LineKind.BILLED)
        for said in ("30.00", AHEAD, "30.00 at 5.5")
    ]
    key = "acme/web/plan/2026-04-01T00:00:00Z/billed/hosting"
    assert keys == [key, f"{key}/19", f"{key}/5.5"]


def sealed(lines: Sequence[Line], rate: str, inputs: Inputs) -> tuple[BilledLine, ...]:
    """As an invoice at that rate billed them."""
    own = billed_rates(scope(None), inputs)
    return tuple(
        BilledLine(
            x.key, x.net, x.tax, own.get(x.key, Decimal(rate)), x.title, x.service, x.scope,
            x.item, x.charge, x.version, x.kind,
        )
        for x in lines
        if x.service.start < END
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "rate", "then", "now", "expected"),
    [
        ("what was billed ahead at its rate; of what is new nothing says one",
         "19", None, TENTH, ["plan None", "plan: billed in advance 19"]),
        ("what was taken off keeps its rate",
         "19", TENTH, None, ["plan 19", "plan: billed in advance 19"]),
        ("at another rate both are there from the first", "16", None, TENTH, ["plan 16"]),
        ("and stay", "16", TENTH, None, ["plan 16"]),
        ("what is new has the rate of the month's lines, not that of what was taken off",
         "16", START, TENTH, ["plan None"]),
        ("what was billed for the month keeps its rate", "16", TENTH, hour(480), ["plan 16"]),
    ],
)  # fmt: skip
def test_corrections_keep_the_rates(
    rule: str, rate: str, then: datetime | None, now: datetime | None, expected: list[str]
) -> None:
    """April's fee was billed ahead at 19 %, April's own invoice has ``rate``."""
    inputs = retaxed(billed(AHEAD), {"hosting": Decimal(rate)})
    before = sealed(price(scope(then), inputs, END), rate, inputs)
    known = scope(now)
    made = adjustments(price(known, inputs, END), before, 1, END, billed_rates(known, inputs))
    said = [f"{one.line.title.removeprefix('web-1: ')} {one.rate}" for one in made]
    assert sorted(said) == expected, rule


def test_a_new_line_has_the_rate_of_its_category_on_the_invoice() -> None:
    """Whatever comes first among what was billed: here the line that takes off."""
    inputs = billed(AHEAD)
    before = sealed(price(scope(TENTH), inputs, END), "16", inputs)
    first = sorted(before, key=lambda one: one.kind is not LineKind.BILLED)
    assert [one.rate for one in first] == [19, 16]
    help_ = row(Charge(Fee(), PerUnit(Decimal("9.00")), "hosting"), "help", Span(START))
    more = replace(scope(TENTH), prices=(*scope(TENTH).prices, help_))
    (made,) = adjustments(price(more, inputs, END), first, 1, END, billed_rates(more, inputs))
    assert (made.line.charge, made.rate) == ("help", Decimal(16))
