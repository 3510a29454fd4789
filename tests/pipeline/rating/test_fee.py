"""Fixed fees: once, by the month in arrears or in advance, prorated, add-ons."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import following, month
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Billed, Inputs, Interval, Line, LineKind, PriceRow, Scope, Span
from schemas.prices import Bill, Charge, Every, Fee, IntervalKind, PerUnit
from schemas.terms import Discount
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    bill,
    hour,
    hourly,
    inputs_of,
    laws,
    row,
    said,
    scope_of,
    total,
    traffic,
)

STRIPE = "docs.stripe.com/billing/subscriptions/prorations"
MAY = following(MONTH, "UTC")


def fee(price_: str, **terms: object) -> Charge:
    prorate = bool(terms.pop("prorate", True))
    return Charge(Fee(**terms), PerUnit(Decimal(price_)), "hosting", prorate=prorate)  # type: ignore[arg-type]


def days(number: int) -> datetime:
    return hour(24 * number)


@pytest.mark.parametrize(
    ("rule", "charge", "rented", "lines"),
    [
        ("a whole month", fee("129.00"), (0, 30), ["1.000000 month × 129.00 = 129.00"]),
        (f"{STRIPE}: half the period costs half", fee("10.00"), (0, 15),
         ["0.500000 month × 10.00 = 5.00"]),
        ("ten days of thirty", fee("129.00"), (20, 30), ["0.333333 month × 129.00 = 43.00"]),
        ("not prorated: whole, however short", fee("129.00", prorate=False), (29, 30),
         ["1.000000 month × 129.00 = 129.00"]),
        ("billing.md: `each`, four addresses", fee("1.70", count=4), (0, 30),
         ["4.000000 month × 1.70 = 6.80"]),
        ("once: in the month in which the item starts", fee("49.00", every=Every.ONCE), (3, 30),
         ["1 fee × 49.00 = 49.00"]),
        ("once: an item that starts with the month", fee("49.00", every=Every.ONCE), (0, 30),
         ["1 fee × 49.00 = 49.00"]),
        ("once: not in a later month", fee("49.00", every=Every.ONCE), (-3, 30), []),
        ("free", fee("0"), (0, 30), ["1.000000 month × 0 = 0.00"]),
    ],
)  # fmt: skip
def test_one_fee(rule: str, charge: Charge, rented: tuple[int, int], lines: list[str]) -> None:
    assert said(bill(charge, rented=Span(days(rented[0]), days(rented[1])))) == lines, rule


@pytest.mark.parametrize(
    ("zone", "year", "month_", "cut", "first", "second"),
    [
        ("UTC", 2026, 4, 10, "0.333333", "0.666667"),
        ("UTC", 2026, 2, 14, "0.500000", "0.500000"),
        ("Europe/Berlin", 2026, 10, 10, "0.322148", "0.677852"),  # 745 hours; 10 days are 240
    ],
)
def test_a_plan_change_splits_one_month_exactly(
    zone: str, year: int, month_: int, cut: int, first: str, second: str
) -> None:
    """Elapsed time ÷ length of the period, as a cumulative share: the parts are one month."""
    period = month(datetime(year, month_, 15, tzinfo=UTC), zone)
    at = period.start.replace() + (days(cut) - START)
    rows = (
        row(fee("129.00"), "plan", Span(period.start, at), at="v1"),
        row(fee("129.00"), "plan", Span(at), at="v2"),
    )
    scope = replace(scope_of(*rows, rented=Span(period.start)), timezone=zone)
    lines = price(scope, Inputs(period), period.end or END)
    assert [str(line.quantity) for line in lines] == [first, second]
    assert (sum(line.quantity for line in lines), total(lines)) == (1, Decimal("129.00"))


def test_three_thirds_are_one_month() -> None:
    """Of 333,333, 666,667 and 1,000,000 millionths, so none is lost by rounding each."""
    spans = [Span(days(start), days(start + 10)) for start in (0, 10, 20)]
    rows = [row(fee("129.00"), "plan", span, at=f"v{n}") for n, span in enumerate(spans)]
    lines = price(scope_of(*rows), inputs_of(), END)
    assert [str(line.quantity) for line in lines] == ["0.333333", "0.333334", "0.333333"]


def test_what_is_not_prorated_is_charged_once_whatever_changes() -> None:
    rows = (
        row(fee("129.00", prorate=False), "plan", Span(START, days(10)), at="v1"),
        row(fee("99.00", prorate=False), "plan", Span(days(10)), at="v2"),
    )
    assert said(price(scope_of(*rows), inputs_of(), END)) == ["1.000000 month × 129.00 = 129.00"]


def test_a_fee_that_was_once_and_becomes_monthly_is_both() -> None:
    """Another thing is measured: the first of the month is of each."""
    rows = (
        row(fee("49.00", every=Every.ONCE), "support", Span(START, days(10)), at="v1"),
        row(fee("9.00", prorate=False), "support", Span(days(10)), at="v2"),
    )
    assert said(price(scope_of(*rows), inputs_of(), END)) == [
        "1 fee × 49.00 = 49.00",
        "1.000000 month × 9.00 = 9.00",
    ]


def test_a_set_up_is_charged_beside_what_is_no_fee() -> None:
    rows = (row(fee("49.00", every=Every.ONCE), "setup"), row(hourly("0.10"), "rent"))
    assert total(price(scope_of(*rows), inputs_of(), END)) == Decimal("121.00")


def test_a_price_change_does_not_charge_a_set_up_again() -> None:
    setup = fee("49.00", every=Every.ONCE)
    rows = (
        row(setup, "setup", Span(hour(5), hour(9)), at="v1"),
        row(setup, "setup", Span(hour(9)), at="v2"),
    )
    scope = scope_of(*rows, rented=Span(hour(5)))
    assert [line.version for line in price(scope, inputs_of(), END)] == ["v1"]


def test_a_set_up_is_charged_once_with_a_trial_amid_its_month() -> None:
    scope = scope_of(row(fee("49.00", every=Every.ONCE), "setup", Span(START)))
    trial = Interval("web", IntervalKind.TRIAL, Span(days(5), days(9)))
    lines = price(replace(scope, intervals=(trial,)), inputs_of(), END)
    assert said(lines) == ["1 fee × 49.00 = 49.00"]


def test_a_set_up_that_is_priced_later_is_not_charged_to_who_was_there() -> None:
    """Once: in the month in which the item starts, by the price that holds then."""
    setup = row(fee("49.00", every=Every.ONCE), "setup", Span(hour(9)))
    assert price(scope_of(setup, rented=Span(hour(5))), inputs_of(), END) == ()


TRIAL, EXCLUSION = IntervalKind.TRIAL, IntervalKind.EXCLUSION
FREE = (TRIAL, EXCLUSION)


def set_up(
    start: int, end: int | None = None, price_: str = "79.00", free: Sequence[IntervalKind] = FREE,
    **terms: object,
) -> PriceRow:  # fmt: skip
    """What it costs from one day to another, days being counted from the first of April."""
    charge = replace(fee(price_, every=Every.ONCE, **terms), free=tuple(free))
    until = None if end is None else days(end)
    return row(charge, "setup", Span(days(start), until), at=price_)


def free_time(start: int, end: int | None, kind: IntervalKind = TRIAL) -> Interval:
    return Interval("web", kind, Span(days(start), None if end is None else days(end)))


def by_month(scope: Scope) -> list[list[str]]:
    """The lines of April, May and June."""
    periods = (MONTH, MAY, following(MAY, "UTC"))
    return [said(price(scope, Inputs(p), p.end or END)) for p in periods]


PAID = ["1 fee × 79.00 = 79.00"]
DEARER = ["1 fee × 99.00 = 99.00"]


@pytest.mark.parametrize(
    ("rule", "rows", "free", "lines"),
    [
        ("without free time: with the item", [set_up(19)], [], [PAID, [], []]),
        ("a trial within the month: when it ends", [set_up(19)], [free_time(19, 25)],
         [PAID, [], []]),
        ("a trial to the next month: in that", [set_up(19)], [free_time(19, 33)],
         [[], PAID, []]),
        ("to the last instant of the month", [set_up(19)], [free_time(19, 30)], [[], PAID, []]),
        ("over a whole month", [set_up(19)], [free_time(19, 70)], [[], [], PAID]),
        ("a trial that began before the item", [set_up(19)], [free_time(0, 33)],
         [[], PAID, []]),
        ("free for ever: never", [set_up(19)], [free_time(19, None)], [[], [], []]),
        ("longer than it is priced: never", [set_up(19, 33)], [free_time(19, 33)], [[], [], []]),
        ("free later: with the item", [set_up(19)], [free_time(25, 33)], [PAID, [], []]),
        ("free time after free time", [set_up(19)],
         [free_time(25, 33, EXCLUSION), free_time(19, 25)], [[], PAID, []]),
        ("an hour between them is charged, and nothing after it", [set_up(19)],
         [free_time(19, 25), Interval("web", TRIAL, Span(hour(601), days(33)))], [PAID, [], []]),
        ("a second trial, months later", [set_up(19)], [free_time(19, 33), free_time(40, 63)],
         [[], PAID, []]),
        ("an exclusion is free too", [set_up(19)], [free_time(19, 33, EXCLUSION)],
         [[], PAID, []]),
        ("what the charge does not let free is none",
         [set_up(19)], [free_time(19, 33, IntervalKind.SUSPENSION)], [PAID, [], []]),
        ("also a trial", [set_up(19, free=[EXCLUSION])], [free_time(19, 33)], [PAID, [], []]),
        ("a new version in the trial: the price in force when it ends",
         [set_up(19, 27), set_up(27, price_="99.00")], [free_time(19, 33)], [[], DEARER, []]),
        ("the same within the month",
         [set_up(19, 21), set_up(21, price_="99.00")], [free_time(19, 25)], [DEARER, [], []]),
        ("one that takes effect when it ends",
         [set_up(19, 33), set_up(33, price_="99.00")], [free_time(19, 33)], [[], DEARER, []]),
        ("one after it changes nothing",
         [set_up(19, 35), set_up(35, price_="99.00")], [free_time(19, 33)], [[], PAID, []]),
        ("one whose trial is paid: from its beginning",
         [set_up(19, 27), set_up(27, price_="99.00", free=[])], [free_time(19, 33)],
         [DEARER, [], []]),
        ("how many is said by the price in force then",
         [set_up(19, 27), set_up(27, count=2)], [free_time(19, 33)],
         [[], ["2 fee × 79.00 = 158.00"], []]),
        ("resized in the trial to a plan without one: never", [set_up(19, 27)],
         [free_time(19, 33)], [[], [], []]),
        ("resized in the trial from a plan without one: not of who was there",
         [set_up(27)], [free_time(19, 33)], [[], [], []]),
        ("of another item's trial it knows nothing", [set_up(19)],
         [replace(free_time(19, 33), item="db")], [PAID, [], []]),
    ],
)  # fmt: skip
def test_a_set_up_falls_due_with_the_first_time_that_is_charged(
    rule: str, rows: list[PriceRow], free: list[Interval], lines: list[list[str]]
) -> None:
    """docs/price.md, "Once". Rented from 20 April on; in whatever order rows are known."""
    scope = replace(scope_of(*rows, rented=Span(days(19))), intervals=tuple(free))
    assert by_month(scope) == lines, rule
    assert by_month(replace(scope, prices=scope.prices[::-1])) == lines, rule


@laws
@given(
    st.sets(st.integers(1, 90), max_size=3),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 70)), max_size=3),
    st.lists(st.sampled_from([(), FREE]), min_size=4, max_size=4),
)
def test_a_set_up_is_charged_with_the_first_part_of_a_monthly_fee(
    cuts: set[int], trials: list[tuple[int, int]], free: list[tuple[IntervalKind, ...]]
) -> None:
    """Whatever versions and trials there are: the same prices by the month say what is charged."""
    ends = [*sorted(cuts), None]
    rows = [
        set_up(start, end, f"{number}.00", free[number])
        for number, (start, end) in enumerate(pairwise([0, *ends]))
        if start is not None
    ]
    monthly = [replace(r, charge="plan", price=replace(r.price, quantity=Fee())) for r in rows]
    spans = tuple(free_time(start, start + length) for start, length in trials)
    scope = replace(scope_of(*rows, *monthly, rented=Span(START)), intervals=spans)
    lines: list[Line] = []
    period = MONTH
    while period.start < days(200):
        lines += price(scope, Inputs(period), period.end or END)
        period = following(period, "UTC")
    [once] = [line for line in lines if line.charge == "setup"]
    first = next(line for line in lines if line.charge == "plan")
    assert (once.service, once.unit_price) == (first.service, first.unit_price)
    assert once.quantity == 1


@pytest.mark.parametrize(
    ("rule", "ends", "lines"),
    [
        ("in the trial: never", 26, [[], [], []]),
        ("with the trial: never", 33, [[], [], []]),
        ("after it", 34, [[], PAID, []]),
    ],
)
def test_a_set_up_of_an_item_that_ends(rule: str, ends: int, lines: list[list[str]]) -> None:
    scope = scope_of(set_up(19), rented=Span(days(19), days(ends)))
    assert by_month(replace(scope, intervals=(free_time(19, 33),))) == lines, rule


def test_each_item_has_a_set_up_of_its_own() -> None:
    """One is on trial, the other is not; of what is not in the scope nothing is owed."""
    scope = scope_of(
        set_up(19), replace(set_up(19), item="db"), replace(set_up(19), item="elsewhere"),
        rented=Span(days(19)),
    )  # fmt: skip
    other = replace(scope.items[0], item="db", title="db-1")
    scope = replace(scope, items=(*scope.items, other), intervals=(free_time(19, 33),))
    found = [[x.item for x in price(scope, Inputs(p), p.end or END)] for p in (MONTH, MAY)]
    assert found == [["db"], ["web"]]


def test_a_set_up_is_seen_live_as_soon_as_the_trial_is_over() -> None:
    scope = replace(scope_of(set_up(19), rented=Span(days(19))), intervals=(free_time(19, 33),))
    may = Inputs(MAY)
    assert price(scope, may, days(33)) == ()
    due = next_eval_at(scope, may, MAY.start)
    assert due is not None
    assert said(price(scope, may, due)) == PAID
    assert next_eval_at(scope, may, due) is None


def test_a_fee_is_due_whole_as_soon_as_its_time_begins() -> None:
    scope = scope_of(row(fee("129.00"), "plan", Span(days(10))), rented=Span(days(10)))
    assert price(scope, inputs_of(), days(10)) == ()
    due = next_eval_at(scope, inputs_of(), START)
    assert due is not None
    assert price(scope, inputs_of(), due) == price(scope, inputs_of(), END)
    assert next_eval_at(scope, inputs_of(), due) is None


class TestAdvance:
    """The invoice of a month carries the next month's fee, and what this one turned out to be."""

    PLAN = fee("30.00", bill=Bill.ADVANCE)

    def scope(self, end: datetime | None = None, *rows: PriceRow) -> Scope:
        return scope_of(*(rows or (row(self.PLAN, "plan", Span(START)),)), rented=Span(START, end))

    def lines(self, scope: Scope, *billed: str, as_of: datetime = END) -> list[Line]:
        before = tuple(Billed("web", "plan", "hosting", Decimal(net)) for net in billed)
        return list(price(scope, Inputs(MONTH, billed=before), as_of))

    def test_the_first_invoice_has_both_months(self) -> None:
        this, next_ = self.lines(self.scope())
        assert (this.service, next_.service) == (MONTH, MAY)
        assert [str(line.net) for line in (this, next_)] == ["30.00", "30.00"]
        assert this.key != next_.key

    def test_later_only_the_next_one(self) -> None:
        (line,) = self.lines(self.scope(), "30.00")
        assert (line.service, str(line.net)) == (MAY, "30.00")

    def test_what_stands_beside_it_is_not_billed_ahead(self) -> None:
        others = {"rent": hourly("1"), "ipv4": fee("1.70"), "traffic": traffic()}
        rows = (row(one, name, Span(START)) for name, one in {"plan": self.PLAN, **others}.items())
        ahead = [x.charge for x in self.lines(self.scope(None, *rows)) if x.service == MAY]
        assert ahead == ["plan"]

    def test_what_was_billed_in_parts_is_their_sum(self) -> None:
        (line,) = self.lines(self.scope(), "20.00", "10.00")
        assert (line.service, str(line.net)) == (MAY, "30.00")

    def test_what_was_billed_as_nothing_takes_nothing_off(self) -> None:
        """A month was free when it was billed, and is not: only what it costs is a line."""
        (owed,) = self.lines(self.scope(days(10)), "0.00")
        assert (owed.kind, str(owed.net)) == (LineKind.CHARGE, "10.00")

    def test_what_is_taken_off_is_quantity_times_price_too(self) -> None:
        _, back = self.lines(self.scope(days(10)), "30.00")
        assert back.quantity * back.unit_price == back.net == -30
        assert back.key == "acme/web/plan/2026-04-01T00:00:00Z/billed/hosting"

    def test_what_was_not_used_comes_back(self) -> None:
        """Cancelled after ten of thirty days: 10.00 are owed, 30.00 were billed."""
        owed, back = self.lines(self.scope(days(10)), "30.00")
        assert (str(owed.net), str(back.net)) == ("10.00", "-30.00")
        assert (owed.kind, back.kind) == (LineKind.CHARGE, LineKind.BILLED)

    def test_cancelled_before_its_month_began(self) -> None:
        scope = scope_of(row(self.PLAN, "plan", Span(days(-30))), rented=Span(days(-30), START))
        (back,) = self.lines(scope, "30.00")
        assert (str(back.net), back.service) == ("-30.00", MONTH)

    def test_a_dearer_plan_pays_the_difference(self) -> None:
        dearer = replace(self.PLAN, model=PerUnit(Decimal("60.00")))
        rows = (
            row(self.PLAN, "plan", Span(START, days(15)), at="v1"),
            row(dearer, "plan", Span(days(15)), at="v2"),
        )
        lines = self.lines(self.scope(None, *rows), "30.00")
        assert [str(line.net) for line in lines] == ["15.00", "-30.00", "30.00", "60.00"]

    def test_the_next_month_is_billed_when_this_one_ends(self) -> None:
        scope = self.scope()
        assert self.lines(scope, "30.00", as_of=days(29)) == []
        assert next_eval_at(scope, inputs_of(), days(29)) == END
        assert next_eval_at(scope, inputs_of(), END) is None

    def test_of_the_next_month_a_percentage_is_taken_and_no_amount(self) -> None:
        """An amount is off all that its own month comes to, which is not known yet."""
        terms = (
            Discount("part", Span(START), percent=Decimal(10)),
            Discount("sum", Span(START), amount=Decimal(5)),
        )
        lines = self.lines(replace(self.scope(), discounts=terms))
        found = {m: [str(x.net) for x in lines if x.service == m] for m in (MONTH, MAY)}
        assert found == {MONTH: ["30.00", "-5.00", "-3.00"], MAY: ["30.00", "-3.00"]}

    def test_twelve_invoices_charge_every_day_once(self) -> None:
        """Each month's invoice is given what the one before billed for it."""
        scope, period, paid, sum_ = self.scope(days(100)), MONTH, Decimal(0), Decimal(0)
        for _ in range(12):
            billed = (Billed("web", "plan", "hosting", paid),) if paid else ()
            lines = price(scope, Inputs(period, billed=billed), period.end or END)
            sum_ += total(lines)
            paid = total(x for x in lines if x.service.start >= (period.end or END))
            period = following(period, "UTC")
        # 30 of 30 days in April, 31 of 31 in May, 30 of 30 in June, 9 of 31 in July
        assert sum_ == Decimal("30.00") * 3 + Decimal("8.71")

    def test_another_tax_category_is_another_line(self) -> None:
        """What was billed as books comes back as books."""
        before = (Billed("web", "plan", "books", Decimal("30.00")),)
        lines = price(self.scope(), Inputs(MONTH, billed=before), END)
        assert [(str(x.net), x.tax) for x in lines] == [
            ("30.00", "hosting"), ("-30.00", "books"), ("30.00", "hosting"),
        ]  # fmt: skip
