"""Months in which something turns out to have been rented after they were closed for others."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from schemas.billing import LineKind
from sinks import timelines
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.committed import at, billed, closed, customer, monthly, prices, rented

ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago")
OVER = at("2030-01-01")


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """Acme, of Berlin, rents from February on."""
    with connect(billing_url, autocommit=True) as conn:
        prices(conn)
        ledger.topic(conn, OVER)
        customer(conn, "acme")
        rented(conn, "acme", "i", at("2026-02-01"))
        yield conn


def nets(conn: Connection, account: str) -> dict[str, Decimal]:
    """What each month of an account was billed."""
    rows = conn.execute(
        "SELECT to_char((period_start + interval '15 days') AT TIME ZONE 'UTC', 'YYYY-MM'), net"
        " FROM invoice WHERE account_id = %s ORDER BY number",
        (account,),
    ).fetchall()
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def entered_late(
    conn: Connection, since: str, entered: str, timezone: str = "Europe/Berlin"
) -> None:
    customer(conn, "late", timezone)
    rented(conn, "late", "x", at(since, timezone), entered=at(entered, timezone))


@pytest.mark.parametrize("timezone", ZONES)
def test_in_whatever_zone(conn: Connection, billing_url: str, timezone: str) -> None:
    """From the middle of February; it is entered in April."""
    monthly(billing_url, "2026-02", 2)
    entered_late(conn, "2026-02-15", "2026-04-10", timezone)
    for day in ("05-03", "05-04", "06-03"):
        assert closed(billing_url, None, f"2026-{day}T12:00").exit_code == 0
    whole = dict.fromkeys(("2026-03", "2026-04", "2026-05"), Decimal("100.00"))
    assert nets(conn, "late") == {"2026-02": Decimal("50.00"), **whole}
    assert nets(conn, "acme").keys() == nets(conn, "late").keys()


@pytest.mark.parametrize("timezone", ZONES)
def test_nothing_from_before_the_first_close(
    conn: Connection, billing_url: str, timezone: str
) -> None:
    """Whoever begins with rackmeter in March has billed what came before in some other way."""
    entered_late(conn, "2024-05-01", "2026-04-02", timezone)
    for day in ("04-03", "04-04", "05-03"):
        assert closed(billing_url, None, f"2026-{day}T12:00").exit_code == 0
    assert nets(conn, "late").keys() == {"2026-03", "2026-04"}
    assert nets(conn, "acme").keys() == {"2026-03", "2026-04"}


def test_a_month_in_which_nobody_had_anything(conn: Connection, billing_url: str) -> None:
    """March was closed for nobody, as nobody rented then."""
    timelines.end(conn, "i", at("2026-03-01"), at("2026-02-20"))
    monthly(billing_url, "2026-02", 2)
    entered_late(conn, "2026-03-01", "2026-04-10")
    assert closed(billing_url, "2026-04", "2026-05-03").exit_code == 0
    assert nets(conn, "late").keys() == {"2026-03", "2026-04"}


def test_entered_between_the_end_of_its_month_and_the_second_close(
    conn: Connection, billing_url: str
) -> None:
    """It is one of the month's by itself, and entered late: billed once."""
    assert closed(billing_url, None, "2026-04-01T12:00").exit_code == 0
    entered_late(conn, "2026-03-01", "2026-04-02")
    assert closed(billing_url, None, "2026-04-03").exit_code == 0
    assert nets(conn, "late") == {"2026-03": Decimal("100.00")}
    assert len(billed(conn, LineKind.CHARGE)) == 2


def test_an_item_that_has_not_ended_after_all(conn: Connection, billing_url: str) -> None:
    """Its end of 16 March is taken back in June, when April was closed without it, and May."""
    customer(conn, "other")
    rented(conn, "other", "o", at("2026-02-01"))
    timelines.end(conn, "i", at("2026-03-16"), at("2026-03-10"))
    monthly(billing_url, "2026-02", 4)
    assert nets(conn, "acme").keys() == {"2026-02", "2026-03"}
    timelines.reopen(conn, "i", at=at("2026-03-16"), entered_at=at("2026-06-10"))
    assert closed(billing_url, "2026-06", "2026-07-03").exit_code == 0
    found = nets(conn, "acme")
    months = ("2026-02", "2026-03", "2026-04", "2026-05")
    assert sum(found[month] for month in months) == Decimal("400.00")


def test_what_was_known_and_waits_is_not_entered_late(conn: Connection, billing_url: str) -> None:
    """February is closed for another account only: acme's waits for whoever closes it."""
    customer(conn, "other")
    rented(conn, "other", "o", at("2026-02-01"))
    closed(billing_url, "2026-02", "2026-03-03", accounts=["other"])
    timelines.end(conn, "i", at("2026-03-16"), at("2026-03-10"))
    assert closed(billing_url, "2026-03", "2026-04-03").exit_code == 0
    assert nets(conn, "acme").keys() == {"2026-03"}


def test_a_month_that_is_closed_after_the_next_one(conn: Connection, billing_url: str) -> None:
    """March was billed as if February had billed nothing of it in advance; then that does."""
    customer(conn, "other")
    rented(conn, "other", "o", at("2026-02-01"), plan="ahead")
    assert closed(billing_url, "2026-03", "2026-04-03").exit_code == 0
    assert closed(billing_url, "2026-02", "2026-04-04").exit_code == 0
    assert closed(billing_url, "2026-03", "2026-04-05").exit_code == 0
    rows = conn.execute("SELECT sum(net) FROM invoice WHERE account_id = 'other'").fetchall()
    assert rows == [(Decimal("300.00"),)]  # of February, March and April
