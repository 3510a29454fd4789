"""Minimum commitments: what the lines lack when a month or a year ends."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pipeline.periods import anniversary, following, month
from pipeline.rating.commitment import running, settles
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Inputs, Item, Line, LineKind, PriceRow, Scope, Span, Spent
from schemas.prices import Charge, Every, Fee, PerUnit
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    TB,
    counted,
    hour,
    inputs_of,
    row,
    scope_of,
    total,
    used,
)

LAGO = "getlago.com/docs/guide/lago-cloud/contract-billing"
LAGO_MIN = "getlago.com/docs/guide/plans/charges/spending-minimum"
LAGO_API = "github.com/getlago/lago-api/pull/1787"
LATER = Span(datetime(2026, 1, 1, tzinfo=UTC))


def spending(net: str) -> PriceRow:
    return row(Charge(Fee(), PerUnit(Decimal(net)), "hosting"), "usage", Span(START))


def minimum(amount: str, valid: Span = LATER, term: Term = Term.MONTH, name: str = "min",
            charges: tuple[str, ...] = ()) -> Commitment:  # fmt: skip
    return Commitment(name, valid, Decimal(amount), term, "hosting", charges)


def trued(scope: Scope, inputs: Inputs | None = None, as_of: datetime = END) -> list[Line]:
    lines = price(scope, inputs or inputs_of(), as_of)
    return [line for line in lines if line.kind is LineKind.TRUE_UP]


@pytest.mark.parametrize(
    ("rule", "spent", "commitments", "true_ups"),
    [
        (f"{LAGO}: 800 of 1,000", "800.00", [minimum("1000.00")], ["200.00"]),
        (f"{LAGO}: 1,300 of 1,000", "1300.00", [minimum("1000.00")], []),
        (f"{LAGO_API}: 80 and 20 are 100", "80.00", [minimum("100.00")], ["20.00"]),
        ("exactly reached", "1000.00", [minimum("1000.00")], []),
        ("a cent lacks", "999.99", [minimum("1000.00")], ["0.01"]),
        ("nothing used at all", "0.00", [minimum("1000.00")], ["1000.00"]),
        (f"{LAGO_MIN}: prorated where a part of the month is committed", "0.00",
         [minimum("1000.00", Span(hour(360)))], ["500.00"]),
        ("a ramp: 15 days of 600, 15 of 1,200; half of what was spent is of each", "100.00",
         [minimum("600.00", Span(LATER.start, hour(360)), name="a"),
          minimum("1200.00", Span(hour(360)), name="b")], ["250.00", "550.00"]),
        ("of the charges that it names", "800.00", [minimum("1000.00", charges=("usage",))],
         ["200.00"]),
        ("of other charges", "800.00", [minimum("1000.00", charges=("rent",))], ["1000.00"]),
        ("over before the period", "0.00", [minimum("9.00", Span(LATER.start, START))], []),
    ],
)  # fmt: skip
def test_monthly(rule: str, spent: str, commitments: list[Commitment], true_ups: list[str]) -> None:
    scope = replace(scope_of(spending(spent)), commitments=tuple(commitments))
    assert [str(line.net) for line in trued(scope)] == true_ups, rule


def test_it_stands_on_the_first_item_by_name() -> None:
    """In whatever order items are known; where none is, on none."""
    scope = replace(scope_of(), commitments=(minimum("9.00"),))
    both = replace(scope, items=(*scope.items, Item("db", "db", "ax", MONTH)))
    assert [line.item for line in trued(both)] == ["db"]
    assert [line.item for line in trued(replace(scope, items=()))] == [""]


def test_it_counts_what_discounts_leave() -> None:
    half = Discount("half", LATER, percent=Decimal(50))
    scope = replace(
        scope_of(spending("800.00")), commitments=(minimum("1000.00"),), discounts=(half,)
    )
    assert [str(line.net) for line in trued(scope)] == ["600.00"]


def test_late_usage_lowers_its_true_up() -> None:
    """billing.md: a late 0.412 TB at 0.90 beside a true-up is +0.37 and −0.37, in all nothing."""
    scope = scope_of(row(counted(PerUnit(Decimal("0.90")), TB), "traffic"))
    scope = replace(scope, commitments=(minimum("10.00"),))
    sealed = price(scope, inputs_of(used(10**12)), END)
    again = price(scope, inputs_of(used(10**12), used(412 * 10**9)), END)
    change = {line.key: line.net for line in again}
    for line in sealed:
        change[line.key] -= line.net
    assert sorted(change.values()) == [Decimal("-0.37"), Decimal("0.37")]


def test_it_is_settled_when_its_month_ends_and_swept_then() -> None:
    scope = replace(scope_of(spending("1.00")), commitments=(minimum("10.00"),))
    assert trued(scope, as_of=hour(719)) == []
    (line,) = trued(scope)
    assert line.key == "acme/true-up/min/2026-04-01T00:00:00Z/2026-04-01T00:00:00Z"
    assert (str(line.quantity), line.unit_price) == ("1", line.net)
    assert next_eval_at(scope, inputs_of(), hour(719)) == END
    assert next_eval_at(scope, inputs_of(), END) is None


class TestYear:
    """An annual draw-down: nothing until its year ends, then what twelve months lack."""

    FIRST = datetime(2026, 1, 1, tzinfo=UTC)
    ANNUAL = minimum("1200.00", Span(FIRST), Term.YEAR)

    def at_end(self, period: Span, *spent: str, commitment: Commitment = ANNUAL) -> list[str]:
        scope = scope_of(
            row(Charge(Fee(), PerUnit(Decimal("70.00")), "hosting"), "it", Span(self.FIRST)),
            rented=Span(self.FIRST),
        )
        scope = replace(scope, commitments=(commitment,))
        before = tuple(Spent("min", Decimal(net)) for net in spent)
        return [
            str(line.net) for line in trued(scope, Inputs(period, spent=before), period.end or END)
        ]

    def test_in_the_month_in_which_the_year_ends(self) -> None:
        december = month(datetime(2026, 12, 5, tzinfo=UTC), "UTC")
        assert self.at_end(MONTH) == []
        assert self.at_end(december, "770.00") == ["360.00"]
        assert self.at_end(december, "700.00", "430.00") == []

    def test_not_in_a_month_before_whoever_asks_later(self) -> None:
        """billing.md, 4: what is priced after the end is what was invoiced."""
        ends = scope_of(spending("1.00"))
        ends = replace(
            ends,
            commitments=(
                minimum("9.00", Span(LATER.start, hour(800))),
                minimum("9.00", Span(LATER.start, hour(800)), Term.YEAR),
            ),
        )
        assert len(trued(ends, as_of=hour(900))) == 1

    def test_a_new_year_owes_nothing_to_the_old_one(self) -> None:
        """It ends on 15 April: 14 days of 70.00 are 32.67 of it, and 1,000 were spent before."""
        started = datetime(2025, 4, 15, tzinfo=UTC)
        mid = minimum("1200.00", Span(started), Term.YEAR)
        assert self.at_end(MONTH, "1000.00", commitment=mid) == ["167.33"]
        assert self.at_end(following(MONTH, "UTC"), commitment=mid) == []

    def test_what_was_spent_before_is_of_the_year_that_was_running(self) -> None:
        """A month, and a year that begins and ends with the period: nothing earlier is of it."""
        begins = minimum("100.00", Span(START), Term.MONTH)
        assert self.at_end(MONTH, "1000.00", commitment=begins) == ["30.00"]
        whole = minimum("1200.00", MONTH, Term.YEAR)  # 30 of 365 days are 98.63
        assert self.at_end(MONTH, "1000.00", commitment=whole) == ["28.63"]

    @pytest.mark.parametrize("day", [0, 10])
    def test_a_year_that_begins_in_the_period_has_nothing_earlier(self, day: int) -> None:
        begins = minimum("1200.00", Span(hour(24 * day)), Term.YEAR)
        assert [*running(replace(scope_of(), commitments=(begins,)), MONTH)] == []

    def test_the_year_that_was_running(self) -> None:
        """Of a month, of a year that is over and of one that begins later there is none."""
        over = minimum("9.00", Span(self.FIRST, hour(-1)), Term.YEAR)
        month_, later = minimum("9.00"), minimum("9.00", Span(END), Term.YEAR)
        scope = replace(scope_of(), commitments=(over, month_, self.ANNUAL, later))
        year = Span(self.FIRST, datetime(2027, 1, 1, tzinfo=UTC))
        assert [*running(scope, MONTH)] == [(self.ANNUAL, year)]

    def test_what_counted_for_another_commitment_does_not(self) -> None:
        """1,200 less 70 of April and 30 of the months before."""
        scope = replace(
            scope_of(row(Charge(Fee(), PerUnit(Decimal("70.00")), "hosting"), "it", Span(START))),
            commitments=(minimum("1200.00", Span(datetime(2025, 5, 1, tzinfo=UTC)), Term.YEAR),),
        )
        spent = (Spent("other", Decimal("500.00")), Spent("min", Decimal("30.00")))
        (line,) = trued(scope, Inputs(MONTH, spent=spent))
        assert str(line.net) == "1100.00"

    def test_the_next_settlement_is_the_first_of_several(self) -> None:
        ends = [minimum("9.00", Span(LATER.start, hour(at)), name=f"m{at}") for at in (400, 200)]
        scope = replace(scope_of(), commitments=tuple(ends))
        assert next_eval_at(scope, inputs_of(), START) == hour(200)
        assert next_eval_at(scope, inputs_of(), hour(200)) == hour(400)

    def test_one_that_ends_early_counts_by_time(self) -> None:
        """120 of 365 days of 1,200 are 394.52."""
        ends = minimum("1200.00", Span(self.FIRST, END), Term.YEAR)
        assert self.at_end(MONTH, "210.00", commitment=ends) == ["114.52"]

    @pytest.mark.parametrize(
        ("start", "years", "expected"),
        [
            ((2024, 2, 29), 1, (2025, 2, 28)),
            ((2024, 2, 29), 4, (2028, 2, 29)),
            ((2026, 4, 15), 1, (2027, 4, 15)),
        ],
    )
    def test_anniversaries(
        self, start: tuple[int, int, int], years: int, expected: tuple[int, int, int]
    ) -> None:
        assert anniversary(datetime(*start, tzinfo=UTC), years, "UTC") == datetime(
            *expected, tzinfo=UTC
        )


YEAR_ON, YEAR_ENDS, YEAR_AMID = (
    minimum("9.00", Span(datetime(*day, tzinfo=UTC)), Term.YEAR)
    for day in ((2026, 1, 1), (2025, 5, 1), (2025, 4, 15))
)


@pytest.mark.parametrize(
    ("rule", "commitments", "ends"),
    [
        ("none", [], False),
        ("a month", [minimum("9.00")], True),
        ("a year runs on", [YEAR_ON], False),
        ("one that ends with the month", [YEAR_ENDS], True),
        ("one that ends amid it", [YEAR_AMID], True),
        ("one of several", [YEAR_ON, YEAR_ENDS], True),
    ],
)
def test_a_month_in_which_something_is_settled(
    rule: str, commitments: list[Commitment], ends: bool
) -> None:
    assert settles(commitments, MONTH, "UTC") is ends, rule


def test_a_fee_once_counts_too() -> None:
    setup = row(Charge(Fee(Every.ONCE), PerUnit(Decimal(300)), "hosting"), "setup", MONTH)
    scope = replace(scope_of(setup), commitments=(minimum("1000.00"),))
    assert total(price(scope, inputs_of(), END)) == 1000
