"""Sealed periods are corrected: usage that came late, commands, prices; once, and to the cent."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from invoicing.causes import TIMELINE, USAGE
from invoicing.document import CREDIT_NOTE, INVOICE, Document
from invoicing.export import load
from invoicing.report import CloseReport, Outcome, Status
from invoicing.rerate import rerate
from invoicing.verify import verify
from schemas.billing import LineKind
from sinks import timelines
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import CATALOG, CLOSED, ENTERED, TB, close_month
from tests.invoicing.worlds import DAY, END, START, account, month_of

APRIL = END + timedelta(days=31)
MAY = APRIL + timedelta(days=30)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def late(conn: Connection, server: str, quantity: int, at: datetime = START) -> None:
    ledger.late(conn, server, quantity, at)


def march(url: str, conn: Connection, **rest: Any) -> CloseReport:
    reported(conn, APRIL)
    return close_month(url, "2026-03", **rest)


def document(conn: Connection, outcome: Outcome) -> Document:
    assert outcome.invoice_id is not None, outcome
    return load(conn, outcome.invoice_id)[0]


def corrections(paper: Document) -> list[tuple[str, str, Decimal]]:
    """Key, corrected key and net of the lines that correct something."""
    return [
        (row.line.key, row.line.corrects, row.line.net)
        for row in paper.lines
        if row.line.kind is LineKind.ADJUSTMENT
    ]


TRAFFIC = "item-0/item-0/traffic/2026-02-01T00:00:00Z/0"
RENT = "item-0/item-0/rent/2026-02-01T00:00:00Z/0"


def test_usage_that_comes_late_is_on_the_next_invoice(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 1)
    first = document(conn, close_month(billing_url).outcomes[0])
    late(conn, "srv-0", TB // 2)
    report = march(billing_url, conn, folder=tmp_path)
    (outcome,) = report.outcomes
    paper = document(conn, outcome)
    assert (outcome.kind, outcome.status) == (INVOICE, Status.ISSUED)
    assert corrections(paper) == [(f"adjust/1/{TRAFFIC}", TRAFFIC, Decimal("0.65"))]
    (entry,) = paper.adjusted
    assert (entry.invoice, entry.number) == (first.number, 1)
    assert paper.lines[-1].line.service == first.lines[1].line.service
    assert paper.totals.net == Decimal("49.00") + Decimal("0.65")
    assert [verify(Path(file)) for file in outcome.files] == [[], []]


def test_closing_again_with_nothing_new_writes_nothing(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    late(conn, "srv-0", TB)
    first = march(billing_url, conn)
    before = contents(conn)
    second = march(billing_url, conn)
    assert [one.status for one in second.outcomes] == [Status.EXISTS]
    assert second.unbilled == ()
    assert contents(conn) == before
    assert [one.number for one in second.invoices] == [one.number for one in first.invoices]


def contents(conn: Connection) -> list[tuple[object, ...]]:
    """Everything that a close writes about money."""
    tables = (
        "invoice",
        "invoice_line",
        "adjustment",
        "adjustment_line",
        "adjust_due",
        "scope_seal",
    )
    return [
        (table, conn.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall())
        for table in tables
    ]


def test_less_than_was_billed_is_a_credit_note_that_names_the_invoice(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 1)
    first = document(conn, close_month(billing_url).outcomes[0])
    timelines.end(conn, "item-0", START + 10 * DAY)
    report = close_month(billing_url, folder=tmp_path)
    note, invoice = report.outcomes
    paper = document(conn, note)
    assert (note.kind, note.corrects, note.number) == (CREDIT_NOTE, first.number, "RM-2026-C000001")
    assert paper.period == first.period
    # 240 hours at 0.0833 instead of the cap of 49.00; the allowance shrinks to 10 / 28 of 20 TB
    assert corrections(paper) == [
        (f"adjust/1/{RENT}", RENT, Decimal("19.99") - Decimal("49.00")),
        (f"adjust/1/{TRAFFIC}", TRAFFIC, Decimal("17.88") - Decimal("1.29")),
    ]
    assert paper.totals.gross == Decimal("-12.42") - Decimal("2.36")
    assert [verify(Path(file)) for file in note.files] == [[], []]
    assert invoice.status is Status.EXISTS
    again = close_month(billing_url)
    assert [(one.number, one.status) for one in again.outcomes] == [
        (note.number, Status.EXISTS), (invoice.number, Status.EXISTS),
    ]  # fmt: skip
    assert again.totals() == report.totals()


def test_less_than_the_threshold_rides_on_the_next_invoice(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    late(conn, "srv-0", -TB // 2)
    waiting = close_month(billing_url)
    assert [one.status for one in waiting.outcomes] == [Status.EXISTS]
    assert [(one.net, one.goes) for one in waiting.unbilled] == [(Decimal("-0.64"), "next invoice")]
    (outcome,) = march(billing_url, conn).outcomes
    assert corrections(document(conn, outcome)) == [
        (f"adjust/1/{TRAFFIC}", TRAFFIC, Decimal("-0.64"))
    ]


def test_corrections_of_one_period_add_up(conn: Connection, billing_url: str) -> None:
    """Whatever came in whichever order: invoice and corrections are the price of all of it."""
    month_of(conn, 1)
    close_month(billing_url)
    late(conn, "srv-0", TB // 2)
    first = document(conn, march(billing_url, conn).outcomes[0])
    late(conn, "srv-0", TB, START + DAY)
    timelines.end(conn, "item-0", END - DAY)
    report = close_month(billing_url, "2026-03")
    own = [document(conn, one) for one in (report.credit_notes[0], report.invoices[0])]
    assert [(paper.period.start, paper.adjusted[0].number) for paper in own] == [
        (END, 1),
        (START, 2),
    ]
    billed = conn.execute(
        "SELECT sum(l.net) FROM invoice_line l JOIN invoice USING (invoice_id)"
        " WHERE l.line_key LIKE '%%2026-02-01T00:00:00Z%%'"
    ).fetchone()
    assert billed is not None
    # 648 hours are still above the cap; 22.5 TB less 27 / 28 of 20 TB, rounded up
    assert billed[0] == Decimal("49.00") + Decimal("4.15")
    assert corrections(first)[0][2] == Decimal("0.65")


def test_a_late_hand_over_corrects_both_accounts(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    account(conn, "other")
    timelines.hand_over(
        conn, "item-0", to="item-x", account="other", at=START + 14 * DAY, catalog=CATALOG,
        entered_at=CLOSED,
    )  # fmt: skip
    reported(conn, APRIL)
    report = close_month(billing_url, "2026-03")
    said = [(o.account, o.kind, o.status, o.period.start, o.net) for o in report.outcomes]
    assert said == [
        # acme: 336 hours are 27.99, 21 TB less 10 TB are 14.19; billed were 49.00 and 1.29
        ("acme-0", CREDIT_NOTE, Status.ISSUED, START, Decimal("42.18") - Decimal("50.29")),
        ("other", INVOICE, Status.ISSUED, START, Decimal("27.99")),
        ("other", INVOICE, Status.ISSUED, END, Decimal("49.00")),
    ]


def test_an_account_that_has_ended_gets_a_document_of_its_own(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 1)
    timelines.end(conn, "item-0", END)
    first = close_month(billing_url).outcomes[0]
    late(conn, "srv-0", TB // 2)
    report = close_month(billing_url, "2026-03")
    (outcome,) = report.outcomes
    assert (outcome.kind, outcome.period.start, outcome.net) == (INVOICE, START, Decimal("0.65"))
    assert outcome.number != first.number
    assert document(conn, outcome).lines[0].line.corrects == TRAFFIC


def test_what_comes_to_the_same_is_looked_at_once(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    late(conn, "srv-0", 1000)
    report = close_month(billing_url)
    assert report.unbilled == ()
    assert conn.execute("SELECT look, invoice_id FROM adjustment").fetchall() == [(1, None)]
    assert conn.execute("SELECT * FROM adjust_due").fetchall() == []
    close_month(billing_url)
    assert conn.execute("SELECT count(*) FROM adjustment").fetchone() == (1,)


def test_a_dry_run_lists_what_is_not_billed_and_writes_nothing(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 2)
    close_month(billing_url)
    late(conn, "srv-0", TB)
    timelines.end(conn, "item-1", START + 10 * DAY)
    before = contents(conn)
    report = march(billing_url, conn, dry_run=True)
    assert [(o.account, o.invoice, o.goes, o.why) for o in report.unbilled] == [
        ("acme-0", "RM-2026-000001", "next invoice", ("usage",)),
        ("acme-1", "RM-2026-000002", CREDIT_NOTE, ("timeline",)),
    ]
    assert [(one.kind, one.status) for one in report.outcomes] == [
        (INVOICE, Status.DRAFT), (CREDIT_NOTE, Status.DRAFT),
    ]  # fmt: skip
    assert contents(conn) == before


def test_a_silent_server_that_reports_after_the_seal(conn: Connection, billing_url: str) -> None:
    """Its open window was counted as it was; what comes of it is no late entry."""
    month_of(conn, 1)
    silent = END - 2 * DAY
    conn.execute(
        "INSERT INTO item_interval VALUES ('item-0', 'maintenance', tstzrange(%s, %s), '', %s)",
        (silent - DAY, END, ENTERED),
    )
    at_ms = int(silent.timestamp() * 1000)
    conn.execute(
        "UPDATE server_state SET at_ms = %s + 60000, win_ms = %s, open = ARRAY[500],"
        " last = ARRAY[last[1] + 500]",
        (at_ms, at_ms),
    )
    close_month(billing_url)
    assert conn.execute("SELECT server_id, look, qty FROM seal_open").fetchall() == [
        ("srv-0", 0, [500])
    ]
    conn.execute(
        "INSERT INTO usage_window SELECT server_id, to_timestamp(win_ms / 1000), set_id,"
        " ARRAY[500 + 10^12]::bigint[], 300000, 0, 1005 FROM server_state"
    )
    conn.execute("UPDATE ingest_offset SET next_offset = 1010")
    conn.execute("UPDATE server_state SET open = ARRAY[0], last = ARRAY[last[1] + 10^12::bigint]")
    (outcome,) = march(billing_url, conn).outcomes
    assert corrections(document(conn, outcome)) == [
        (f"adjust/1/{TRAFFIC}", TRAFFIC, Decimal("1.29"))
    ]


def test_a_difference_in_what_is_priced_again_parks_the_correction(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 2)
    close_month(billing_url)
    timelines.end(conn, "item-0", START + 10 * DAY)
    conn.execute("UPDATE server_state SET last = ARRAY[1] WHERE server_id = 'srv-0'")
    report = close_month(billing_url)
    assert [(one.account, one.status) for one in report.outcomes] == [
        ("acme-0", Status.PARKED), ("acme-0", Status.EXISTS), ("acme-1", Status.EXISTS),
    ]  # fmt: skip
    assert report.exit_code == 3
    said = "SELECT status, correction, corrects FROM close_outcome WHERE account_id = 'acme-0'"
    first = str(report.outcomes[1].number)
    assert sorted(conn.execute(said).fetchall()) == [("issued", False, ""), ("parked", True, first)]
    conn.execute("UPDATE server_state SET last = ARRAY[21 * 10^12::bigint]")
    again = close_month(billing_url, issued_at=CLOSED + DAY)
    assert again.outcomes[0].status is Status.ISSUED
    assert sorted(conn.execute(said).fetchall()) == [("issued", False, ""), ("issued", True, first)]


def test_a_rental_entered_after_its_month_was_closed(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    close_month(billing_url)
    timelines.rent(
        conn, item="item-9", title="AX server item-9", plan="ax-hourly", account="acme-0",
        server="srv-9", at=START + 14 * DAY, catalog=CATALOG, entered_at=CLOSED,
    )  # fmt: skip
    ledger.meter(conn, "srv-9", "net.tx_bytes", "eth0", TB, START + 14 * DAY, START + 15 * DAY)
    ledger.settle(conn, "srv-9", APRIL)
    report = march(billing_url, conn)
    assert [(o.period.start, o.scopes, o.net) for o in report.outcomes] == [
        (START, ("item-9",), Decimal("27.99")),
        (END, ("item-0", "item-9"), Decimal("98.00")),
    ]


def test_the_ledger_helper_keeps_the_law(conn: Connection) -> None:
    month_of(conn, 1)
    late(conn, "srv-0", 7)
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


def test_rerating_shows_each_line_and_why(conn: Connection, billing_url: str) -> None:
    month_of(conn, 3)
    close_month(billing_url)
    late(conn, "srv-0", TB)
    timelines.end(conn, "item-1", START + 10 * DAY)
    before = contents(conn)
    found = rerate(conn, "2026-02")
    assert (found.periods, found.refused) == (3, ())
    assert [(x.account, x.billed, x.now, x.difference, x.why) for x in found.lines] == [
        ("acme-0", Decimal("1.29"), Decimal("2.58"), Decimal("1.29"), (USAGE,)),
        ("acme-1", Decimal("49.00"), Decimal("19.99"), Decimal("-29.01"), (TIMELINE,)),
        ("acme-1", Decimal("2.58"), Decimal("19.17"), Decimal("16.59"), (TIMELINE,)),
    ]
    assert contents(conn) == before
    assert rerate(conn, "2026-02", ["acme-2"]).lines == ()
