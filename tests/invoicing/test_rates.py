"""A month is taxed at the rates in force as it ends, whenever it is closed."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.document import Document
from invoicing.export import load
from pipeline.catalog import load as load_catalog
from schemas.billing import LineKind
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.versions import tax_rates
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, close_month
from tests.invoicing.test_taken_back import AHEAD
from tests.invoicing.worlds import START, account

ARREARS = AHEAD.replace(', bill = "advance"', "")
FROM_MARCH = ARREARS.replace('version = "', 'version = "new-').replace(
    "effective = 2026-01-01", "effective = 2026-03-01"
)
NEW = FROM_MARCH.replace('hosting = "19 %"', 'hosting = "16 %"\ngpu = "7 %"')


def test_the_texts_differ() -> None:
    assert "advance" not in ARREARS
    assert load_catalog(NEW, "new.toml").effective > load_catalog(ARREARS, "old.toml").effective


@pytest.fixture
def rented(billing: Connection) -> Connection:
    """An item since February; the rates change with the first of March."""
    for text in (ARREARS, NEW):
        apply(billing, load_catalog(text, "prices.toml"), text, ENTERED)
    ledger.topic(billing, CLOSED)
    account(billing, "acme-0")
    timelines.rent(
        billing, item="web", title="web", plan="ahead", account="acme-0", server="srv-web",
        at=START, catalog=load_catalog(ARREARS, "old.toml"), entered_at=ENTERED,
    )  # fmt: skip
    return billing


def issued(conn: Connection) -> list[Document]:
    rows = conn.execute("SELECT invoice_id::text FROM invoice ORDER BY number").fetchall()
    return [load(conn, name)[0] for (name,) in rows]


def rates(document: Document) -> list[tuple[str, int]]:
    return [(tax.category, int(tax.rate)) for tax in document.taxes]


def test_february_is_closed_in_april_at_its_own_rate(
    rented: Connection, billing_url: str, tmp_path: Path
) -> None:
    seller = load_catalog(NEW, "new.toml").seller
    known = tax_rates(rented, seller.entity)
    for month in ("2026-02", "2026-03"):
        assert close_month(billing_url, month, seller=seller, rates=known).exit_code == 0
    assert [rates(one) for one in issued(rented)] == [[("hosting", 19)], [("hosting", 16)]]


def test_what_corrects_it_has_its_rates(rented: Connection, billing_url: str) -> None:
    """The rental ended in February; that is told after February and March were closed."""
    seller = load_catalog(NEW, "new.toml").seller
    known = tax_rates(rented, seller.entity)
    for month in ("2026-02", "2026-03"):
        close_month(billing_url, month, seller=seller, rates=known)
    timelines.end(rented, "web", START + timedelta(days=14), CLOSED)
    report = close_month(
        billing_url, None, seller=seller, rates=known, as_of=CLOSED + timedelta(days=40)
    )
    assert report.exit_code == 0, report
    notes = issued(rented)[2:]
    assert [(one.corrects, rates(one)) for one in notes] == [
        ("RM-2026-000001", [("hosting", 19)]), ("RM-2026-000002", [("hosting", 16)]),
    ]  # fmt: skip


def test_what_is_new_in_a_month_whose_fee_was_billed_before_has_the_rates_of_its_invoice(
    billing: Connection, billing_url: str
) -> None:
    """March's rent stood on February's invoice, so March's has no line of its own; the rates change
    with April. Told then: another item of March.
    """
    other = ARREARS.replace('version = "', 'version = "more-')
    april = AHEAD.replace('version = "', 'version = "new-').replace("19 %", "16 %")
    april = april.replace("effective = 2026-01-01", "effective = 2026-04-01")
    for text in (AHEAD, other, april):
        apply(billing, load_catalog(text, "prices.toml"), text, ENTERED)
    ledger.topic(billing, CLOSED + timedelta(days=40))
    account(billing, "acme-0")

    def rent(item: str, text: str, at: datetime, until: datetime | None = None) -> None:
        timelines.rent(
            billing, item=item, title=item, plan="ahead", account="acme-0", server=f"srv-{item}",
            catalog=load_catalog(text, "prices.toml"), entered_at=ENTERED, scope="web", at=at,
            until=until,
        )  # fmt: skip

    rent("web", AHEAD, START)
    seller = load_catalog(april, "new.toml").seller
    known = tax_rates(billing, seller.entity)
    for month in ("2026-02", "2026-03"):
        assert close_month(billing_url, month, seller=seller, rates=known).exit_code == 0
    rent("more", other, START + timedelta(days=28), START + timedelta(days=59))
    late = CLOSED + timedelta(days=10)
    report = close_month(billing_url, "2026-04", seller=seller, rates=known, issued_at=late)
    assert report.exit_code == 0, report
    corrected = [
        (row.line.net, int(row.rate))
        for one in issued(billing)
        for row in one.lines
        if row.line.kind is LineKind.ADJUSTMENT
    ]
    assert corrected == [(Decimal("60.00"), 19)]


def test_of_two_that_begin_together_the_one_applied_last_counts(billing: Connection) -> None:
    other = NEW.replace("new-", "newest-").replace("16 %", "17 %")
    for minutes, text in enumerate((ARREARS, NEW, other)):
        at = ENTERED + timedelta(minutes=minutes)
        apply(billing, load_catalog(text, "prices.toml"), text, at)
    found = tax_rates(billing, "rm")
    assert [int(tax["hosting"]) for _, tax in found] == [19, 16, 17]
    assert found[-1][0] == date(2026, 3, 1)
    assert tax_rates(billing, "another") == ()
