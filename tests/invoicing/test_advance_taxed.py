"""Fees in advance across a change of the tax rate: what is taken off has the rate at which it was
billed, in invoices, in credit notes, in corrections, in the books and in the file.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.causes import TREATMENT
from invoicing.document import CREDIT_NOTE, INVOICE, Document
from invoicing.documents.einvoice import einvoice
from invoicing.due import due
from invoicing.explain import explain
from invoicing.export import load
from invoicing.rerate import rerate
from invoicing.verify import verify
from pipeline.catalog import load as load_catalog
from schemas.terms import CreditKind, TaxMode, TaxProfile, TaxRounding
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.journal import balance, trial_balance
from sinks.tax_profiles import set_profile
from sinks.wallet import Grant, grant, history
from tests.invoicing import ledger
from tests.invoicing.en16931 import broken
from tests.invoicing.scenario import CATALOG, CLOSED, ENTERED, close_month
from tests.invoicing.test_taken_back import AHEAD
from tests.invoicing.worlds import DAY, END, START, account

FIRST, SECOND = "RM-2026-000001", "RM-2026-000002"
TENTH, APRIL, LATE = END + 10 * DAY, END + 31 * DAY, CLOSED + DAY


def two_ahead(conn: Connection) -> None:
    """Two items at 60.00 a month, billed in advance, since February."""
    catalog = load_catalog(AHEAD, "ahead.toml")
    apply(conn, catalog, AHEAD, ENTERED)
    ledger.topic(conn, CLOSED)
    account(conn, "acme-0")
    for item in ("ends", "stays"):
        timelines.rent(
            conn, item=item, title=item, plan="ahead", account="acme-0",
            server=f"srv-{item}", at=START, catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        two_ahead(conn)
        yield conn


def closed(url: str, month: str, rate: str, folder: Path) -> None:
    """That month, by a seller whose rate is by now."""
    seller = replace(CATALOG.seller, tax={"hosting": Decimal(rate)})
    report = close_month(url, month, seller=seller, folder=folder)
    assert report.exit_code == 0, report
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.pdf"))
    assert files
    assert [verify(file) for file in files] == [[]] * len(files)


def paper(conn: Connection, number: str) -> Document:
    row = conn.execute("SELECT invoice_id FROM invoice WHERE number = %s", (number,)).fetchone()
    assert row is not None
    document = load(conn, str(row[0]))[0]
    xml = einvoice(document)
    assert xml is not None
    assert broken(xml) == []
    for position in range(1, len(document.lines) + 1):
        assert explain(conn, f"{number}/{position}").differences == ()
    return document


def said(document: Document) -> list[str]:
    return [f"{row.line.item} {row.line.net} at {row.rate}" for row in document.lines]


def taxes(document: Document) -> list[str]:
    return [f"{one.tax} of {one.base} at {one.rate}" for one in document.taxes]


def owed(conn: Connection) -> dict[str, Decimal]:
    assert sum(one.amount for one in trial_balance(conn)) == 0
    return {one.ledger: one.amount for one in balance(conn, "acme-0")}


def end(conn: Connection, *items: str, at: datetime = TENTH) -> None:
    for item in items:
        timelines.end(conn, item, at, ENTERED + DAY)


def test_what_ends_early_comes_back_with_the_tax_that_it_had(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """March was billed at 19 %; by now it is 16 %. Ten of 31 days are 19.35."""
    closed(billing_url, "2026-02", "19", tmp_path)
    end(conn, "ends")
    closed(billing_url, "2026-03", "16", tmp_path)
    invoice = paper(conn, SECOND)
    both = [f"stays {line}" for line in ("60.00 at 16", "-60.00 at 19", "60.00 at 16")]
    assert said(invoice) == ["ends 19.35 at 16", "ends -60.00 at 19", *both]
    # 139.35 × 16 % = 22.296; of what is taken back the 22.80 that were charged
    assert taxes(invoice) == ["22.30 of 139.35 at 16", "-22.80 of -120.00 at 19"]
    assert (invoice.kind, str(invoice.totals.gross)) == (INVOICE, "18.85")
    assert owed(conn)["tax"] == -(4 * Decimal("11.40") - Decimal("0.50"))
    told = explain(conn, f"{SECOND}/2").to_text()
    assert "taken off at the tax rate at which it was billed, 19 %" in told


def test_a_last_invoice_takes_back_of_the_invoice_that_charged_it(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """Below zero: a credit note, of what February's invoice charged at its rate."""
    closed(billing_url, "2026-02", "19", tmp_path)
    end(conn, "ends", "stays")
    closed(billing_url, "2026-03", "16", tmp_path)
    note = paper(conn, "RM-2026-C000001")
    assert (note.kind, note.corrects) == (CREDIT_NOTE, FIRST)
    assert taxes(note) == ["6.19 of 38.70 at 16", "-22.80 of -120.00 at 19"]
    assert [(one.invoice, one.rate, one.back, one.back_tax) for one in note.taken] == [
        (FIRST, Decimal(19), Decimal("120.00"), Decimal("22.80"))
    ]
    # February at 19 %, March's days at 16 %
    assert owed(conn)["tax"] == -(2 * Decimal("11.40") + Decimal("6.19"))
    assert owed(conn)["revenue"] == -(2 * Decimal("60.00") + Decimal("38.70"))


@pytest.mark.parametrize(
    ("before", "by_now", "lines", "of_march", "books"),
    [
        ("19", "16", ["60.00 at 16", "-60.00 at 19", "60.00 at 16"],
         ["38.40 of 240.00 at 16", "-22.80 of -120.00 at 19"], "61.20"),
        ("16", "19", ["60.00 at 19", "-60.00 at 16", "60.00 at 19"],
         ["-19.20 of -120.00 at 16", "45.60 of 240.00 at 19"], "64.80"),
        ("19", "19", ["60.00 at 19"], ["22.80 of 120.00 at 19"], "68.40"),
    ],
)  # fmt: skip
def test_what_came_to_what_was_billed_has_the_rate_of_its_month(
    conn: Connection, billing_url: str, tmp_path: Path, before: str, by_now: str,
    lines: list[str], of_march: list[str], books: str,
) -> None:  # fmt: skip
    """§ 27 (1) UStG: of February at its rate, of March and April at March's."""
    closed(billing_url, "2026-02", before, tmp_path)
    closed(billing_url, "2026-03", by_now, tmp_path)
    invoice = paper(conn, SECOND)
    expected = [f"{item} {line}" for item in ("ends", "stays") for line in lines]
    assert (said(invoice), taxes(invoice)) == (expected, of_march)
    told = explain(conn, f"{SECOND}/2").to_text()
    assert ("the period has another rate" in told) is (before != by_now)
    assert owed(conn)["tax"] == -Decimal(books)
    closed(billing_url, "2026-03", by_now, tmp_path)
    again = conn.execute("INSERT INTO adjust_due (scope_id, period_start, why)"
                         " SELECT scope_id, period_start, 'usage' FROM scope_seal")  # fmt: skip
    assert again.rowcount == 4
    closed(billing_url, "2026-03", by_now, tmp_path)
    assert documents(conn) == 2, "nothing new"


def test_the_last_one_too(conn: Connection, billing_url: str, tmp_path: Path) -> None:
    """All ends with March: what is left of it is the difference of the tax."""
    closed(billing_url, "2026-02", "19", tmp_path)
    end(conn, "ends", "stays", at=APRIL)
    closed(billing_url, "2026-03", "16", tmp_path)
    note = paper(conn, "RM-2026-C000001")
    assert (note.kind, note.corrects, str(note.totals.gross)) == (CREDIT_NOTE, FIRST, "-3.60")
    assert taxes(note) == ["19.20 of 120.00 at 16", "-22.80 of -120.00 at 19"]
    assert owed(conn)["tax"] == -(2 * Decimal("11.40") + 2 * Decimal("9.60"))


def test_what_is_known_after_the_seal_has_it_too(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """March came to what was billed, and was sealed; then the rental has ended on the 10th."""
    closed(billing_url, "2026-02", "19", tmp_path)
    closed(billing_url, "2026-03", "16", tmp_path)
    end(conn, "ends")
    closed(billing_url, "2026-03", "16", tmp_path)
    note = paper(conn, "RM-2026-C000001")
    # April's fee was billed at 16 %, and is never to come
    assert sorted(said(note)) == ["ends -40.65 at 16", "ends -60.00 at 16"]
    assert taxes(note) == ["-16.10 of -100.65 at 16"]
    closed(billing_url, "2026-03", "16", tmp_path)
    assert documents(conn) == 3, "nothing new"


@pytest.mark.parametrize(
    ("gift", "gross"),
    [
        # 240.00 of February's invoice, 120.00 of them ahead; back they pay 120.00 of March's 240.00
        ("400.00", ["0.00", "0.00"]),
        # as much as there is: 139.20 for April
        ("240.00", ["0.00", "139.20"]),
    ],
)
def test_no_tax_comes_back_of_what_credit_had_paid(
    conn: Connection, billing_url: str, tmp_path: Path, gift: str, gross: list[str]
) -> None:
    """19 % in February, then 16 %."""
    wanted = Grant("acme-0", "gift", CreditKind.PROMOTIONAL, Decimal(gift), ENTERED)
    grant(conn, wanted, "test", ENTERED, "bank")
    for month, rate in (("2026-02", "19"), ("2026-03", "16")):
        closed(billing_url, month, rate, tmp_path)
    papers = [paper(conn, f"RM-2026-{number:06}") for number in (1, 2)]
    assert [str(one.totals.gross) for one in papers] == gross
    assert all(tax.tax >= 0 for one in papers for tax in one.taxes)
    assert -owed(conn).get("tax", 0) == sum(one.totals.tax for one in papers)
    (held,) = history(conn)
    assert sum(amount for _, amount, _ in held.draws) == min(Decimal(gift), 360)


def documents(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM invoice").fetchone()
    assert row is not None
    return int(row[0])


REVERSE = TaxProfile(
    TaxMode.REVERSE_CHARGE, country="FR", vat_id="FR40303265045", evidence="VIES 1",
    checked_at=ENTERED,
)  # fmt: skip
INCLUSIVE = TaxProfile(TaxMode.INCLUSIVE, country="DE")
DOWN = TaxProfile(rounding=TaxRounding.DOWN, country="DE")


@pytest.mark.parametrize(
    ("profile", "charged", "tax", "books"),
    [
        (REVERSE, ["ends 19.35 at 0", "stays 60.00 at 0", "stays 60.00 at 0"],
         ["0.00 of 139.35 at 0"], "22.80"),
        # 139.35 ÷ 1.19 = 117.10
        (INCLUSIVE, ["ends 19.35 at 19", "stays 60.00 at 19", "stays 60.00 at 19"],
         ["22.25 of 117.10 at 19"], "45.05"),
    ],
)  # fmt: skip
def test_another_tax_treatment_charges_its_months_itself(
    conn: Connection, billing_url: str, tmp_path: Path, profile: TaxProfile, charged: list[str],
    tax: list[str], books: str,
) -> None:  # fmt: skip
    """March was billed with tax on top; from March on it is another. All of it is taken back."""
    closed(billing_url, "2026-02", "19", tmp_path)
    set_profile(conn, "acme-0", profile, END, "test", CLOSED)
    end(conn, "ends")
    assert [one.why for one in rerate(conn, "2026-02").lines] == [(TREATMENT,)] * 2
    closed(billing_url, "2026-03", "19", tmp_path)
    note, invoice = paper(conn, "RM-2026-C000001"), paper(conn, SECOND)
    assert (note.kind, note.corrects, note.profile.mode) == (
        CREDIT_NOTE, FIRST, TaxMode.EXCLUSIVE,
    )  # fmt: skip
    assert said(note) == ["ends -60.00 at 19", "stays -60.00 at 19"]
    assert taxes(note) == ["-22.80 of -120.00 at 19"]
    assert invoice.profile == profile
    assert (said(invoice), taxes(invoice)) == (charged, tax)
    assert owed(conn)["tax"] == -Decimal(books)
    closed(billing_url, "2026-03", "19", tmp_path)
    assert documents(conn) == 3, "nothing new"


@pytest.mark.parametrize(
    ("rule", "before", "profile", "since", "entered", "taken_back"),
    [
        ("known when it was billed", REVERSE, REVERSE, START, ENTERED, False),
        ("of the month after", None, REVERSE, APRIL, CLOSED, False),
        ("from March on", None, REVERSE, END, CLOSED, True),
        ("from within March on: its end decides", None, REVERSE, TENTH, CLOSED, True),
        ("entered late, from February on: its invoice stays", None, REVERSE, START, LATE, True),
        ("new evidence of the same", REVERSE, replace(REVERSE, evidence="2"), END, LATE, False),
        ("another rounding", None, DOWN, END, CLOSED, True),
    ],
)
def test_when_a_treatment_takes_fees_in_advance_back(
    conn: Connection, billing_url: str, rule: str, before: TaxProfile | None, profile: TaxProfile,
    since: datetime, entered: datetime, taken_back: bool,
) -> None:  # fmt: skip
    if before is not None:
        set_profile(conn, "acme-0", before, START, "test", ENTERED)
    assert close_month(billing_url).exit_code == 0
    set_profile(conn, "acme-0", profile, since, "test", entered)
    found = [(one.scope, one.period.start, one.why) for one in due(conn)]
    expected = [(item, START, (TREATMENT,)) for item in ("ends", "stays")]
    assert found == (expected if taken_back else []), rule
    assert due(conn, ["somebody"]) == []
