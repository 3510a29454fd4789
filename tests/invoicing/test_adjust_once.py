"""Corrections happen once: whoever closes, whatever dies in between; and a year comes out right."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from invoicing.close import Progress
from invoicing.due import sweep
from invoicing.reenter import reenter
from invoicing.report import Status
from schemas.billing import LineKind, Span
from schemas.serial import to_json
from schemas.terms import Commitment, Term
from sinks import timelines
from sinks.database import Connection, connect
from tests.fix_stack import MakeDatabase
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import TB, close_month
from tests.invoicing.test_adjust import APRIL, MAY, corrections, document, late, march
from tests.invoicing.test_close import CLOSERS, DiedError, numbers, whole
from tests.invoicing.worlds import DAY, END, START, month_of

STEPS = ("seal:locked", "seal:numbered", "seal:written", "seal:logged", "seal:committed", "render")


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def two_to_correct(conn: Connection, url: str) -> None:
    """February is sealed for two; then acme-0 used more, and acme-1 turns out to have gone."""
    month_of(conn, 2)
    close_month(url)
    late(conn, "srv-0", TB // 2)
    timelines.end(conn, "item-1", START + 10 * DAY)
    reported(conn, APRIL)


def the_books_are_right(conn: Connection) -> None:
    """One invoice for March, one credit note, and for February what it comes to by now."""
    assert numbers(conn) == sorted([*whole(3), "RM-2026-C000001"])
    billed = conn.execute(
        "SELECT account_id, sum(l.net) FROM invoice_line l JOIN invoice USING (invoice_id)"
        " WHERE l.line_key LIKE '%2026-02-01T00:00:00Z%' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert billed == [
        ("acme-0", Decimal("49.00") + Decimal("1.94")),
        ("acme-1", Decimal("19.99") + Decimal("19.17")),
    ]
    rows = conn.execute("SELECT scope_id, look, invoice_id IS NULL FROM adjustment ORDER BY 1, 2")
    assert rows.fetchall() == [("item-0", 1, False), ("item-1", 1, False)]
    assert conn.execute("SELECT count(*) FROM adjustment_line").fetchone() == (3,)
    assert conn.execute("SELECT * FROM adjust_due").fetchall() == []


@pytest.mark.parametrize("account", ["acme-0", "acme-1"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_and_the_next_close_finishes(
    conn: Connection, billing_url: str, tmp_path: Path, step: str, account: str
) -> None:
    two_to_correct(conn, billing_url)

    def die(progress: Progress) -> None:
        if (progress.step, progress.account) == (step, account):
            raise DiedError

    with pytest.raises(DiedError):
        close_month(billing_url, "2026-03", folder=tmp_path, progress=die)
    report = close_month(billing_url, "2026-03", folder=tmp_path)
    assert report.exit_code == 0
    the_books_are_right(conn)
    assert len(list(tmp_path.glob("*.pdf"))) == 2
    again = close_month(billing_url, "2026-03", folder=tmp_path)
    assert {one.status for one in again.outcomes} == {Status.EXISTS}
    the_books_are_right(conn)


def test_five_at_once_correct_once(conn: Connection, billing_url: str) -> None:
    two_to_correct(conn, billing_url)
    ready = threading.Barrier(CLOSERS)
    waited = threading.local()

    def together(progress: Progress) -> None:
        if progress.step == "reconciled" and not hasattr(waited, "once"):
            waited.once = True
            ready.wait(60)

    def one(_: int) -> int:
        return close_month(billing_url, "2026-03", progress=together).exit_code

    with ThreadPoolExecutor(CLOSERS) as pool:
        assert list(pool.map(one, range(CLOSERS))) == [0] * CLOSERS
    the_books_are_right(conn)


def test_what_comes_between_the_snapshot_and_the_seal_is_found(
    conn: Connection, billing_url: str
) -> None:
    """A sweep in between cannot know the seal yet; the seal notes it itself."""
    month_of(conn, 1)

    def meanwhile(progress: Progress) -> None:
        if progress.step == "reconciled":
            late(conn, "srv-0", TB // 2)
            sweep(conn)

    (first,) = close_month(billing_url, progress=meanwhile).outcomes
    assert first.net == Decimal("50.29")
    assert conn.execute("SELECT scope_id, why FROM adjust_due").fetchall() == [("item-0", "usage")]
    (second,) = march(billing_url, conn).outcomes
    assert [net for *_, net in corrections(document(conn, second))] == [Decimal("0.65")]


def test_a_topic_that_came_after_the_seal_is_above_its_cut(
    conn: Connection, billing_url: str
) -> None:
    """Its offsets begin at 0 again."""
    month_of(conn, 1)
    close_month(billing_url)
    late(conn, "srv-0", TB // 2)
    conn.execute(
        "INSERT INTO ingest_topic VALUES (gen_random_uuid(), 'c', 'usage.reports.2', 2,"
        " 'LogAppendTime', now(), 1);"
        "INSERT INTO ingest_offset (topic_id, part, next_offset, append_ms)"
        " SELECT t.topic_id, part, 5, append_ms FROM ingest_offset, ingest_topic t"
        " WHERE t.number = 1;"
        "UPDATE usage_late SET ckpt_offset = (1::bigint << 40) + 3"
    )
    (outcome,) = march(billing_url, conn).outcomes
    assert [net for *_, net in corrections(document(conn, outcome))] == [Decimal("0.65")]


def committed_a_year(conn: Connection, amount: str) -> None:
    """The scope of acme-0 pays at least that in the year that ends with March."""
    year = Span(datetime(2025, 4, 1, tzinfo=UTC), APRIL)
    terms = [Commitment("minimum", year, Decimal(amount), Term.YEAR, "hosting")]
    conn.execute("INSERT INTO catalog_version VALUES ('c', %s, '', '', %s)", (START, START))
    conn.execute(
        "INSERT INTO contract (version, base, scope_id, valid, discounts, commitments, entered_at)"
        " VALUES ('c', '2026-01', 'item-0', tstzrange(%s, %s), '[]', %s, %s)",
        (year.start, year.end, Jsonb(to_json(terms)), START),
    )


def test_usage_that_comes_after_the_year_was_settled(conn: Connection, billing_url: str) -> None:
    """+0.65 for February, −0.65 off the true-up that March charged; and nothing after that."""
    month_of(conn, 1)
    committed_a_year(conn, "200.00")
    close_month(billing_url)
    settled = document(conn, march(billing_url, conn).outcomes[0])
    (true_up,) = [row.line for row in settled.lines if row.line.kind is LineKind.TRUE_UP]
    assert true_up.net == Decimal("200.00") - Decimal("50.29") - Decimal("49.00")
    late(conn, "srv-0", TB // 2)
    reported(conn, MAY)
    april = close_month(billing_url, "2026-04", issued_at=MAY + DAY)
    paper = document(conn, april.outcomes[0])
    assert [net for *_, net in corrections(paper)] == [Decimal("0.65"), Decimal("-0.65")]
    assert [one.priced.inputs.period.start for one in paper.adjusted] == [START, END]
    late(conn, "srv-0", 1000)
    assert close_month(billing_url, "2026-04", issued_at=MAY + DAY).unbilled == ()


def test_usage_that_comes_before_the_year_is_settled(conn: Connection, billing_url: str) -> None:
    """The true-up counts what the same invoice corrects."""
    month_of(conn, 1)
    committed_a_year(conn, "200.00")
    close_month(billing_url)
    late(conn, "srv-0", TB // 2)
    paper = document(conn, march(billing_url, conn).outcomes[0])
    nets = [row.line.net for row in paper.lines]
    due = Decimal("200.00") - Decimal("50.29") - Decimal("0.65") - Decimal("49.00")
    assert sorted(nets) == sorted([Decimal("49.00"), Decimal("0.00"), due, Decimal("0.65")])
    late(conn, "srv-0", 1000)
    assert close_month(billing_url, "2026-03").unbilled == ()


def test_a_credit_note_that_a_restore_lost_is_not_written_twice(
    conn: Connection, billing_url: str, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """What it corrected is not known any more: the account waits until it is entered again."""
    log = tmp_path / "numbers.log"
    month_of(conn, 2)
    close_month(billing_url, numbers=log)
    timelines.end(conn, "item-1", START + 10 * DAY)
    late(conn, "srv-0", TB // 2)
    reported(conn, APRIL)
    conn.close()
    older = make_database(str(conninfo_to_dict(billing_url)["dbname"]))
    issued = close_month(billing_url, "2026-03", numbers=log, folder=tmp_path)
    assert sorted(o.number or "" for o in issued.outcomes) == ["RM-2026-000003", "RM-2026-C000001"]
    waiting = close_month(older, "2026-03", numbers=log)
    assert {(one.account, one.status) for one in waiting.outcomes} == {
        ("acme-0", Status.WAITING), ("acme-1", Status.WAITING),
    }  # fmt: skip
    with connect(older, autocommit=True) as back:
        for number in ("RM-2026-000003", "RM-2026-C000001"):
            reenter(back, tmp_path / f"{number}.json", log)
        again = close_month(older, "2026-03", numbers=log)
        assert again.unbilled == ()
        found = [(one.number, one.status) for one in again.outcomes]
        assert found == [("RM-2026-000003", Status.EXISTS)]
        rows = back.execute(
            "SELECT scope_id, look, invoice_id IS NULL FROM adjustment ORDER BY 1, 2"
        )
        # What had been noted before the restore is looked at once more, and comes to nothing.
        assert rows.fetchall() == [
            ("item-0", 1, False),
            ("item-0", 2, True),
            ("item-1", 1, False),
            ("item-1", 2, True),
        ]
