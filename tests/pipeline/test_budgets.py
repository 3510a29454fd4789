"""Budgets: what is reached, taken back and foreseen. The rules are those of the module's head."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.budgets import (
    Action,
    Because,
    Budget,
    Come,
    Counted,
    Mark,
    Said,
    amount,
    come,
    forecast,
    lifted,
    limit_version,
    reached,
    remember,
)
from pipeline.rating.figures import Figure

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
MONEY = Budget(7, "acme", "", "", Decimal(100), "EUR", 1, (50, 100), None, Action.NOTIFY)
CAP = replace(MONEY, action=Action.CAP)
TRAFFIC = Budget(8, "acme", "web", "traffic", Decimal(20), "TB", 10**12, (100,), 24 * HOUR,
                 Action.NOTIFY)  # fmt: skip


def figure(item: str, charge: str, used: int, net: str, currency: str = "EUR") -> Figure:
    return Figure(item, charge, "TB", 10**12, used, 0, Decimal(net), currency)


FIGURES = [
    figure("web", "rent", 5, "10.00"),
    figure("web", "traffic", 3 * 10**12, "1.29"),
    figure("db", "traffic", 4 * 10**12, "2.58"),
    figure("web", "rent", 0, "99.00", "USD"),
]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (MONEY, Fraction(1387, 100)),
        (replace(MONEY, item="web"), Fraction(1129, 100)),
        (replace(MONEY, item="none"), Fraction(0)),
        (TRAFFIC, Fraction(3)),
        (replace(TRAFFIC, unit="TiB", unit_size=2**40), Fraction(3 * 10**12, 2**40)),
    ],
    ids=["account, in its currency", "item", "nothing yet", "quantity", "as it was written"],
)
def test_what_a_budget_has_come_to(budget: Budget, expected: Fraction) -> None:
    assert amount(budget, FIGURES) == expected


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (MONEY, (120, 8070, 70)),
        (replace(MONEY, item="web"), (50, 8000, 0)),
        (replace(MONEY, item="web", charge="port", unit="TB", unit_size=10**12), (2, 9, 0)),
    ],
    ids=["account", "item", "quantity"],
)
def test_of_a_percentile_counts_what_is_certain(budget: Budget, expected: tuple[int, ...]) -> None:
    """A port that stands at 9 for 8,000 EUR, of which 2 for 50 are certain; 70 EUR by the hour."""
    port = figure("web", "port", 9 * 10**12, "8000.00")
    sure = replace(port, used=2 * 10**12, net=Decimal(50))
    rent = figure("db", "rent", 5, "70.00")
    counted = [Counted(port, sure, paced=False), Counted(rent, rent, paced=True)]
    assert come(budget, counted) == Come(*map(Fraction, expected))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("49.99", []), ("50", ["50%"]), ("99.99", ["50%"]), ("100", ["50%", "100%"]),
        ("5000", ["50%", "100%"]),
    ],
)  # fmt: skip
def test_every_threshold_at_or_below_the_amount(now: str, expected: list[str]) -> None:
    found = list(reached(MONEY, Fraction(now), {}))
    assert [one.threshold.rpartition("/")[2] for one in found] == expected
    assert {one.limit_version for one in found} <= {"7/0"}


CROSSED = Said(crossed=True, version="7")
OTHER = replace(MONEY, budget=9)


@pytest.mark.parametrize(
    ("case", "budgets", "now", "said", "because"),
    [
        ("still above", [MONEY], "100", CROSSED, None),
        ("a cent below: figures stagger", [MONEY], "99.99", CROSSED, None),
        ("a hundredth of the limit below", [MONEY], "99", CROSSED, None),
        ("more than that below", [MONEY], "98.99", CROSSED, Because.AMOUNT),
        ("taken back before", [MONEY], "50", replace(CROSSED, crossed=False), None),
        ("ended", [], "0", CROSSED, Because.DROPPED),
        ("another limit, reached too", [OTHER], "100", CROSSED, None),
        ("another limit, a cent above", [OTHER], "99.99", CROSSED, Because.LIMIT),
        ("no longer told at 100 %", [replace(MONEY, percents=(50,))], "100", CROSSED,
         Because.DROPPED),
    ],
)  # fmt: skip
def test_when_and_why_a_crossing_is_taken_back(
    case: str, budgets: list[Budget], now: str, said: Said, because: Because | None
) -> None:
    name = f"{MONEY.name}/100%"
    amounts = {budget.budget: Fraction(now) for budget in budgets}
    found = lifted(budgets, amounts, {name: said})
    assert [(one.threshold, one.because) for one in found] == (
        [] if because is None else [(name, because)]
    ), case
    for one in found:
        assert (one.budget is None) == (because is Because.DROPPED)
        assert one.amount == (0 if because is Because.DROPPED else Fraction(now))


def test_a_forecast_is_never_taken_back() -> None:
    assert lifted([], {}, {f"{MONEY.name}/forecast": CROSSED}) == []


@pytest.mark.parametrize(
    ("case", "said", "version"),
    [
        ("nothing was said", None, "7/0"),
        ("told, and holds", CROSSED, "7/0"),
        ("taken back: the next one is another", replace(CROSSED, crossed=False), "7/1"),
        ("told again", replace(CROSSED, turn=1), "7/1"),
        ("taken back again", Said(crossed=False, version="7", turn=1), "7/2"),
        ("another limit, told before", Said(crossed=True, version="6", turn=1), "7/1"),
    ],
)
def test_a_crossing_is_one_for_its_limit_until_it_is_taken_back(
    case: str, said: Said | None, version: str
) -> None:
    assert limit_version("7", said) == version, case
    known = {} if said is None else {f"{MONEY.name}/100%": said}
    whole = replace(MONEY, percents=(100,))
    assert [one.limit_version for one in reached(whole, Fraction(100), known)] == [version]
    written = Said.of(crossed=True, limit_version=version)
    assert limit_version("7", written) == version, "read back it is the same crossing"


NOON = START + 12 * HOUR


@pytest.mark.parametrize(
    ("case", "now", "before", "hours"),
    [
        ("14 TB left at 1 TB an hour", 6, (1, 5), 14),
        ("the same over two hours", 6, (2, 4), 14),
        ("exactly within the time asked for", 14, (1, "13.75"), 24),
        ("a little later than that", 14, (1, "13.76"), None),
        ("nothing gained", 6, (1, 6), None),
        ("it fell", 6, (1, 7), None),
        ("reached already", 20, (1, 5), None),
        ("too short a look", 6, ("0.99", 5), None),
    ],
)
def test_when_a_limit_will_be_reached(
    case: str, now: int, before: tuple[str, str], hours: int | None
) -> None:
    ago, was = (Fraction(part) for part in before)
    mark = Mark(NOON - timedelta(seconds=int(ago * 3600)), was)
    found = forecast(TRAFFIC, Mark(NOON, Fraction(now)), mark, END)
    assert (None if found is None else found.at) == (hours and NOON + hours * HOUR), case


def test_what_has_no_pace_is_nearer_the_limit_all_the_same() -> None:
    """20 TB, 4 of them of no pace, 6 at one an hour: 10 are left. It says all that there is."""
    before, now = Mark(NOON - HOUR, Fraction(5)), Mark(NOON, Fraction(6))
    found = forecast(TRAFFIC, now, before, END, Fraction(4))
    assert found is not None
    assert (found.at, found.amount) == (NOON + 10 * HOUR, Fraction(10))
    still = Mark(NOON - HOUR, Fraction(6))
    assert forecast(TRAFFIC, now, still, END, Fraction(13)) is None, "a jump is no pace"


def test_no_forecast_beyond_the_period_or_without_a_first_look() -> None:
    late = END - 2 * HOUR
    before, now = Mark(late - HOUR, Fraction(5)), Mark(late, Fraction(6))
    assert forecast(TRAFFIC, now, before, END) is None
    assert forecast(TRAFFIC, now, None, END) is None
    assert forecast(replace(TRAFFIC, ahead=None), now, before, END + 99 * HOUR) is None
    assert forecast(TRAFFIC, now, before, END + 99 * HOUR) is not None


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60))
def test_marks_stay_two_and_an_hour_apart(minutes: list[int]) -> None:
    marks: tuple[Mark, ...] = ()
    at = START
    for gap in minutes:
        at += timedelta(minutes=gap)
        marks = remember(marks, Mark(at, Fraction(0)))
        assert len(marks) <= 2
        if len(marks) == 2:
            assert marks[1].at - marks[0].at >= HOUR
            assert at - marks[1].at < HOUR
