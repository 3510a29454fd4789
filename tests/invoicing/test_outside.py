"""Numbers that the database lost: what is settled, what waits, what is entered again.

A database is set back by copying it before a close and going on with the copy.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from invoicing.close import Progress
from invoicing.number_log import Logged
from invoicing.outside import Settlement, number_log, outside, settle, settle_numbers
from invoicing.reenter import reenter
from invoicing.report import CloseReport, Status
from schemas.errors import DifferenceError, RefusedError
from sinks.audit import Wanted, newest
from sinks.database import Connection, connect
from tests.fix_stack import MakeDatabase
from tests.invoicing.scenario import close_month, numbers_of
from tests.invoicing.test_number_log import FIRST, OTHER, SECOND
from tests.invoicing.worlds import month_of

ISSUED, TAKEN = Logged(FIRST, issued=True), Logged(FIRST, issued=False)
LATER = Logged(SECOND, issued=True)
AGAIN = Logged(OTHER, issued=False)
ONE, TWO = FIRST.number, SECOND.number


@pytest.mark.parametrize(
    ("logged", "issued", "known", "recovered", "expected"),
    [
        pytest.param({}, [], {}, False, Settlement(), id="nothing was ever issued"),
        pytest.param({ONE: ISSUED}, [ONE], {}, False, Settlement(), id="both know it"),
        pytest.param({}, [ONE], {}, False, Settlement((ONE,)), id="closed elsewhere"),
        pytest.param({ONE: TAKEN}, [ONE], {}, False, Settlement((ONE,)), id="killed after COMMIT"),
        pytest.param({ONE: TAKEN}, [], {}, False, Settlement(), id="killed before COMMIT: free"),
        pytest.param({ONE: AGAIN}, [], {}, False, Settlement(), id="taken by another since"),
        pytest.param({ONE: ISSUED}, [], {}, False, Settlement((), (FIRST,)), id="older database"),
        pytest.param(
            {ONE: ISSUED}, [], {ONE: True}, False, Settlement(), id="older, and noted before"
        ),
        pytest.param(
            {ONE: TAKEN, TWO: LATER}, [], {}, False, Settlement((), (SECOND,), (FIRST,)),
            id="older: what was only taken may have been issued",
        ),
        pytest.param(
            {ONE: TAKEN}, [], {}, True, Settlement((), (), (FIRST,)),
            id="older by what a person says",
        ),
        pytest.param(
            {ONE: TAKEN}, [], {ONE: False}, True, Settlement(), id="the same, said twice"
        ),
        pytest.param(
            {ONE: ISSUED}, [], {ONE: False}, False, Settlement((), (FIRST,)),
            id="another machine's log knows for sure",
        ),
        pytest.param(
            {ONE: ISSUED, TWO: LATER}, [ONE], {}, False, Settlement((), (SECOND,)),
            id="the last one is lost",
        ),
    ],
)  # fmt: skip
def test_log_and_database_are_settled(
    logged: dict[str, Logged],
    issued: list[str],
    known: dict[str, bool],
    recovered: bool,
    expected: Settlement,
) -> None:
    assert settle(logged, issued, known, recovered=recovered) == expected


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def copy(conn: Connection, billing_url: str, make_database: MakeDatabase) -> Callable[[], str]:
    """copy() → the URL of a database as this one is now; the number log stays this one's."""

    def make() -> str:
        conn.close()
        return make_database(str(conninfo_to_dict(billing_url)["dbname"]))

    return make


def close(url: str, log: Path, **rest: Any) -> CloseReport:
    return close_month(url, numbers=log, **rest)


def by_account(report: CloseReport) -> dict[str, tuple[Status, str | None]]:
    return {one.account: (one.status, one.number) for one in report.outcomes}


def test_a_database_set_back_gives_no_number_twice(
    conn: Connection, billing_url: str, copy: Callable[[], str], tmp_path: Path
) -> None:
    """Two are issued, one of them after the copy; there its scope waits until it is entered again,
    from its PDF, and then the copy is what the first database was."""
    month_of(conn, 3)
    log, papers = numbers_of(billing_url), tmp_path / "papers"
    close(billing_url, log, accounts=["acme-0"], folder=papers)
    older = copy()
    close(billing_url, log, accounts=["acme-1"], folder=papers)
    report = close(older, log, folder=papers)
    assert by_account(report) == {
        "acme-0": (Status.EXISTS, "RM-2026-000001"),
        "acme-1": (Status.WAITING, None),
        "acme-2": (Status.ISSUED, "RM-2026-000003"),
    }
    assert report.outcomes[1].reasons[0].startswith("RM-2026-000002 was issued for this before")
    with connect(older, autocommit=True) as back:
        assert [(one.entry.number, one.certain, one.entered) for one in outside(back)] == [
            ("RM-2026-000002", True, False)
        ]
        assert reenter(back, papers / "RM-2026-000002.pdf", log).buyer.account == "acme-1"
        row = newest(back, Wanted(), 1)[0].act
        assert row is not None
        assert (row.action, row.subject) == ("invoice.reenter", "invoice/RM-2026-000002")
        assert outside(back)[0].entered
        with pytest.raises(RefusedError, match="RM-2026-000002 is in the database"):
            reenter(back, papers / "RM-2026-000002.json", log)
    again = tmp_path / "again"
    report = close(older, log, folder=again)
    assert {status for status, _ in by_account(report).values()} == {Status.EXISTS}
    for name in ("RM-2026-000001", "RM-2026-000002"):
        for end in ("json", "pdf"):
            assert (again / f"{name}.{end}").read_bytes() == (papers / f"{name}.{end}").read_bytes()


def test_another_paper_under_a_missing_number_is_refused(
    conn: Connection, billing_url: str, copy: Callable[[], str], tmp_path: Path
) -> None:
    """An invoice of another ledger that is sound in itself, and one that was altered."""
    month_of(conn, 2)
    log, mine, theirs = numbers_of(billing_url), tmp_path / "mine", tmp_path / "theirs"
    older = copy()
    other = copy()
    close(billing_url, log, accounts=["acme-0"], folder=mine)
    close(other, tmp_path / "their.log", accounts=["acme-1"], folder=theirs)
    close(older, log, accounts=[])
    paper = mine / "RM-2026-000001.json"
    altered = tmp_path / "altered.json"
    altered.write_text(paper.read_text().replace("Straße 1", "Straße 2"))
    with connect(older, autocommit=True) as back:
        with pytest.raises(DifferenceError, match="is not the RM-2026-000001 that was issued"):
            reenter(back, theirs / "RM-2026-000001.json", log)
        with pytest.raises(DifferenceError, match="is not what was sealed"):
            reenter(back, altered, log)
        assert back.execute("SELECT FROM invoice").fetchall() == []
        assert reenter(back, paper, log).number == "RM-2026-000001"


def test_a_paper_whose_customer_is_lost_too_says_so(
    conn: Connection, billing_url: str, copy: Callable[[], str], tmp_path: Path
) -> None:
    month_of(conn, 1)
    log = numbers_of(billing_url)
    older = copy()
    close(billing_url, log, folder=tmp_path)
    with connect(older, autocommit=True) as back:
        settle_numbers(back, number_log(back, log))
        back.execute("DELETE FROM ingest_offset")
        back.execute("DELETE FROM reading_anchor")
        back.execute("DELETE FROM ingest_topic")
        with pytest.raises(RefusedError, match=r"names what this database does not have.*topic"):
            reenter(back, tmp_path / "RM-2026-000001.json", log)
        assert back.execute("SELECT FROM invoice").fetchall() == []


def test_a_period_whose_paper_is_lost_is_billed_under_a_new_number(
    conn: Connection, billing_url: str, copy: Callable[[], str]
) -> None:
    """As docs/recover.md says it is done; the old number stays known as missing."""
    month_of(conn, 1)
    log = numbers_of(billing_url)
    older = copy()
    close(billing_url, log)
    assert by_account(close(older, log)) == {"acme-0": (Status.WAITING, None)}
    with connect(older, autocommit=True) as back:
        back.execute("UPDATE number_outside SET scopes = '{}' WHERE number = 'RM-2026-000001'")
        assert by_account(close(older, log)) == {"acme-0": (Status.ISSUED, "RM-2026-000002")}
        assert [(one.entry.number, one.entered) for one in outside(back)] == [
            ("RM-2026-000001", False)
        ]


def test_another_machines_log_knows_what_this_one_does_not(
    conn: Connection, billing_url: str, copy: Callable[[], str], tmp_path: Path
) -> None:
    """Each closes one; set back, the second log adds what the first did not hear of."""
    month_of(conn, 3)
    here, there = numbers_of(billing_url), tmp_path / "there"
    older = copy()
    close(billing_url, here, accounts=["acme-0"])
    close(billing_url, there, accounts=["acme-1"])
    with connect(older, autocommit=True) as back:
        settle_numbers(back, number_log(back, here), recovered=True)
        assert len(outside(back)) == 1
        settle_numbers(back, number_log(back, there), recovered=True)
        assert [one.entry.number for one in outside(back)] == ["RM-2026-000001", "RM-2026-000002"]
    report = by_account(close(older, here))
    assert report["acme-2"] == (Status.ISSUED, "RM-2026-000003")


STEPS = ("seal:numbered", "seal:written", "seal:logged", "seal:committed", "render")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_and_the_database_set_back_too(
    conn: Connection, billing_url: str, copy: Callable[[], str], tmp_path: Path, step: str
) -> None:
    """The second of three is killed; the database goes back to before all. What was surely issued
    waits for its paper, what was perhaps issued keeps its number for the same invoice."""
    month_of(conn, 3)
    log = numbers_of(billing_url)
    older = copy()
    kill(billing_url, tmp_path, step)
    with connect(older, autocommit=True) as back:
        settle_numbers(back, number_log(back, log), recovered=True)
        noted = [(one.entry.number, one.certain) for one in outside(back)]
    surely = [("RM-2026-000001", True)]
    assert (
        noted
        == {
            "seal:numbered": surely,
            "seal:written": surely,
            "seal:logged": [*surely, ("RM-2026-000002", False)],
            "seal:committed": [*surely, ("RM-2026-000002", False)],
            "render": [*surely, ("RM-2026-000002", True)],
        }[step]
    )
    report = by_account(close(older, log))
    assert report["acme-0"] == (Status.WAITING, None)
    if step == "render":
        assert report["acme-1"] == (Status.WAITING, None)
    else:
        assert report["acme-1"] == (Status.ISSUED, "RM-2026-000002")
    assert report["acme-2"] == (Status.ISSUED, "RM-2026-000003")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_the_number_goes_to_the_same_invoice(
    conn: Connection, billing_url: str, tmp_path: Path, step: str
) -> None:
    """The database lost nothing: no number is skipped and none is kept."""
    month_of(conn, 3)
    kill(billing_url, tmp_path, step)
    report = by_account(close(billing_url, numbers_of(billing_url)))
    assert [number for _, number in report.values()] == [
        f"RM-2026-{count:06d}" for count in (1, 2, 3)
    ]
    assert outside(conn) == []
    logged = number_log(conn, numbers_of(billing_url)).numbers()
    stored = conn.execute("SELECT number, digest FROM invoice").fetchall()
    assert {n: (one.entry.digest, one.issued) for n, one in logged.items()} == {
        number: (digest, True) for number, digest in stored
    }


def test_killed_before_its_commit_the_number_goes_to_whoever_is_next(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """Nobody has seen it: the database that it was taken in does not have it. No gap, ever."""
    month_of(conn, 3)
    kill(billing_url, tmp_path, "seal:logged")
    log = numbers_of(billing_url)
    assert by_account(close(billing_url, log, accounts=["acme-2"])) == {
        "acme-2": (Status.ISSUED, "RM-2026-000002")
    }
    assert by_account(close(billing_url, log, accounts=["acme-1"])) == {
        "acme-1": (Status.ISSUED, "RM-2026-000003")
    }
    assert outside(conn) == []


def test_a_log_that_is_lost_is_made_again_from_the_database(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 2)
    log = numbers_of(billing_url)
    close(billing_url, log)
    before = number_log(conn, log).numbers()
    log.unlink()
    close(billing_url, log)
    assert number_log(conn, log).numbers() == before


def test_a_log_that_fills_the_disk_stops_before_the_commit(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 1)
    blocked = tmp_path / "n"

    def block(progress: Progress) -> None:
        if progress.step == "seal:written":
            blocked.rename(tmp_path / "away")
            blocked.mkdir()

    report = close(billing_url, blocked, progress=block)
    assert by_account(report) == {"acme-0": (Status.PARKED, None)}
    assert "No number was given out" in report.outcomes[0].reasons[0]
    assert conn.execute("SELECT FROM invoice").fetchall() == []
    blocked.rmdir()
    assert by_account(close(billing_url, blocked)) == {"acme-0": (Status.ISSUED, "RM-2026-000001")}


def test_a_dry_run_leaves_the_log_alone(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close(billing_url, numbers_of(billing_url), dry_run=True)
    assert not numbers_of(billing_url).exists()


def test_numbers_raise_the_counter_of_their_own_year_only(
    conn: Connection, billing_url: str
) -> None:
    entry = replace(FIRST, number="RM-2025-000007", year=2025, count=7)
    log = number_log(conn, numbers_of(billing_url))
    log.issue(entry)
    found = settle_numbers(conn, log)
    assert found == Settlement((), (entry,))
    rows = conn.execute("SELECT entity, kind, year, next FROM invoice_number").fetchall()
    assert rows == [("rm", "invoice", 2025, 8)]


def kill(url: str, folder: Path, step: str) -> None:
    """kill -9 of a close of three while it does the second; the server has noticed."""
    closer = [sys.executable, "-m", "tests.invoicing.closer", url, str(folder)]
    command = [*closer, step, "acme-1", "1"]  # one by one
    done = subprocess.run(command, check=False, timeout=120, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'rackmeter close'"
        )
