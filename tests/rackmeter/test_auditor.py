"""The auditor finds what is wrong: a unit, a row, a window that moved. On a real database."""

from collections.abc import Iterator

import pytest

from rackmeter.fleet.audit import Connection, audit, audit_windows
from rackmeter.fleet.life import live
from rackmeter.fleet.mishaps import Schedule, schedules
from rackmeter.fleet.plan import FleetPlan, machines
from rackmeter.fleet.truth import Truth, truth_of, windows_of
from sinks.database import connect, migrate
from tests.auditor import exact, settle
from tests.fix_stack import MakeDatabase

DAY_MS = 86_400_000
PLAN = FleetPlan(seed=3, servers=3, start_ms=20_000 * DAY_MS, end_ms=20_001 * DAY_MS)


@pytest.fixture(scope="module")
def fleet() -> list[Schedule]:
    return schedules(PLAN, [live(PLAN, machine) for machine in machines(PLAN)])


@pytest.fixture(scope="module")
def truth(fleet: list[Schedule]) -> Truth:
    return truth_of(PLAN, fleet)


@pytest.fixture(scope="module")
def settled(make_database: MakeDatabase, fleet: list[Schedule]) -> Iterator[Connection]:
    """A perfect ledger; each test breaks it in a transaction that is rolled back."""
    url = make_database()
    migrate(url)
    with connect(url) as conn:
        settle(conn, fleet)
        conn.commit()
        yield conn


@pytest.fixture
def ledger(settled: Connection) -> Iterator[Connection]:
    with settled.transaction(force_rollback=True):
        yield settled


def test_a_perfect_ledger_passes(ledger: Connection, fleet: list[Schedule]) -> None:
    truth = exact(ledger, PLAN, fleet)
    assert audit(ledger, truth).figures == 3 * len(truth.series) > 0


def test_a_dropped_window_is_lost(ledger: Connection, truth: Truth) -> None:
    row = ledger.execute(
        "DELETE FROM usage_window WHERE (server_id, window_start) = (SELECT server_id, window_start"
        " FROM usage_window ORDER BY 1, 2 OFFSET 9 LIMIT 1) RETURNING server_id, qty"
    ).fetchone()
    assert row is not None
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (sum(row[1]), 0)
    assert {one.server for one in found.differences} == {row[0]}


def test_a_window_counted_twice_is_doubled(ledger: Connection, truth: Truth) -> None:
    row = ledger.execute(
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " SELECT server_id, window_start, set_id, qty, 0, 0, 'again' FROM usage_window"
        " ORDER BY 1, 2 LIMIT 1 RETURNING qty"
    ).fetchone()
    assert row is not None
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (0, sum(row[0]))


@pytest.mark.parametrize(("units", "lost", "doubled"), [(-1, 1, 0), (1, 0, 1)])
def test_one_unit_is_found(
    ledger: Connection, truth: Truth, units: int, lost: int, doubled: int
) -> None:
    ledger.execute(
        "UPDATE usage_window SET qty[1] = qty[1] + %s WHERE (server_id, window_start) = "
        "(SELECT server_id, window_start FROM usage_window ORDER BY 2 DESC LIMIT 1)",
        (units,),
    )
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (lost, doubled)
    # The last window lies past the period, so that only the life differs.
    assert [one.figure for one in found.differences] == ["life"]


def test_a_reading_that_differs_is_found(ledger: Connection, truth: Truth) -> None:
    ledger.execute("UPDATE server_origin SET last[2] = last[2] + 1 WHERE server_id = 'ax-002'")
    figures = {(one.server, one.figure) for one in audit(ledger, truth).differences}
    assert figures == {("ax-002", "readings")}


def test_a_unit_in_the_wrong_window_is_found(ledger: Connection, fleet: list[Schedule]) -> None:
    windows = windows_of(fleet[0])
    ledger.execute(
        "UPDATE usage_window SET qty[1] = qty[1] + CASE window_start WHEN first THEN 1 ELSE -1 END"
        " FROM (SELECT min(window_start) AS first, max(window_start) AS last FROM usage_window"
        " WHERE server_id = 'ax-001') AS edge"
        " WHERE server_id = 'ax-001' AND window_start IN (first, last)"
    )
    assert audit(ledger, truth_of(PLAN, fleet)).lost == 0
    differences = audit_windows(ledger, ["ax-001"], windows)
    assert [one.ledger - one.truth for one in differences] == [1, -1]


def test_a_stranger_is_no_difference(ledger: Connection, truth: Truth) -> None:
    ledger.execute("UPDATE server_origin SET server_id = 'other' WHERE server_id = 'ax-003'")
    ledger.execute("UPDATE usage_window SET server_id = 'other' WHERE server_id = 'ax-003'")
    found = audit(ledger, truth)
    assert {one.server for one in found.differences} == {"ax-003"}
    assert found.doubled == 0
