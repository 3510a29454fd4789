"""A 95th percentile is told by what is certain: a busy hour early in a month tells nobody."""

from datetime import datetime, timedelta

import pytest

from pipeline.budgets import Action
from sinks.accruals import rate_scope
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.timelines import rent
from sinks.watch import look
from tests.fix_billing import START, TX, WINDOW, a_catalog, meter_windows
from tests.sinks.test_budgets import a_budget, commands

MBPS = 37_500_000
"""Bytes of 1 Mbit/s in five minutes."""
DISCARDED = 5 * 31 * 288 // 100


CAP = "budget/cap/acme/i-1/traffic/100%"


@pytest.fixture
def port(customer: Connection) -> Connection:
    """acme rents i-1: 100 Mbps are committed, told at 150; a cap at 200."""
    changes = {
        '"v1"': '"v2"',
        "MB = {": 'Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "1" }\nMB = {',
        'traffic.meter = { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }':
            'traffic.meter = { p95 = ["net.tx_bytes"] }\n'
            'traffic.commit = { quantity = "100 Mbps", price = "0.60 / Mbps" }',
        'traffic.allow = { quantity = "100 MB / month", prorate = "none" }\n': "",
        '"1.00 / MB"': '"0.90 / Mbps"',
        '["50 %", "80 %", "100 %"]': '["150 Mbps"]',
    }  # fmt: skip
    catalog, text = a_catalog(**changes)
    apply(customer, catalog, text, START)
    rent(
        customer, item="i-1", title="Port", plan="small", account="acme", server="s-1", at=START,
        catalog=catalog, entered_at=START,
    )  # fmt: skip
    a_budget(customer, "200", item="i-1", charge="traffic", unit="Mbps", action=Action.CAP)
    return customer


def told(conn: Connection, first: int, count: int, mbps: int) -> list[str]:
    """What is said after so many windows more at this rate."""
    meter_windows(conn, "s-1", {(TX, "eth0"): [mbps * MBPS] * count}, START + first * WINDOW)
    now: datetime = START + (first + count) * WINDOW + timedelta(seconds=1)
    rated = rate_scope(conn, "i-1", now, now)
    assert rated is not None
    said = [*rated.entered, *look(conn, "acme", now, now)]
    return [f"{alert.kind} {alert.threshold}" for alert in said]


def test_a_percentile_is_told_when_it_is_certain_and_never_taken_back(port: Connection) -> None:
    """The 446 highest windows of a March are discarded, whatever they hold: the next one counts."""
    assert told(port, 0, DISCARDED, 9_000) == []
    assert told(port, DISCARDED, 1, 150) == ["crossed i-1/traffic/150 Mbps"]
    assert told(port, DISCARDED + 1, 1, 199) == []
    assert told(port, DISCARDED + 2, 1, 200) == [f"crossed {CAP}", f"suspend {CAP}"]
    assert told(port, DISCARDED + 3, 300, 0) == []
    assert commands(port) == [("suspend", ["i-1"])]
