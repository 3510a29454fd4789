"""Closing: once and only once, whoever does it, however often, and whatever dies in between."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from invoicing.close import Progress
from invoicing.export import load
from invoicing.report import CloseReport, Status
from schemas.billing import Span
from schemas.errors import ConfigError, DependencyError
from sinks import timelines
from sinks.accruals import load_accrual, rate_scope
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, close_month
from tests.invoicing.worlds import DAY, END, START, month_of, rented

STEPS = (
    "gate", "freeze", "reconciled", "seal:locked", "seal:numbered", "seal:written",
    "seal:committed", "render",
)  # fmt: skip
CLOSERS = 5


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def statuses(report: CloseReport) -> list[Status]:
    return [outcome.status for outcome in report.outcomes]


def numbers(conn: Connection) -> list[str]:
    rows = conn.execute("SELECT number FROM invoice ORDER BY number").fetchall()
    return [row[0] for row in rows]


def whole(count: int) -> list[str]:
    return [f"RM-2026-{number:06d}" for number in range(1, count + 1)]


def the_books_are_whole(conn: Connection, accounts: int) -> None:
    """One invoice an account, gapless numbers, every line and seal there, totals as documented."""
    assert numbers(conn) == whole(accounts)
    row = conn.execute(
        """
        SELECT (SELECT count(*) FROM scope_seal WHERE invoice_id IS NOT NULL),
               (SELECT count(*) FROM invoice_line), (SELECT count(*) FROM invoice_cut),
               (SELECT count(*) FROM invoice WHERE gross <> net + tax),
               (SELECT next FROM invoice_number)
        """
    ).fetchone()
    assert row == (accounts, 2 * accounts, 2 * accounts, 0, accounts + 1)
    for (invoice,) in conn.execute("SELECT invoice_id FROM invoice").fetchall():
        document, _ = load(conn, str(invoice))
        net = conn.execute(
            "SELECT sum(net) FROM invoice_line WHERE invoice_id = %s", (invoice,)
        ).fetchone()
        assert net == (document.totals.net,)


def noted(conn: Connection) -> list[str]:
    """What the last close said, by account."""
    rows = conn.execute("SELECT status FROM close_outcome ORDER BY account_id").fetchall()
    return [status for (status,) in rows]


def test_closing_twice_changes_nothing(conn: Connection, billing_url: str, tmp_path: Path) -> None:
    month_of(conn, 2)
    first = close_month(billing_url, folder=tmp_path)
    assert statuses(first) == [Status.ISSUED] * 2
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    second = close_month(billing_url, folder=tmp_path)
    assert statuses(second) == [Status.EXISTS] * 2
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert sorted(before) == [f"{n}.{end}" for n in whole(2) for end in ("json", "pdf")]
    assert first.totals() == second.totals()
    the_books_are_whole(conn, 2)


def test_five_at_once_make_one_invoice_each(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 4)
    command = [sys.executable, "-m", "tests.invoicing.closer", billing_url, str(tmp_path)]
    closers = [subprocess.Popen(command) for _ in range(CLOSERS)]
    assert [closer.wait(120) for closer in closers] == [0] * CLOSERS
    the_books_are_whole(conn, 4)


def test_five_that_have_all_priced_the_same_scope(conn: Connection, billing_url: str) -> None:
    month_of(conn, 2)
    ready = threading.Barrier(CLOSERS)
    waited = threading.local()

    def together(progress: Progress) -> None:
        if progress.step == "reconciled" and not hasattr(waited, "once"):
            waited.once = True
            ready.wait(60)

    with ThreadPoolExecutor(CLOSERS) as pool:
        closing = [pool.submit(close_month, billing_url, progress=together) for _ in range(CLOSERS)]
        reports = [one.result(120) for one in closing]
    assert sum(statuses(report).count(Status.ISSUED) for report in reports) == 2
    assert all(report.exit_code == 0 for report in reports)
    the_books_are_whole(conn, 2)


class DiedError(BaseException):
    """The process ends here; nothing below catches it."""


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_and_the_next_close_finishes(
    conn: Connection, billing_url: str, tmp_path: Path, step: str, batch: int
) -> None:
    month_of(conn, 3)

    def die(progress: Progress) -> None:
        if (progress.step, progress.account) == (step, "acme-1"):
            raise DiedError

    with pytest.raises(DiedError):
        close_month(billing_url, folder=tmp_path, batch=batch, progress=die)
    finishes(conn, billing_url, tmp_path, made_before(step, batch))


def made_before(step: str, batch: int) -> int:
    """Invoices of three when the close of the second meets its end: those of whole batches."""
    after = step in ("seal:committed", "render")
    return batch * (2 if after and batch == 1 else 1 if after or batch == 1 else 0)


@pytest.mark.parametrize("step", ["seal:written", "seal:committed"])
def test_killed_beside_the_commit_and_the_next_close_finishes(
    conn: Connection, billing_url: str, tmp_path: Path, step: str
) -> None:
    month_of(conn, 3)
    command = [sys.executable, "-m", "tests.invoicing.closer", billing_url, str(tmp_path)]
    assert subprocess.run([*command, step, "acme-1"], check=False, timeout=120).returncode == -9
    wait_for_the_server_to_notice(conn)
    finishes(conn, billing_url, tmp_path, made_before(step, 3))


def finishes(conn: Connection, url: str, folder: Path, made: int) -> None:
    """The next close makes what is missing."""
    assert numbers(conn) == whole(made)
    report = close_month(url, folder=folder)
    assert statuses(report) == [Status.EXISTS] * made + [Status.ISSUED] * (3 - made)
    the_books_are_whole(conn, 3)
    assert len(list(folder.glob("*.pdf"))) == 3


def wait_for_the_server_to_notice(conn: Connection) -> None:
    """PostgreSQL rolls back when it finds the client gone."""
    conn.execute(
        """
        SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
    )


class BoomError(Exception):
    """A failure of one invoice."""


def test_a_number_taken_by_a_failure_is_given_back(conn: Connection, billing_url: str) -> None:
    month_of(conn, 3)

    def fail(progress: Progress) -> None:
        if (progress.step, progress.account) == ("seal:written", "acme-1"):
            raise BoomError("the disk is on fire")

    report = close_month(billing_url, progress=fail)
    assert statuses(report) == [Status.ISSUED, Status.PARKED, Status.ISSUED]
    assert report.outcomes[1].reasons == ("BoomError: the disk is on fire",)
    assert report.exit_code == 1
    assert numbers(conn) == whole(2)
    assert statuses(close_month(billing_url)).count(Status.ISSUED) == 1
    the_books_are_whole(conn, 3)


def test_a_difference_parks_its_invoice_and_not_the_night(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 3)
    conn.execute("UPDATE server_state SET last = ARRAY[1] WHERE server_id = 'srv-1'")
    report = close_month(billing_url)
    assert statuses(report) == [Status.ISSUED, Status.PARKED, Status.ISSUED]
    assert report.exit_code == 3
    assert report.outcomes[1].reasons == (
        "readings = windows, srv-1 net.tx_bytes eth0: 1 and 22000000000000 differ.",
    )
    assert numbers(conn) == whole(2)
    assert noted(conn) == ["issued", "parked", "issued"]
    found = conn.execute(
        "SELECT d->>'what', d->>'left', d->>'right' FROM close_outcome, jsonb_array_elements("
        "differences) d"
    ).fetchall()
    assert found == [("readings = windows", "1", "22000000000000")]
    mended = "UPDATE server_state SET last = ARRAY[22000000000000] WHERE server_id = 'srv-1'"
    conn.execute(mended)
    assert close_month(billing_url).exit_code == 0
    the_books_are_whole(conn, 3)
    assert noted(conn) == ["issued"] * 3
    assert conn.execute("SELECT FROM close_outcome WHERE differences <> '[]'").fetchall() == []


def test_a_dry_run_writes_nothing_and_knows_the_totals(conn: Connection, billing_url: str) -> None:
    month_of(conn, 2)
    report = close_month(billing_url, dry_run=True)
    assert statuses(report) == [Status.DRAFT] * 2
    assert all(outcome.number is None for outcome in report.outcomes)
    assert numbers(conn) == []
    assert noted(conn) == []
    assert report.totals() == close_month(billing_url).totals()


def test_only_the_accounts_asked_for(conn: Connection, billing_url: str) -> None:
    month_of(conn, 3)
    report = close_month(billing_url, accounts=["acme-2"])
    assert [(one.account, one.number) for one in report.outcomes] == [("acme-2", whole(1)[0])]


def test_the_scopes_of_an_account_share_an_invoice(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    rented(conn, "acme-0", "item-b", "srv-b", 10**12)
    report = close_month(billing_url)
    assert [(one.scopes, one.lines) for one in report.outcomes] == [(("item-0", "item-b"), 4)]
    assert report.outcomes[0].net == Decimal("49.00") + Decimal("1.29") + Decimal("49.00")


def test_an_item_returned_while_closing_is_priced_again(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    done: list[str] = []

    def return_it(progress: Progress) -> None:
        if progress.step == "reconciled" and not done:
            done.append("item-0")
            timelines.end(conn, "item-0", START + 3 * DAY)

    report = close_month(billing_url, progress=return_it)
    assert statuses(report) == [Status.ISSUED]
    document, _ = load(conn, str(report.outcomes[0].invoice_id))
    assert document.lines[0].line.quantity == 72
    assert document.priced[0].scope.ended_at == START + 3 * DAY


def test_a_rater_that_is_behind_is_brought_up_to_date(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    with connect(billing_url) as rater:
        rate_scope(rater, "item-0", CLOSED, CLOSED, period=Span(START, END))
    ledger.meter(conn, "srv-0", "net.tx_bytes", "eth0", 10**12, START + 2 * DAY, START + 3 * DAY)
    conn.execute("UPDATE server_state SET last = ARRAY[last[1] + 10^12::bigint]")
    report = close_month(billing_url)
    assert statuses(report) == [Status.ISSUED]
    stored = load_accrual(conn, "item-0", START)
    assert stored is not None
    document, _ = load(conn, str(report.outcomes[0].invoice_id))
    assert stored[0] == document.priced[0].inputs


def test_a_disk_that_is_full_stops_no_invoice(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 2)
    (tmp_path / "out").write_text("a file where the folder should be")
    report = close_month(billing_url, folder=tmp_path / "out")
    assert statuses(report) == [Status.ISSUED] * 2
    assert report.exit_code == 4
    assert "The invoice itself is safe; export it again." in report.outcomes[0].reasons[0]
    the_books_are_whole(conn, 2)


def test_an_account_of_another_currency_is_parked(conn: Connection, billing_url: str) -> None:
    month_of(conn, 2)
    conn.execute("UPDATE account SET currency = 'USD' WHERE account_id = 'acme-1'")
    report = close_month(billing_url)
    assert statuses(report) == [Status.ISSUED, Status.PARKED]
    assert "pays in USD, the prices of rm are in EUR" in report.outcomes[1].reasons[0]


def test_timelines_that_never_rest_wait(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)

    def rename(progress: Progress) -> None:
        if progress.step == "reconciled":
            conn.execute("UPDATE item SET title = title || '!'")

    report = close_month(billing_url, progress=rename)
    assert statuses(report) == [Status.WAITING]
    assert report.outcomes[0].reasons[0].endswith("changed 5 times meanwhile: close again.")


def test_an_account_that_rented_nothing_gets_nothing(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    assert close_month(billing_url, "2026-01").outcomes == ()


def test_what_is_sealed_never_changes(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    for table in ("invoice", "invoice_line", "scope_seal", "invoice_cut"):
        with pytest.raises(psycopg.errors.RaiseException, match="corrected only by a credit note"):
            conn.execute(f"DELETE FROM {table}")
    with pytest.raises(psycopg.errors.RaiseException):
        conn.execute("UPDATE invoice SET gross = 0")


def test_numbers_begin_anew_each_year(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    ledger.meter(conn, "srv-0", "net.tx_bytes", "eth0", 0, END + DAY, END + 2 * DAY)
    next_year = close_month(billing_url, "2026-03", issued_at=CLOSED + timedelta(days=300))
    assert statuses(next_year) == [Status.WAITING]  # the server has not reported past March
    conn.execute("UPDATE server_state SET at_ms = %s", (int(CLOSED.timestamp() * 1000),))
    next_year = close_month(billing_url, "2026-03", issued_at=CLOSED + timedelta(days=300))
    assert [one.number for one in next_year.outcomes] == ["RM-2027-000001"]


@pytest.mark.parametrize("month", ["2026-13", "2026", "march", ""])
def test_a_month_that_is_none(billing_url: str, month: str) -> None:
    with pytest.raises(ConfigError, match="is no month"):
        close_month(billing_url, month)


def test_a_database_that_is_gone_is_said_in_one_sentence(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 1)

    def cut(progress: Progress) -> None:
        if progress.step == "freeze":
            wait_for_the_server_to_notice(conn)

    with pytest.raises(DependencyError, match=r"Nothing is half done; close again\.$"):
        close_month(billing_url, progress=cut)
    assert statuses(close_month(billing_url)) == [Status.ISSUED]
