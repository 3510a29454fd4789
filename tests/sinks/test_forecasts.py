"""Forecasts and thresholds of a price, from ratings to what the customer is told."""

from datetime import timedelta

import pytest

from schemas.events import THRESHOLD_CLEARED, THRESHOLD_CROSSED, THRESHOLD_FORECAST
from sinks.accruals import rate_scope
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.mail_words import letter
from sinks.outbox import Alert
from sinks.timelines import rent
from tests.fix_billing import START, TX, a_catalog, meter_windows

HOUR = timedelta(hours=1)
MB = 1_000_000


@pytest.fixture
def watched(customer: Connection) -> Connection:
    """acme rents i-1 with 100 MB included and a forecast; 30 MB and 20.00 EUR are told too."""
    changes = {
        '"v1"': '"v2"',
        '["50 %", "80 %", "100 %"]': '["50 %", "30 MB", "20.00 EUR", "forecast"]',
    }
    catalog, text = a_catalog(**changes)
    apply(customer, catalog, text, START)
    rent(
        customer, item="i-1", title="Server i-1", plan="small", account="acme", server="s-1",
        at=START, catalog=catalog, entered_at=START,
    )  # fmt: skip
    return customer


def metered(conn: Connection, hour: int, megabytes: int) -> None:
    """So much within one hour, in its first window."""
    meter_windows(conn, "s-1", {(TX, "eth0"): [megabytes * MB]}, START + hour * HOUR)


def told(conn: Connection, hour: int) -> list[Alert]:
    rated = rate_scope(conn, "i-1", START + hour * HOUR, START + hour * HOUR)
    assert rated is not None
    return list(rated.entered)


def said(conn: Connection, hour: int) -> list[tuple[str, str]]:
    return [(alert.threshold, alert.kind) for alert in told(conn, hour)]


def test_a_forecast_is_told_once_and_taken_back_once(watched: Connection) -> None:
    """2 MB an hour: 100 MB in two days. 9 MB an hour: within one. Nothing more: no more."""
    assert said(watched, 0) == []
    metered(watched, 0, 2)
    assert said(watched, 1) == []
    metered(watched, 1, 9)
    (alert,) = told(watched, 2)
    assert (alert.threshold, alert.kind) == ("i-1/traffic/forecast", "forecast")
    assert alert.body["type"] == THRESHOLD_FORECAST
    data = alert.body["data"]
    # 9 MB in the last hour: 89 MB more are 9 h 53 min 20 s.
    assert data["reached_at"] == "2026-03-01T11:53:20Z"
    assert data["text"] == (
        "Server i-1 (i-1) has come to 11.000 MB of traffic since 2026-03-01; 100.000 MB is reached"
        " in 10 h at this rate."
    )
    assert letter(alert.body, "en", "UTC").subject == (
        "i-1, traffic: 100 MB will be reached at 1 Mar 2026, 11:53 UTC"
    )
    assert said(watched, 3) == []
    (alert,) = told(watched, 5)
    assert alert.body["type"] == THRESHOLD_CLEARED
    assert alert.body["data"]["text"] == (
        "i-1 does not reach 100.000 MB of traffic in this period at its rate."
    )
    assert letter(alert.body, "en", "UTC").subject == (
        "i-1, traffic: 100 MB will not be reached after all"
    )
    metered(watched, 5, 12)
    assert said(watched, 7) == [], "once in a period"


def test_a_forecast_that_has_come_true_stands(watched: Connection) -> None:
    metered(watched, 0, 2)
    said(watched, 1)
    metered(watched, 1, 20)
    assert ("i-1/traffic/forecast", "forecast") in said(watched, 2)
    metered(watched, 2, 200)
    assert "cleared" not in [kind for _, kind in said(watched, 3)]
    assert "cleared" not in [kind for _, kind in said(watched, 9)]


def test_a_quantity_and_an_amount_are_told_once(watched: Connection) -> None:
    metered(watched, 0, 30)
    (alert,) = told(watched, 1)
    assert (alert.threshold, alert.body["type"]) == ("i-1/traffic/30 MB", THRESHOLD_CROSSED)
    assert alert.body["data"]["text"] == (
        "Server i-1 (i-1) has come to 30.000 MB of traffic since 2026-03-01: 30.000 MB is reached."
    )
    assert letter(alert.body, "de", "UTC").subject == "i-1, traffic: 100 % von 30 MB sind erreicht"
    metered(watched, 1, 90)
    assert sorted(said(watched, 2)) == [
        ("i-1/traffic/20 EUR", "crossed"), ("i-1/traffic/50%", "crossed"),
    ]  # fmt: skip
    assert said(watched, 3) == []
    row = watched.execute("SELECT body FROM alert_outbox WHERE threshold LIKE '%EUR'").fetchone()
    assert row is not None
    assert letter(row[0], "de", "UTC").subject == "i-1, traffic: 100 % von 20,00 EUR sind erreicht"
    assert "20,00 EUR von 20,00 EUR sind verbraucht" in letter(row[0], "de", "UTC").text


def test_a_correction_below_a_quantity_takes_it_back(watched: Connection) -> None:
    metered(watched, 0, 30)
    told(watched, 1)
    watched.execute("DELETE FROM usage_window")
    (alert,) = told(watched, 2)
    assert alert.body["data"]["text"] == (
        "i-1 has come to 0.000 of 30.000 MB of traffic: below 100 % again."
    )
