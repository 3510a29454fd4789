"""A committed quantity: paid whether used or not."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import LineKind, Span
from schemas.prices import Charge, Commit, PerUnit
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    TB,
    bill,
    counted,
    hour,
    inputs_of,
    row,
    said,
    scope_of,
    total,
    used,
)

ZENLAYER = "docs.console.zenlayer.com/welcome/pricing/network-billing/burstable-95th"
TEN = counted(PerUnit(Decimal("0.90")), TB, commit=Commit(Decimal(10), Decimal("0.60")))


@pytest.mark.parametrize(
    ("rule", "tb", "rented", "lines"),
    [
        (f"{ZENLAYER}: less than the commit costs the commit", 3, MONTH,
         ["0.000 TB × 0.90 = 0.00", "10.000 TB × 0.60 = 6.00"]),
        (f"{ZENLAYER}: usage above it is billed apart", 12, MONTH,
         ["2.000 TB × 0.90 = 1.80", "10.000 TB × 0.60 = 6.00"]),
        ("exactly the commit", 10, MONTH, ["0.000 TB × 0.90 = 0.00", "10.000 TB × 0.60 = 6.00"]),
        ("half the month commits to half", 7, Span(hour(360), END),
         ["2.000 TB × 0.90 = 1.80", "5.000 TB × 0.60 = 3.00"]),
        ("nothing used", 0, MONTH, ["0.000 TB × 0.90 = 0.00", "10.000 TB × 0.60 = 6.00"]),
    ],
)  # fmt: skip
def test_one_price(rule: str, tb: int, rented: Span, lines: list[str]) -> None:
    assert said(bill(TEN, tb * 10**12, rented)) == lines, rule


HALF, WHOLE = replace(TEN, commit=None), Decimal(1)


def test_a_cut_month_commits_to_what_a_whole_one_does() -> None:
    """Half of 9.999 are 4.9995, in steps of 5.000: the other half is the rest."""
    odd = replace(TEN, commit=Commit(Decimal("9.999"), Decimal("0.60")))
    rows = (row(odd, "it", Span(START, hour(360))), row(odd, "it", Span(hour(360))))
    lines = price(scope_of(*rows), inputs_of(), END)
    flat = [str(line.quantity) for line in lines if line.kind is LineKind.FLAT]
    assert flat == ["5.000", "4.999"]


@pytest.mark.parametrize(
    ("rule", "second", "tb", "above", "net"),
    [
        ("what one half leaves the other uses", TEN, (2, 9), ["0.000", "1.000"], "6.90"),
        ("what one half exceeds is of none, the other's is above", TEN, (12, 3),
         ["2.000", "3.000"], "10.50"),
        ("a half without a commit uses what is left", HALF, (2, 4), ["0.000", "1.000"], "3.90"),
        ("and commits to nothing", HALF, (5, 1), ["0.000", "1.000"], "3.90"),
    ],
)  # fmt: skip
def test_the_price_changes_in_the_middle(
    rule: str, second: Charge, tb: tuple[int, int], above: list[str], net: str
) -> None:
    """Also where it stays the same: the commit is of the month."""
    rows = (row(TEN, "it", Span(START, hour(360))), row(second, "it", Span(hour(360))))
    usage = (used(tb[0] * TB.is_, START, hour(360)), used(tb[1] * TB.is_, hour(360), END))
    lines = price(scope_of(*rows), inputs_of(*usage), END)
    charged = [line for line in lines if line.kind is LineKind.CHARGE]
    assert [str(line.quantity) for line in charged] == above, rule
    assert str(total(lines)) == net


def test_what_is_committed_is_a_line_beside_its_own() -> None:
    own, fixed = bill(TEN)
    assert (fixed.key, fixed.title) == (f"{own.key}/commit", f"{own.title} committed")
    assert (fixed.kind, fixed.unit) == (LineKind.FLAT, "TB")


def test_a_commit_that_begins_later_is_swept() -> None:
    scope = scope_of(row(TEN, "it", Span(hour(360))), rented=Span(hour(360)))
    due = next_eval_at(scope, inputs_of(), START)
    assert due is not None
    assert total(price(scope, inputs_of(), due)) == Decimal("3.00")


def test_what_is_not_prorated_is_committed_once() -> None:
    """By the first price of the month, however often it changes."""
    whole = replace(TEN, prorate=False)
    rows = (
        row(whole, "it", Span(START, hour(360)), at="v1"),
        row(whole, "it", Span(hour(360)), at="v2"),
    )
    usage = (used(4 * 10**12, START, hour(360)), used(7 * 10**12, hour(360), END))
    assert said(price(scope_of(*rows), inputs_of(*usage), END)) == [
        "0.000 TB × 0.90 = 0.00", "10 TB × 0.60 = 6.00", "1.000 TB × 0.90 = 0.90",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "first", "second", "flat"),
    [
        ("whole by the first price, whatever the second commits to",
         replace(TEN, prorate=False), replace(TEN, prorate=False, commit=Commit(Decimal(5), WHOLE)),
         ["10"]),
        ("or whether it is prorated", replace(TEN, prorate=False), HALF, ["10"]),
        ("a half without one takes nothing of the other's", HALF, TEN, ["5.000"]),
    ],
)  # fmt: skip
def test_what_a_month_of_two_prices_commits_to(
    rule: str, first: Charge, second: Charge, flat: list[str]
) -> None:
    rows = (row(first, "it", Span(START, hour(360))), row(second, "it", Span(hour(360))))
    lines = price(scope_of(*rows), inputs_of(), END)
    assert [str(x.quantity) for x in lines if x.kind is LineKind.FLAT] == flat, rule
