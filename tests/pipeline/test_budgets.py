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
    Budget,
    Mark,
    Said,
    amount,
    forecast,
    lifted,
    reached,
    remember,
)
from pipeline.certain import certain
from pipeline.rating.cut import cut
from pipeline.rating.figures import Figure
from schemas.billing import (
    Assignment,
    Inputs,
    Item,
    PriceRow,
    Samples,
    Scope,
    Span,
)
from schemas.prices import Charge, Percentile, PerUnit, Unit

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
    ("now", "expected"),
    [
        ("49.99", []), ("50", ["50%"]), ("99.99", ["50%"]), ("100", ["50%", "100%"]),
        ("5000", ["50%", "100%"]),
    ],
)  # fmt: skip
def test_every_threshold_at_or_below_the_amount(now: str, expected: list[str]) -> None:
    found = list(reached(MONEY, Fraction(now), {}))
    assert [one.threshold.rpartition("/")[2] for one in found] == expected
    assert {one.limit_version for one in found} <= {"7"}


CROSSED = Said(crossed=True, limit_version="7")


@pytest.mark.parametrize(
    ("case", "budgets", "now", "said", "down"),
    [
        ("still above", [MONEY], "100", CROSSED, False),
        ("a cent below: figures stagger", [MONEY], "99.99", CROSSED, False),
        ("a hundredth of the limit below", [MONEY], "99", CROSSED, False),
        ("more than that below", [MONEY], "98.99", CROSSED, True),
        ("taken back before", [MONEY], "50", replace(CROSSED, crossed=False), False),
        ("ended", [], "0", CROSSED, True),
        ("another limit, reached too", [replace(MONEY, budget=9)], "100", CROSSED, False),
        ("another limit, a cent above", [replace(MONEY, budget=9)], "99.99", CROSSED, True),
        ("no longer told at 100 %", [replace(MONEY, percents=(50,))], "100", CROSSED, True),
    ],
)
def test_when_a_crossing_is_taken_back(
    case: str, budgets: list[Budget], now: str, said: Said, down: bool
) -> None:
    name = f"{MONEY.name}/100%"
    amounts = {budget.budget: Fraction(now) for budget in budgets}
    assert lifted(budgets, amounts, {name: said}) == ([name] if down else []), case


def test_a_forecast_is_never_taken_back() -> None:
    assert lifted([], {}, {f"{MONEY.name}/forecast": CROSSED}) == []


@pytest.mark.parametrize(("action", "versions"), [(Action.NOTIFY, ["7"]), (Action.CAP, ["7/2"])])
def test_a_cap_that_was_lifted_holds_again(action: Action, versions: list[str]) -> None:
    """Who is only told is told once for a limit."""
    budget = replace(MONEY, action=action, percents=(100,))
    said = {f"{budget.name}/100%": Said(crossed=False, limit_version="7/1", lifted=2)}
    assert [one.limit_version for one in reached(budget, Fraction(100), said)] == versions


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


MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))
PORT = PriceRow(
    "port", "port", Span(START),
    Charge(Percentile(("net.tx_bytes",), MBPS), PerUnit(Decimal(1)), "hosting"), "v1", "",
)  # fmt: skip
WINDOWS = 31 * 288
DISCARDED = 5 * WINDOWS // 100


def sure(*windows: int | None) -> int:
    scope = Scope(
        "port", "acme", "EUR", "UTC", (Item("port", "Port", "p", Span(START)),),
        (Assignment("s-1", "port", Span(START)),), (PORT,),
    )  # fmt: skip
    samples = Samples("s-1", "net.tx_bytes", "eth0", START, windows)
    inputs = Inputs(Span(START, END), samples=(samples,))
    return certain(scope, inputs, cut(scope, inputs.period))["port", "port"]


@pytest.mark.parametrize(
    ("case", "windows", "expected"),
    [
        ("nothing measured", [], 0),
        ("as many as are discarded", [9] * DISCARDED, 0),
        ("one more", [9] * (DISCARDED + 1), 9),
        ("a gap counts as nothing", [9] * DISCARDED + [None, 4], 4),
        ("the whole month: what is billed", [5] * (WINDOWS - DISCARDED) + [9] * DISCARDED, 5),
    ],
)
def test_what_a_percentile_has_come_to_for_certain(
    case: str, windows: list[int | None], expected: int
) -> None:
    assert sure(*windows) == expected, case


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=40))
def test_what_is_certain_never_falls(tail: list[int | None]) -> None:
    head = [7] * (DISCARDED - 10)
    values = [sure(*head, *tail[:count]) for count in range(0, len(tail) + 1, 8)]
    assert values == sorted(values)
