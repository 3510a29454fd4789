"""The auditor finds what is wrong: a unit, a row, a window that moved. On a real database, and on a
CSV.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rackmeter.errors import ConfigError
from rackmeter.fleet.adversity import Adversity
from rackmeter.fleet.audit import Connection, audit
from rackmeter.fleet.audit_csv import audit_csv
from rackmeter.fleet.log import simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.truth import Truth
from sinks.database import connect, migrate
from tests.auditor import assert_exact, settle, table
from tests.fix_stack import MakeDatabase

HOUR_MS = 3_600_000
START_MS = 20_000 * 24 * HOUR_MS
PLAN = FleetPlan(
    seed=3, servers=3, start_ms=START_MS, end_ms=START_MS + 3 * HOUR_MS,
    adversities=(Adversity.CLOCK, Adversity.DISORDER),
)  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> Truth:
    return simulate(PLAN).truth


# --- a ledger -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settled(make_database: MakeDatabase, truth: Truth) -> Iterator[Connection]:
    """A perfect ledger; each test breaks it in a transaction that is rolled back."""
    url = make_database()
    migrate(url)
    with connect(url) as conn:
        settle(conn, truth)
        conn.commit()
        yield conn


@pytest.fixture
def ledger(settled: Connection) -> Iterator[Connection]:
    with settled.transaction(force_rollback=True):
        yield settled


NTH = "(SELECT server_id, window_start FROM usage_window ORDER BY 1, 2 OFFSET 9 LIMIT 1)"


def test_a_perfect_ledger_passes(ledger: Connection, truth: Truth) -> None:
    assert_exact(ledger, truth)
    windows = sum(len(one.windows or ()) for one in truth.series)
    assert audit(ledger, truth).figures == 3 * len(truth.series) + windows
    assert windows > 300


@pytest.mark.parametrize("name", ["usage_window", "usage_late"])
def test_a_dropped_row_is_lost(ledger: Connection, truth: Truth, name: str) -> None:
    row = ledger.execute(
        f"DELETE FROM {name} WHERE (server_id, window_start) = {NTH} RETURNING server_id, qty"
    ).fetchone()
    assert row is not None
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (sum(row[1]), 0)
    assert {one.server for one in found.differences} == {row[0]}


def test_a_row_counted_twice_is_doubled(ledger: Connection, truth: Truth) -> None:
    row = ledger.execute(
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " SELECT server_id, window_start, set_id, qty, 0, 0, 'again' FROM usage_window"
        f" WHERE (server_id, window_start) = {NTH} RETURNING qty"
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
    # The last window lies past the period: beside itself only the life differs.
    assert sorted(one.figure for one in found.differences)[1:] == ["life"]


def test_a_reading_that_differs_is_found(ledger: Connection, truth: Truth) -> None:
    ledger.execute("UPDATE server_origin SET last[2] = last[2] + 1 WHERE server_id = 'ax-002'")
    figures = {(one.server, one.figure) for one in audit(ledger, truth).differences}
    assert figures == {("ax-002", "readings")}


def test_a_unit_in_the_neighbouring_window_is_found(ledger: Connection, truth: Truth) -> None:
    """Every sum is right: only the windows tell."""
    ledger.execute(
        "UPDATE usage_window u SET qty[1] = qty[1] + CASE u.window_start WHEN at THEN -1 ELSE 1 END"
        f" FROM {NTH} AS one (server, at) WHERE u.server_id = server"
        " AND u.window_start IN (at, at + interval '5 minutes')"
    )
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (0, 0)
    assert [one.ledger - one.truth for one in found.differences] == [-1, 1]


def test_a_unit_of_another_series_is_found(ledger: Connection, truth: Truth) -> None:
    """Usage of a series that the truth does not have."""
    ledger.execute(
        "WITH new AS (INSERT INTO series_set (digest, meter, resource)"
        " VALUES ('x', '{net.tx_bytes}', '{eth9}') RETURNING set_id)"
        " INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " SELECT 'ax-001', 'epoch', set_id, '{1}', 0, 0, 'late' FROM new"
    )
    found = audit(ledger, truth)
    assert (found.lost, found.doubled) == (0, 1)


def test_a_stranger_is_no_difference(ledger: Connection, truth: Truth) -> None:
    for name in ("server_origin", "usage_window", "usage_late"):
        ledger.execute(f"UPDATE {name} SET server_id = 'other' WHERE server_id = 'ax-003'")
    found = audit(ledger, truth)
    assert {one.server for one in found.differences} == {"ax-003"}
    assert found.doubled == 0


# --- a CSV ----------------------------------------------------------------------------------------

Lines = list[str]
Break = Callable[[Lines], tuple[int, int]]
"""Breaks a table, returns how many units are then lost and how many doubled."""


def units(line: str) -> int:
    return int(line.rsplit(",", 1)[1])


def changed(line: str, by: int) -> str:
    return f"{line.rsplit(',', 1)[0]},{units(line) + by}\n"


def drop_row(lines: Lines) -> tuple[int, int]:
    return units(lines.pop(9)), 0


def drop_late_row(lines: Lines) -> tuple[int, int]:
    """On time and late take turns."""
    assert lines[9].rsplit(",", 1)[0] == lines[10].rsplit(",", 1)[0]
    return units(lines.pop(10)), 0


def double_row(lines: Lines) -> tuple[int, int]:
    lines.append(lines[9])
    return 0, units(lines[9])


def change_unit(lines: Lines) -> tuple[int, int]:
    lines[9] = changed(lines[9], 1)
    return 0, 1


def move_unit(lines: Lines) -> tuple[int, int]:
    lines[9], lines[11] = changed(lines[9], -1), changed(lines[11], 1)
    return 0, 0


def move_row(lines: Lines) -> tuple[int, int]:
    lines[9] = lines[9].replace(":00Z", ":01Z")
    return 0, 0


def add_stranger(lines: Lines) -> tuple[int, int]:
    lines.append("ghost,net.tx_bytes,eth0,2026-03-01T00:00:00Z,5\n")
    return 0, 5


BREAKS = [drop_row, drop_late_row, double_row, change_unit, move_unit, move_row, add_stranger]


def written(path: Path, lines: Lines) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_a_perfect_table_passes(truth: Truth, tmp_path: Path) -> None:
    found = audit_csv(written(tmp_path / "usage.csv", list(table(truth))), truth)
    assert found.differences == ()
    assert found.figures > 300


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_broken_table_is_found(truth: Truth, tmp_path: Path, breaks: Break) -> None:
    lines = list(table(truth))
    expected = breaks(lines)
    found = audit_csv(written(tmp_path / "usage.csv", lines), truth)
    assert found.differences != ()
    assert (found.lost, found.doubled) == expected


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a,b\n"], "line 1 must be server,meter,resource,window_start,quantity"),
        ([], "line 1 must be"),
        (["HEAD", "a,b,c\n"], "line 2: it has 3 columns instead of 5"),
        (["HEAD", "a,b,c,2026-03-01,1\n"], "line 2: 2026-03-01 has no time zone"),
        (["HEAD", "a,b,c,never,1\n"], "line 2: Invalid isoformat"),
        (["HEAD", "a,b,c,2026-03-01T00:00:00Z,1.5\n"], "line 2: invalid literal"),
        (["HEAD", 'a,"b\n'], "cannot be read: unexpected end"),
    ],
)
def test_what_is_no_table_ends_in_a_sentence(
    truth: Truth, tmp_path: Path, lines: Lines, sentence: str
) -> None:
    head = next(table(truth))
    path = written(tmp_path / "usage.csv", [line.replace("HEAD", head) for line in lines])
    with pytest.raises(ConfigError, match=sentence):
        audit_csv(path, truth)
    with pytest.raises(ConfigError, match="cannot be read"):
        audit_csv(tmp_path / "none.csv", truth)
