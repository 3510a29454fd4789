"""Corrections under another tax treatment than the invoice had: never mixed with the next one's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from invoicing.document import CREDIT_NOTE
from invoicing.export import load
from invoicing.report import Status
from schemas.billing import LineKind
from schemas.terms import CreditKind, TaxMode, TaxProfile
from sinks import timelines, wallet
from sinks.database import Connection, connect
from sinks.tax_profiles import set_profile
from sinks.wallet import Grant
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import CLOSED, ENTERED, TB, close_month
from tests.invoicing.worlds import DAY, START, month_of, rented

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def test_more_than_was_invoiced_does_not_ride_on_an_invoice_that_is_taxed_otherwise(
    conn: Connection, billing_url: str
) -> None:
    """Prices included tax and credit had paid most; then tax came on top. Credit goes home."""
    month_of(conn, 1)
    rented(conn, "acme-0", "item-b", "srv-b", TB)
    inside = TaxProfile(TaxMode.INCLUSIVE, country="DE")
    set_profile(conn, "acme-0", inside, ENTERED, "test", ENTERED)
    on_top = TaxProfile(TaxMode.EXCLUSIVE, country="DE")
    set_profile(conn, "acme-0", on_top, MARCH, "test", CLOSED)
    wanted = Grant("acme-0", "welcome", CreditKind.PROMOTIONAL, Decimal("90.00"), ENTERED)
    wallet.grant(conn, wanted, "test", ENTERED, "bank")
    assert close_month(billing_url).exit_code == 0
    timelines.end(conn, "item-0", START + DAY)
    reported(conn, APRIL)
    report = close_month(billing_url, "2026-03")
    note, invoice = report.outcomes
    assert (note.kind, note.status) == (CREDIT_NOTE, Status.ISSUED)
    assert note.invoice_id is not None
    paper = load(conn, note.invoice_id)[0]
    assert paper.profile.mode is TaxMode.INCLUSIVE
    # 99.29 less 90.00 were owed; 22.12 less is credit: it goes home, and pays of March.
    back = Decimal("22.12")
    nets = [row.line.net for row in paper.lines if row.line.kind is LineKind.CREDIT]
    assert (nets, paper.totals.gross) == ([back], Decimal("0.00"))
    assert invoice.net == Decimal("49.00") - back
    (held,) = wallet.history(conn)
    assert sorted(amount for _, amount, _ in held.draws) == [-back, back, Decimal("90.00")]
