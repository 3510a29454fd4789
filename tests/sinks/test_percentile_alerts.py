"""A 95th percentile is told by what is certain: a busy hour early in a month tells nobody, and
suspends nobody.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.budgets import Action
from pipeline.live import live
from schemas.billing import Inputs, Samples, Span
from schemas.prices import Charge, Percentile, PerUnit, Unit
from schemas.terms import Commitment, CreditKind, Term
from sinks.accrual_work import shown
from sinks.accruals import rate_scope
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.mail_words import letter
from sinks.outbox import Alert
from sinks.timelines import rent
from sinks.wallet import Grant, grant
from sinks.wallet_watch import look as look_at_wallets
from sinks.wallet_watch import set_threshold
from sinks.watch import look
from tests.fix_billing import START, TX, WINDOW, a_catalog, meter_windows
from tests.pipeline.rating import worlds
from tests.sinks.test_budgets import a_budget, commands

MBPS = 37_500_000
"""Bytes of 1 Mbit/s in five minutes."""
DISCARDED = 5 * 31 * 288 // 100


CAP = "budget/cap/acme/i-1/traffic/100%"
MONEY = "budget/cap/acme//net/100%"


@pytest.fixture
def port(customer: Connection) -> Connection:
    """acme rents i-1: 100 Mbps are committed, told at 150 and at 200 EUR; 0.10 EUR an hour."""
    changes = {
        '"v1"': '"v2"',
        "MB = {": 'Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "1" }\nMB = {',
        'traffic.meter = { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }':
            'traffic.meter = { p95 = ["net.tx_bytes"] }\n'
            'traffic.commit = { quantity = "100 Mbps", price = "0.60 / Mbps" }',
        'traffic.allow = { quantity = "100 MB / month", prorate = "none" }\n': "",
        '"1.00 / MB"': '"0.90 / Mbps"',
        '["50 %", "80 %", "100 %"]': '["150 Mbps", "200.00 EUR"]',
    }  # fmt: skip
    catalog, text = a_catalog(**changes)
    apply(customer, catalog, text, START)
    rent(
        customer, item="i-1", title="Port", plan="small", account="acme", server="s-1", at=START,
        catalog=catalog, entered_at=START,
    )  # fmt: skip
    return customer


def told(conn: Connection, first: int, count: int, mbps: int) -> list[str]:
    """What is said after so many windows more at this rate."""
    return [f"{one.kind} {one.threshold}" for one in alerts(conn, first, count, mbps)]


def alerts(conn: Connection, first: int, count: int, mbps: int) -> list[Alert]:
    meter_windows(conn, "s-1", {(TX, "eth0"): [mbps * MBPS] * count}, START + first * WINDOW)
    now: datetime = START + (first + count) * WINDOW + timedelta(seconds=1)
    rated = rate_scope(conn, "i-1", now, now)
    assert rated is not None
    return [*rated.entered, *look(conn, "acme", now, now)]


def test_a_percentile_is_told_when_it_is_certain_and_never_taken_back(port: Connection) -> None:
    """The 446 highest windows of a March are discarded, whatever they hold: the next one counts."""
    a_budget(port, "200", item="i-1", charge="traffic", unit="Mbps", action=Action.CAP)
    assert told(port, 0, DISCARDED, 9_000) == []
    assert told(port, DISCARDED, 1, 150) == ["crossed i-1/traffic/150 Mbps"]
    assert told(port, DISCARDED + 1, 1, 199) == []
    assert told(port, DISCARDED + 2, 1, 200) == [f"crossed {CAP}", f"suspend {CAP}"]
    assert told(port, DISCARDED + 3, 300, 0) == []
    assert commands(port) == [("suspend", ["i-1"])]


def test_money_is_what_is_certain_of_it(port: Connection) -> None:
    """It stands at 8,900 × 0.90 + 100 × 0.60 + 3.80 = 8,073.80, of which 63.80 are certain; with
    the next window 600 × 0.90 more."""
    a_budget(port, "500", action=Action.CAP)
    a_budget(port, "500", item="i-1")
    assert told(port, 0, DISCARDED, 9_000) == []
    said = {one.threshold: one.body for one in alerts(port, DISCARDED, 1, 700)}
    assert list(said) == [
        "i-1/traffic/150 Mbps", "i-1/traffic/200 EUR", MONEY, "budget/notify/acme/i-1/net/100%",
    ]  # fmt: skip
    assert said["i-1/traffic/200 EUR"]["data"]["text"] == (
        "Port (i-1) has come to 600.00 EUR of traffic for certain since 2026-03-01: 200.00 EUR is"
        " reached."
    )
    assert commands(port) == [("suspend", ["i-1"])]
    row = port.execute(
        "SELECT body FROM alert_outbox WHERE threshold = %s AND kind = 'crossed'", (MONEY,)
    ).fetchone()
    assert row is not None
    data = row[0]["data"]
    assert (data["used"], data["stands"]) == ("603.80", "8073.80")
    assert data["text"] == (
        "acme has come to 603.80 of 500.00 EUR for certain this month: 100 % is reached."
        " It is being suspended."
    )
    assert "As it stands, not certain yet  8,073.80 EUR" in letter(row[0], "en", "UTC").text
    a_budget(port, "700", action=Action.CAP)
    (back, _) = alerts(port, DISCARDED + 1, 1, 0)
    assert back.body["data"]["text"] == (
        "The limit of acme is 700.00 EUR now; it has come to 603.80 for certain, below 100 %."
        " What it suspended is being resumed."
    )


def test_a_percentile_that_becomes_certain_is_no_pace(port: Connection) -> None:
    """From 63.80 to 603.90 within an hour: the next hours bring 0.10 each."""
    a_budget(port, "1000", ahead=timedelta(days=1))
    assert told(port, 0, DISCARDED, 9_000) == []
    said = told(port, DISCARDED, 12, 700)
    assert [one for one in said if "budget" in one] == []


def test_a_prepaid_balance_is_less_what_is_certain(port: Connection) -> None:
    paid = Grant("acme", "paid", CreditKind.PAID, Decimal("500.00"), START)
    grant(port, paid, "ann", START, "bank")
    set_threshold(port, "acme", Decimal("400.00"), "ann", START)
    for first, count, amounts in ((0, DISCARDED, []), (DISCARDED, 1, ["-103.80"])):
        told(port, first, count, 9_000 if first == 0 else 700)
        now = START + (first + count) * WINDOW + timedelta(seconds=1)
        found = look_at_wallets(port, now)
        assert [one.body["data"]["amount"] for one in found] == amounts


def test_a_true_up_that_is_due_by_what_is_certain_counts_and_stands_at_nothing() -> None:
    """A minimum of a first hour is 60.00; three windows of 300 Mbps may still be discarded."""
    mbps = Unit("Mbps", "net.bytes", MBPS, Decimal("0.01"))
    charge = Charge(Percentile((worlds.TX,), mbps), PerUnit(Decimal(1000)), "hosting")
    scope = worlds.scope_of(worlds.row(charge, "port"))
    least = Commitment(
        "least", Span(worlds.START, worlds.hour(1)), Decimal(60 * 720), Term.MONTH, "hosting"
    )
    samples = Samples("srv", worlds.TX, "1", worlds.START, (300 * MBPS,) * 3)
    now = live(replace(scope, commitments=(least,)), Inputs(worlds.MONTH, samples=(samples,)),
               worlds.hour(2))  # fmt: skip
    found = {one["charge"]: (one["net"], one["certain_net"]) for one in shown(now)}
    assert found == {"port": ("300000.00", "0.00"), "least": ("0", "60.00")}
