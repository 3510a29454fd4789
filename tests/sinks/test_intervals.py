"""Suspensions and the like on a real database: told in any order, taken back, told twice."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.billing import Span
from schemas.errors import RefusedError
from schemas.prices import IntervalKind
from sinks.changes import Answer, Order
from sinks.database import Connection
from sinks.intervals import interval_at, resume, suspend
from sinks.scopes import load_scope
from tests.fix_billing import START, rent_small

DAY = timedelta(days=1)
LATER = START + 30 * DAY


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """acme rents i-1 from the first of March on."""
    rent_small(customer)
    return customer


@dataclass(frozen=True)
class Command:
    """`s5`, `s5-8` and `r7` of the days of March."""

    at: int
    begins: bool
    until: int | None = None

    def __call__(self, conn: Connection) -> Answer:
        at = START + self.at * DAY
        if not self.begins:
            return resume(conn, "i-1", at=at, entered_at=LATER)
        until = None if self.until is None else START + self.until * DAY
        return suspend(conn, "i-1", at=at, until=until, entered_at=LATER)


def commands(words: str) -> list[Command]:
    found = []
    for word in words.split():
        at, _, until = word[1:].partition("-")
        found.append(Command(int(at), word[0] == "s", int(until) if until else None))
    return found


def stored(conn: Connection) -> list[Span]:
    return [one.valid for one in load_scope(conn, "i-1").intervals]


def days(words: str) -> list[Span]:
    pairs = (word.partition("-") for word in words.split())
    return [
        Span(START + int(low) * DAY, START + int(high) * DAY if high else None)
        for low, _, high in pairs
    ]


@pytest.mark.parametrize(
    ("told", "changed", "left"),
    [
        ("s5-10 s10 r10", (True, True, True), "5-10"),
        ("s5-10 r10", (True, False), "5-10"),
        ("s10 s5 r7", (True, True, True), "5-7 10-"),
        ("s5 r5 r5", (True, True, False), ""),
        ("s5 r5 s5", (True, True, True), "5-"),
        ("s5 s10 s5", (True, False, False), "5-"),
        ("s5 s10 r7", (True, False, True), "5-7 10-"),
        ("s5-8 s6-10 s7-8", (True, True, False), "5-10"),
        ("s5-8 s8-10", (True, True), "5-10"),
    ],
)
def test_told_late_inside_over_and_taken_back(
    rented: Connection, told: str, changed: tuple[bool, ...], left: str
) -> None:
    assert tuple(one(rented).changed for one in commands(told)) == changed
    assert stored(rented) == days(left)


@pytest.mark.parametrize("told", ["r5", "s5-8 r9", "s5 r4", "s5-8 r6 r8"])
def test_what_nothing_is_in_force_at_is_not_resumed(rented: Connection, told: str) -> None:
    *before, last = commands(told)
    for one in before:
        one(rented)
    with pytest.raises(RefusedError, match=r"Item i-1 has no suspension at 2026-03-\d\dT00:00"):
        last(rented)


@pytest.mark.parametrize("until", [4, 5])
def test_an_end_is_after_its_beginning(rented: Connection, until: int) -> None:
    end = (START + until * DAY).isoformat()
    with pytest.raises(RefusedError) as refused:
        Command(5, begins=True, until=until)(rented)
    assert str(refused.value) == (
        f"It would begin at 2026-03-06T00:00:00+00:00 and end at {end}: give an end that is later."
    )


def test_kinds_and_items_are_told_apart(rented: Connection) -> None:
    rent_small(rented, "i-2", "s-2")
    suspend(rented, "i-1", at=START + DAY, entered_at=LATER, kind=IntervalKind.TRIAL)
    suspend(rented, "i-2", at=START + 2 * DAY, entered_at=LATER)
    suspend(rented, "i-1", at=START + 3 * DAY, entered_at=LATER)
    resume(rented, "i-1", at=START + 4 * DAY, entered_at=LATER)
    assert stored(rented) == days("3-4 1-")
    assert [one.valid for one in load_scope(rented, "i-2").intervals] == days("2-")
    assert interval_at(rented, "i-1", IntervalKind.TRIAL, LATER) == Span(START + DAY)
    assert interval_at(rented, "i-1", IntervalKind.SUSPENSION, LATER) is None


def test_what_was_known_and_why_it_is_so(rented: Connection) -> None:
    """A suspension of the 11th, entered then; on the 21st that it began on the 6th."""
    for day, entered, why in ((10, 10, "unpaid"), (5, 20, "abuse")):
        suspend(
            rented, "i-1", at=START + day * DAY, entered_at=START + entered * DAY,
            order=Order("op@host", why),
        )  # fmt: skip
    known = load_scope(rented, "i-1", START + 19 * DAY).intervals
    assert [one.valid for one in known] == days("10-")
    assert stored(rented) == days("5-")
    assert rented.execute("SELECT reason FROM item_interval").fetchall() == [("abuse",)]


def test_rows_that_no_command_wrote_are_told_too(rented: Connection) -> None:
    rented.execute(
        "INSERT INTO item_interval VALUES ('i-1', 'suspension', tstzrange(%s, %s), 'disk', %s)",
        (START + 5 * DAY, START + 8 * DAY, START),
    )
    for one in commands("s7-10 s12 r14"):
        assert one(rented)
    assert stored(rented) == days("5-10 12-14")
    assert commands("r6")[0](rented)
    assert stored(rented) == days("5-6 7-10 12-14")


# -- the law: in whatever order --------------------------------------------------------------------


@st.composite
def told_in_some_order(draw: st.DrawFn) -> list[Command]:
    """Commands of different days; what is of the same day, the later one says."""
    found = []
    for at in draw(st.lists(st.integers(0, 12), unique=True, min_size=1, max_size=7)):
        begins = draw(st.booleans())
        until = draw(st.none() | st.integers(at + 1, 14)) if begins else None
        found.append(Command(at, begins, until))
    return found


def in_force(told: list[Command], day: float) -> bool:
    """Something that began by then has not ended, and nothing was resumed in between."""
    return any(
        one.begins
        and one.at <= day < (one.until or 99)
        and not any(not other.begins and one.at < other.at <= day for other in told)
        for one in told
    )


def given_until_done(conn: Connection, told: list[Command]) -> None:
    """Each command; what is refused is given again after the others, while that helps."""
    while told:
        refused = []
        for one in told:
            before = stored(conn)
            try:
                answer = one(conn)
            except RefusedError:
                refused.append(one)
            else:
                assert answer.changed is (stored(conn) != before)
                assert not one(conn)
        if len(refused) == len(told):
            return
        told = refused


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=told_in_some_order())
@example(commands("s10 s5 r7"))
@example(commands("s5 r10 r7 s8"))
@example(commands("s5-10 r10 s3"))
def test_the_order_of_commands_does_not_matter(rented: Connection, told: list[Command]) -> None:
    with rented.transaction(force_rollback=True):
        given_until_done(rented, told)
        spans = stored(rented)
    assert spans == sorted(spans)
    halves = [n / 2 for n in range(32)]
    found = [any(span.holds(START + half * DAY) for span in spans) for half in halves]
    assert found == [in_force(told, half) for half in halves]
