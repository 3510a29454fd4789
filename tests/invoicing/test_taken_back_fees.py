"""Promotional credit that paid a fee in advance, which comes back: as credit, not as money."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.document import CREDIT_NOTE, INVOICE, Document
from invoicing.documents.einvoice import einvoice
from invoicing.explain import explain
from invoicing.export import load
from invoicing.verify import verify
from pipeline.catalog import load as load_catalog
from schemas.billing import LineKind
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.journal import balance, trial_balance
from tests.invoicing.en16931 import broken
from tests.invoicing.scenario import CATALOG, CLOSED, ENTERED, close_month
from tests.invoicing.test_advance_taxed import two_ahead
from tests.invoicing.test_taken_back import AHEAD, kinds, left, promo
from tests.invoicing.worlds import DAY, END

FIRST, SECOND = "RM-2026-000001", "RM-2026-000002"
TENTH = END + 10 * DAY
GONE = CLOSED + DAY
"""Between the closes: what expires here is drawn in February's, not in March's."""
HOURS = """
[plan.hours]
name = "Hours"
rent = { price = "1.00 / hour", tax = "hosting" }
"""
TO_PAY = Decimal("259.35")
"""Two rentals of 60.00: February, March, of one of them ten of 31 days, and April of the other."""


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        two_ahead(conn)
        yield conn


def closed(url: str, month: str, folder: Path, at: datetime = CLOSED, rate: str = "19") -> None:
    seller = replace(CATALOG.seller, tax={"hosting": Decimal(rate)})
    report = close_month(url, month, seller=seller, folder=folder, issued_at=at)
    assert report.exit_code == 0, [one.reasons for one in report.outcomes]
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*.pdf"))
    assert [verify(file) for file in files] == [[]] * len(files)


def papers(conn: Connection) -> list[Document]:
    """All of the account, each explained, in the standard's words, and nobody below zero."""
    rows = conn.execute("SELECT invoice_id::text, number FROM invoice ORDER BY issued_at, number")
    found = []
    for name, number in rows.fetchall():
        document = load(conn, name)[0]
        xml = einvoice(document)
        assert xml is not None
        assert broken(xml) == []
        for position in range(1, len(document.lines) + 1):
            assert explain(conn, f"{number}/{position}").differences == ()
        found.append(document)
    assert sum(one.amount for one in trial_balance(conn)) == 0
    return found


def ends(conn: Connection, *items: str) -> None:
    for item in items:
        timelines.end(conn, item, TENTH, ENTERED + DAY)


@pytest.mark.parametrize(
    ("rule", "granted", "until", "back", "net", "stays"),
    [
        # 19.35 − 60.00 + April's 60.00 of the other
        ("none was used", "0", None, [], "19.35", "0"),
        ("what expired comes back as credit, and is gone", "60", GONE, ["40.65"], "60.00", "40.65"),
        ("no more than was used", "30", GONE, ["30"], "49.35", "30"),
        ("no more than came off", "240", GONE, ["40.65"], "60.00", "40.65"),
        ("what holds is drawn again", "60", None, ["40.65", "-40.65"], "19.35", "0"),
        ("what was left is drawn with it", "270", None, ["40.65", "-60.00"], "0.00", "10.65"),
    ],
)
def test_a_fee_that_credit_paid_gives_the_credit_back(
    conn: Connection, billing_url: str, tmp_path: Path,
    rule: str, granted: str, until: datetime | None, back: list[str], net: str, stays: str,
) -> None:  # fmt: skip
    """February's invoice charged 240.00; then one rental ends on the 10th of March. Money comes
    back for money alone: what was paid and what is used of the credit is what it all costs.
    """
    if Decimal(granted):
        promo(conn, "welcome", granted, until)
    closed(billing_url, "2026-02", tmp_path)
    ends(conn, "ends")
    closed(billing_url, "2026-03", tmp_path, GONE)
    first, second = papers(conn)
    assert (second.kind, str(second.totals.net)) == (INVOICE, net), rule
    assert kinds(second, LineKind.CREDIT) == [Decimal(one) for one in back], rule
    held = left(conn).get("welcome", Decimal(0))
    assert held == Decimal(stays), rule
    used = Decimal(granted) - held
    assert first.totals.net + second.totals.net == TO_PAY - used, rule
    books = {one.ledger: one.amount for one in balance(conn, "acme-0")}
    assert books.get("promotion", Decimal(0)) == used


def test_what_came_off_comes_back_at_the_rate_at_which_it_was_used(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """March's fee was billed at 19 %; its ten days have March's 16 %."""
    promo(conn, "welcome", "60.00", GONE)
    timelines.end(conn, "stays", END, ENTERED)
    closed(billing_url, "2026-02", tmp_path)
    ends(conn, "ends")
    timelines.rent(
        conn, item="new", title="new", plan="ahead", account="acme-0", server="srv-new", at=END,
        catalog=load_catalog(AHEAD, "ahead.toml"), entered_at=ENTERED,
    )  # fmt: skip
    closed(billing_url, "2026-03", tmp_path, GONE, rate="16")
    _, second = papers(conn)
    assert sorted(f"{row.line.net} at {row.rate}" for row in second.lines) == [
        "-60.00 at 19", "19.35 at 16", "40.65 at 19", "60.00 at 16", "60.00 at 16",
    ]  # fmt: skip
    assert [f"{one.tax} of {one.base}" for one in second.taxes] == [
        "22.30 of 139.35", "-3.68 of -19.35",
    ]  # fmt: skip
    assert left(conn) == {"welcome": Decimal("40.65")}


def test_what_goes_on_at_another_rate_has_used_its_credit(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """Nothing came off: April is charged, and nothing comes back."""
    promo(conn, "welcome", "60.00", GONE)
    closed(billing_url, "2026-02", tmp_path)
    closed(billing_url, "2026-03", tmp_path, GONE, rate="16")
    _, second = papers(conn)
    assert (second.totals.net, left(conn)) == (Decimal("120.00"), {"welcome": Decimal(0)})


def test_what_is_known_after_the_seal_is_taken_of_the_invoice_that_billed_it(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """March's fee is of February's invoice, which credit paid in part; April's of March's."""
    promo(conn, "welcome", "60.00", GONE)
    closed(billing_url, "2026-02", tmp_path)
    closed(billing_url, "2026-03", tmp_path, GONE)
    ends(conn, "ends")
    closed(billing_url, "2026-03", tmp_path, GONE)
    *_, note = papers(conn)
    assert sorted(f"{row.line.net}" for row in note.lines) == [
        "-60.00", "-60.00", "19.35", "40.65",
    ]  # fmt: skip
    assert {one.invoice: (one.back, one.used[0].back if one.used else 0) for one in note.taken} == {
        SECOND: (Decimal("60.00"), 0),
        FIRST: (0, Decimal("40.65")),
    }
    assert (note.kind, str(note.totals.net)) == (CREDIT_NOTE, "-60.00")
    assert left(conn) == {"welcome": Decimal("40.65")}


@pytest.mark.parametrize(
    ("rule", "hours", "kind", "net", "stays"),
    [
        ("what else is charged is to be paid", 30, INVOICE, "30.00", "40.65"),
        ("only credit: a credit note of nothing", 0, CREDIT_NOTE, "0.00", "40.65"),
    ],
)
def test_a_last_month_that_credit_lifts_above_zero(
    conn: Connection, billing_url: str, tmp_path: Path,
    rule: str, hours: int, kind: str, net: str, stays: str,
) -> None:  # fmt: skip
    """Its own lines come to −10.65 or −40.65: what expired pays nothing else."""
    promo(conn, "welcome", "60.00", GONE)
    timelines.end(conn, "stays", END, ENTERED)
    closed(billing_url, "2026-02", tmp_path)
    ends(conn, "ends")
    if hours:
        text = AHEAD.replace('version = "', 'version = "hours-', 1) + HOURS
        catalog = load_catalog(text, "hours.toml")
        apply(conn, catalog, text, ENTERED)
        timelines.rent(
            conn, item="more", title="more", plan="hours", account="acme-0", server="srv-more",
            at=END, catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
        timelines.end(conn, "more", END + timedelta(hours=hours), ENTERED)
    closed(billing_url, "2026-03", tmp_path, GONE)
    *_, last = papers(conn)
    assert (last.kind, str(last.totals.net)) == (kind, net), rule
    assert left(conn) == {"welcome": Decimal(stays)}, rule
