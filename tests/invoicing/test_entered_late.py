"""Months in which something turns out to have been rented after they were closed for others."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from schemas.billing import LineKind
from sinks import timelines
from sinks.billed_from import billed_from, say_billed_from
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


def test_a_close_of_one_account_decides_for_that_alone(conn: Connection, billing_url: str) -> None:
    """Acme tried it in February; everybody else was billed elsewhere until March."""
    assert closed(billing_url, "2026-02", "2026-03-03", accounts=["acme"]).exit_code == 0
    monthly(billing_url, "2026-03", 1)
    entered_late(conn, "2024-05-01", "2026-04-10")
    rented(conn, "acme", "j", at("2026-02-15"), entered=at("2026-04-10"))
    monthly(billing_url, "2026-04", 1)
    assert nets(conn, "late").keys() == {"2026-03", "2026-04"}
    assert sum(net for (net,) in of_february(conn)) == Decimal("150.00")


def test_a_month_that_is_late_for_one_customer_is_no_first_month_of_others(
    conn: Connection, billing_url: str
) -> None:
    """The first close is April's; late is billed here from March on, which is said then."""
    entered_late(conn, "2026-02-01", "2026-04-10")
    rented(conn, "acme", "j", at("2026-03-01"), entered=at("2026-04-10"))
    monthly(billing_url, "2026-04", 1)
    assert say_billed_from(conn, "late", date(2026, 3, 1))
    monthly(billing_url, "2026-05", 3)
    assert nets(conn, "late").keys() == {"2026-03", "2026-04", "2026-05", "2026-06", "2026-07"}
    assert nets(conn, "acme").keys() == {"2026-04", "2026-05", "2026-06", "2026-07"}


def of_february(conn: Connection) -> list[tuple[Decimal]]:
    return conn.execute(
        "SELECT net FROM invoice_line WHERE line_key LIKE %s", ("%/2026-01-31%",)
    ).fetchall()


@pytest.mark.parametrize("timezone", ZONES)
@pytest.mark.parametrize(
    ("rule", "rents", "enters", "said", "months"),
    [
        ("brought here in April, with what he has rented for years",
         "2024-05-01", "2026-04-10", "2026-04-01", ["2026-04", "2026-05"]),
        ("brought here in April, from May on",
         "2024-05-01", "2026-04-10", "2026-05-01", ["2026-05"]),
        ("not said: from the first month that was closed for everybody",
         "2024-05-01", "2026-04-10", None, ["2026-02", "2026-03", "2026-04", "2026-05"]),
        ("before that, though nobody rented anything then",
         "2025-12-15", "2026-04-10", "2026-01-01",
         ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]),
        ("not before it is rented",
         "2026-03-01", "2026-04-10", "2026-01-01", ["2026-03", "2026-04", "2026-05"]),
        ("in time, and from May on", "2026-04-15", "2026-04-10", "2026-05-01", ["2026-05"]),
    ],
)  # fmt: skip
def test_since_when_he_is_billed_is_said(
    conn: Connection, billing_url: str, timezone: str, rule: str, rents: str, enters: str,
    said: str | None, months: list[str],
) -> None:  # fmt: skip
    """January was closed too, with nothing to bill."""
    monthly(billing_url, "2026-01", 3)
    entered_late(conn, rents, enters, timezone)
    if said:
        assert say_billed_from(conn, "late", date.fromisoformat(said))
    monthly(billing_url, "2026-04", 2)
    assert sorted(nets(conn, "late")) == months, rule
    assert closed(billing_url, None, "2026-06-20").exit_code == 0
    assert sorted(nets(conn, "late")) == months, "and nothing more"
    assert len(nets(conn, "acme")) == 4


def test_what_is_said_is_told_and_taken_back(conn: Connection, billing_url: str) -> None:
    assert billed_from(conn, None) == {}
    assert say_billed_from(conn, "acme", date(2026, 5, 1))
    assert not say_billed_from(conn, "acme", date(2026, 5, 1))
    assert billed_from(conn, ["acme"]) == {"acme": (at("2026-05-16", "UTC"), True)}
    assert closed(billing_url, "2026-02", "2026-03-03").outcomes == ()
    assert say_billed_from(conn, "acme", None)
    monthly(billing_url, "2026-02", 1)
    assert nets(conn, "acme").keys() == {"2026-02"}
    found = conn.execute("SELECT action, subject FROM audit_act WHERE action = 'account.billed'")
    assert found.fetchall() == [("account.billed", "account/acme")] * 2


def test_each_close_is_kept(conn: Connection, billing_url: str) -> None:
    """What it was for, for whom, and how it ended: one that was killed has no end."""

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    closed(billing_url, "2026-01", "2026-02-03")
    closed(billing_url, "2026-02", "2026-03-03", dry_run=True)
    with pytest.raises(KeyboardInterrupt):
        closed(billing_url, "2026-02", "2026-03-03", progress=killed)
    closed(billing_url, "2026-02", "2026-03-03", accounts=["acme"])
    closed(billing_url, None, "2026-04-03")
    rows = conn.execute(
        "SELECT month, as_of, accounts, began_at, since, ended_at IS NOT NULL, outcomes"
        " FROM close_run ORDER BY run_id"
    ).fetchall()
    february, march, april = at("2026-02-01"), at("2026-03-03"), at("2026-04-03")
    assert rows == [
        ("2026-01", None, None, at("2026-02-03"), None, True, {}),
        ("2026-02", None, None, march, february, False, None),
        ("2026-02", None, ["acme"], march, february, True, {"issued": 1}),
        (None, april, None, april, at("2026-03-01"), True, {"issued": 1}),
    ]
