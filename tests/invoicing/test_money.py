"""Credit, tax and the journal in closes: what is on the invoice is what is in the books."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from invoicing.document import Document
from invoicing.explain import explain
from invoicing.export import load as load_document
from invoicing.reenter import reenter
from invoicing.report import Status
from invoicing.verify import verify
from pipeline.catalog import load
from schemas.terms import CreditKind, TaxMode, TaxProfile
from sinks import timelines, wallet
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.journal import balance, entries, trial_balance
from sinks.tax_profiles import set_profile
from sinks.wallet import Grant
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, TEXT, close_month, numbers_of
from tests.invoicing.worlds import START, account, month_of
from tests.sinks.roles import login_of

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
RENT = """
[plan.ahead]
name = "Ahead"
rent = { price = "60.00 / month", bill = "advance", tax = "hosting" }
"""
AHEAD = TEXT + RENT
FIRST = "RM-2026-000001"
NET = Decimal("50.29")
"""Of the first account of ``month_of``: 49.00 of rent and 1.29 of traffic."""


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def credit(
    conn: Connection, name: str, kind: CreditKind, amount: str, account: str = "acme-0"
) -> None:
    wanted = Grant(account, name, kind, Decimal(amount), ENTERED)
    assert wallet.grant(conn, wanted, "test", ENTERED, "bank")


def paper(conn: Connection, number: str = FIRST) -> Document:
    row = conn.execute("SELECT invoice_id FROM invoice WHERE number = %s", (number,)).fetchone()
    assert row is not None
    return load_document(conn, str(row[0]))[0]


def sums(document: Document) -> list[str]:
    totals = document.totals
    return [str(one) for one in (totals.net, totals.tax, totals.gross, totals.due)]


def books(conn: Connection, account: str = "acme-0") -> dict[str, str]:
    assert sum(one.amount for one in trial_balance(conn)) == 0
    return {one.ledger: str(one.amount) for one in balance(conn, account)}


def status(conn: Connection, number: str = FIRST) -> tuple[str, str]:
    row = conn.execute(
        "SELECT status, balance FROM invoice_status WHERE number = %s", (number,)
    ).fetchone()
    assert row is not None
    return row[0], str(row[1])


def test_an_invoice_without_credit_is_in_the_books(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    assert close_month(billing_url).exit_code == 0
    assert sums(paper(conn)) == ["50.29", "9.56", "59.85", "59.85"]
    assert books(conn) == {"receivable": "59.85", "revenue": "-50.29", "tax": "-9.56"}
    assert [str(p.month) for p in entries(conn)[0].postings] == ["None", "2026-02-01", "None"]
    assert status(conn) == ("open", "59.85")


def test_credit_is_drawn_promotional_before_paid(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 1)
    credit(conn, "welcome", CreditKind.PROMOTIONAL, "20.00")
    credit(conn, "prepaid", CreditKind.PAID, "30.00")
    credit(conn, "of another", CreditKind.PAID, "30.00", account="acme-0")
    report = close_month(billing_url, folder=tmp_path)
    assert report.exit_code == 0, report
    document = paper(conn)
    assert sums(document) == ["30.29", "5.76", "36.05", "0.00"]
    assert [(one.credit, str(one.amount)) for one in document.paid] == [
        ("of another", "30.00"), ("prepaid", "6.05"),
    ]  # fmt: skip
    assert books(conn) == {
        "bank": "60.00", "promotion": "20.00", "receivable": "0.00", "revenue": "-50.29",
        "tax": "-5.76", "wallet": "-23.95",
    }  # fmt: skip
    assert status(conn) == ("paid", "0.00")
    explained = explain(conn, f"{FIRST}/3")
    assert explained.line is not None
    assert (explained.line.title, explained.differences) == ("credit welcome", ())
    held = {one.grant.credit: str(one.left) for one in wallet.history(conn)}
    assert held == {"welcome": "0.00", "prepaid": "23.95", "of another": "0.00"}
    assert verify(tmp_path / f"{FIRST}.json") == []
    assert verify(tmp_path / f"{FIRST}.pdf") == []


@pytest.mark.parametrize(
    ("mode", "expected", "in_books"),
    [
        (TaxMode.EXCLUSIVE, ["50.29", "9.56", "59.85", "59.85"], "-50.29"),
        (TaxMode.INCLUSIVE, ["42.26", "8.03", "50.29", "50.29"], "-42.26"),
        (TaxMode.REVERSE_CHARGE, ["50.29", "0.00", "50.29", "50.29"], "-50.29"),
    ],
)
def test_the_dated_profile_decides_about_tax(
    conn: Connection, billing_url: str, mode: TaxMode, expected: list[str], in_books: str
) -> None:
    month_of(conn, 1)
    profile = TaxProfile(
        mode, country="FR", vat_id="FR40303265045", evidence="VIES 1", checked_at=ENTERED
    )
    set_profile(conn, "acme-0", profile, ENTERED, "test", ENTERED)
    later = TaxProfile(TaxMode.EXCLUSIVE, country="DE")
    set_profile(conn, "acme-0", later, datetime(2026, 3, 1, tzinfo=UTC), "test", CLOSED)
    assert close_month(billing_url).exit_code == 0
    document = paper(conn)
    assert sums(document) == expected
    assert document.profile.mode is mode
    assert document.buyer.vat_id == "FR40303265045"
    assert books(conn)["revenue"] == in_books


def test_reverse_charge_that_nobody_confirmed_parks_the_invoice(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 2)
    profile = TaxProfile(TaxMode.REVERSE_CHARGE, country="FR", vat_id="FR40303265045")
    set_profile(conn, "acme-0", profile, ENTERED, "test", ENTERED)
    parked, issued = close_month(billing_url).outcomes
    assert (parked.status, issued.status) == (Status.PARKED, Status.ISSUED)
    assert parked.reasons[0].startswith(
        "Account acme-0 is taxed by reverse charge, but its VAT id FR40303265045 is not confirmed:"
    )
    assert books(conn) == {}


def test_fees_in_advance_become_revenue_when_their_month_closes(
    conn: Connection, billing_url: str
) -> None:
    catalog = load(AHEAD, "ahead.toml")
    apply(conn, catalog, AHEAD, ENTERED)
    ledger.topic(conn, CLOSED)
    account(conn, "acme-0")
    timelines.rent(
        conn, item="it", title="It", plan="ahead", account="acme-0", server="srv", at=START,
        catalog=catalog, entered_at=ENTERED,
    )  # fmt: skip
    assert close_month(billing_url, "2026-02").exit_code == 0
    assert books(conn) == {
        "deferred": "-60.00", "receivable": "142.80", "revenue": "-60.00", "tax": "-22.80",
    }  # fmt: skip
    assert close_month(billing_url, "2026-03").exit_code == 0
    assert books(conn)["deferred"] == "-60.00", "March's are revenue, April's are not"
    assert books(conn)["revenue"] == "-120.00"
    timelines.end(conn, "it", APRIL, CLOSED)
    note, again = close_month(billing_url, "2026-03").outcomes
    assert (again.status, note.net) == (Status.EXISTS, Decimal("-60.00")), "April's comes back"
    months = [
        (str(p.month), p.ledger, str(p.amount))
        for one in entries(conn, kind="recognition")
        for p in one.postings
    ]
    assert months == [("2026-03-01", "deferred", "60.00"), ("2026-03-01", "revenue", "-60.00")]


def test_two_closes_do_not_draw_the_same_credit(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    credit(conn, "prepaid", CreditKind.PAID, "30.00")
    barrier = threading.Barrier(3)

    def one_close(_: int) -> int:
        barrier.wait()
        return close_month(billing_url).exit_code

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(one_close, range(3))) == [0, 0, 0]
    (held,) = wallet.history(conn)
    assert [(reference, str(amount)) for reference, amount, _ in held.draws] == [(FIRST, "30.00")]
    assert sums(paper(conn))[3] == "29.85"


def test_a_wallet_that_changes_before_the_seal_is_seen(conn: Connection, billing_url: str) -> None:
    """The credit is granted when everything is priced: the invoice is made again with it."""
    month_of(conn, 1)
    granted: list[str] = []

    def meanwhile(progress: object) -> None:
        if getattr(progress, "step", "") == "reconciled" and not granted:
            granted.append("prepaid")
            credit(conn, "prepaid", CreditKind.PAID, "30.00")

    assert close_month(billing_url, progress=meanwhile).exit_code == 0
    assert [one.credit for one in paper(conn).paid] == ["prepaid"]


def test_what_was_entered_again_is_in_wallet_and_books(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """The database forgets the invoice, as one does that is restored from an older backup."""
    month_of(conn, 1)
    credit(conn, "prepaid", CreditKind.PAID, "30.00")
    before = books(conn)
    assert close_month(billing_url, folder=tmp_path).exit_code == 0
    after = books(conn)
    with psycopg.connect(billing_url) as forget:
        forget.execute("SET session_replication_role = replica")
        for table in ("scope_seal", "invoice_line", "invoice_cut", "invoice", "wallet_draw"):
            forget.execute(f"DELETE FROM {table}".encode())
        forget.execute(
            "DELETE FROM journal_posting WHERE entry_id IN"
            " (SELECT entry_id FROM journal_entry WHERE kind <> 'grant')"
        )
        forget.execute("DELETE FROM journal_entry WHERE kind <> 'grant'")
        forget.execute("UPDATE wallet_credit SET drawn = 0")
    assert books(conn) == before
    close_month(billing_url)  # notes that the number is outside
    reenter(conn, tmp_path / f"{FIRST}.json", numbers_of(billing_url))
    assert books(conn) == after
    assert [str(one.left) for one in wallet.history(conn)] == ["0.00"]


def test_a_credit_note_is_booked_on_the_invoice_that_it_corrects(
    conn: Connection, billing_url: str
) -> None:
    """The rental had ended on the 10th, which was entered when February was invoiced."""
    month_of(conn, 1)
    assert close_month(billing_url).exit_code == 0
    timelines.end(conn, "item-0", datetime(2026, 2, 10, tzinfo=UTC), CLOSED)
    report = close_month(billing_url, issued_at=CLOSED.replace(month=5))
    assert report.exit_code == 0, report
    row = conn.execute("SELECT number FROM invoice WHERE kind = 'credit-note'").fetchone()
    assert row is not None
    note = paper(conn, row[0])
    assert (note.corrects, note.totals.gross < 0) == (FIRST, True)
    first = paper(conn)
    told = books(conn)
    assert told["receivable"] == str(first.totals.gross + note.totals.gross)
    assert told["revenue"] == str(-first.totals.net - note.totals.net)
    assert told["tax"] == str(-first.totals.tax - note.totals.tax)
    (entry,) = entries(conn, kind="credit-note")
    assert (entry.reference, {p.invoice for p in entry.postings}) == (row[0], {FIRST, ""})
    assert status(conn) == ("partly paid", told["receivable"])


def test_who_may_only_close_draws_and_books(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    credit(conn, "prepaid", CreditKind.PAID, "30.00")
    report = close_month(login_of(billing_url, "invoicer"), numbers=numbers_of(billing_url))
    assert report.exit_code == 0, report
    assert sums(paper(conn))[3] == "29.85"
    assert books(conn)["receivable"] == "29.85"
