"""A prepaid balance that is low is told once at each crossing, by webhook and mail."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.rating.credit import Draw
from schemas.errors import RefusedError
from schemas.events import WALLET_LOW, WALLET_RESTORED
from schemas.terms import CreditKind
from sinks.accruals import rate_scope
from sinks.database import Connection
from sinks.mail_words import letter
from sinks.outbox import Alert
from sinks.wallet import Grant, draw, grant
from sinks.wallet_watch import look, prepaid, set_threshold
from tests.fix_billing import START, rent_small

HOUR = timedelta(hours=1)


@pytest.fixture
def conn(customer: Connection) -> Connection:
    """10.00 paid ahead; a server at 0.10 an hour since the month began."""
    rent_small(customer)
    pay(customer, "first", "10.00")
    set_threshold(customer, "acme", Decimal("5.00"), "ann", START)
    return customer


def pay(conn: Connection, name: str, amount: str) -> None:
    wanted = Grant("acme", name, CreditKind.PAID, Decimal(amount), START)
    grant(conn, wanted, "ann", START, "bank")


def after(conn: Connection, hours: int) -> list[tuple[str, str]]:
    """What is said when so many hours are rated."""
    now = START + hours * HOUR
    rate_scope(conn, "i-1", now, now)
    return [said(alert) for alert in look(conn, now)]


def said(alert: Alert) -> tuple[str, str]:
    return alert.body["type"], alert.body["data"]["amount"]


def test_each_crossing_is_told_once(conn: Connection) -> None:
    assert after(conn, 50) == [], "5.00 is not below 5.00"
    assert after(conn, 51) == [(WALLET_LOW, "4.90")]
    assert after(conn, 60) == []
    pay(conn, "second", "20.00")
    assert after(conn, 61) == [(WALLET_RESTORED, "23.90")]
    assert after(conn, 62) == []
    draw(conn, "RM-1", [Draw("second", Decimal("20.00"))], START)
    assert after(conn, 63) == [(WALLET_LOW, "3.70")]
    row = conn.execute("SELECT count(DISTINCT alert_id) FROM alert_outbox").fetchone()
    assert row == (3,)


def test_a_new_threshold_tells_again_and_none_tells_nothing(conn: Connection) -> None:
    assert len(after(conn, 51)) == 1
    set_threshold(conn, "acme", Decimal("6.00"), "ann", START + HOUR)
    assert after(conn, 52) == [(WALLET_LOW, "4.80")]
    set_threshold(conn, "acme", None, "ann", START + 2 * HOUR)
    assert after(conn, 53) == []
    with pytest.raises(RefusedError, match="no account nobody"):
        set_threshold(conn, "nobody", None, "ann", START)


def test_what_counts(conn: Connection) -> None:
    """Credit of the right kind, granted, not expired; usage that no invoice has."""
    now = START + 10 * HOUR
    for name, kind, granted, expires in (
        ("gift", CreditKind.PROMOTIONAL, START, None),
        ("later", CreditKind.PAID, now + HOUR, None),
        ("gone", CreditKind.PAID, START, now),
    ):
        grant(
            conn, Grant("acme", name, kind, Decimal("7.00"), granted, expires), "ann", now, "bank"
        )
    assert prepaid(conn, "acme", now) == Decimal("10.00")
    rate_scope(conn, "i-1", now, now)
    assert prepaid(conn, "acme", now) == Decimal("9.00")
    conn.execute(
        """
        INSERT INTO scope_seal (scope_id, period_start, period_end, entered_before, input_digest)
        SELECT scope_id, period_start, period_end, %s, '' FROM accrual
        """,
        (now,),
    )
    assert prepaid(conn, "acme", now) == Decimal("10.00"), "that is an invoice's affair"


@pytest.mark.parametrize(
    ("language", "subject", "amount"),
    [("en", "Your prepaid balance is low", "€4.90"), ("de", "Ihr Guthaben geht zur Neige", "4,90")],
)
def test_as_a_mail(conn: Connection, language: str, subject: str, amount: str) -> None:
    now = datetime(2026, 3, 3, 3, tzinfo=UTC)
    rate_scope(conn, "i-1", now, now)
    (alert,) = look(conn, now)
    written = letter(alert.body, language, "UTC")
    assert written.subject == subject
    assert amount in written.text
