"""A percentile of which too little was measured: billed with a note, or parked for a person."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from invoicing.report import Outcome, Status
from pipeline.catalog import load
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import connect
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, TB, TEXT, close_month
from tests.invoicing.worlds import START, account

PLAN = """
[plan.edge]
name = "Edge port"
tax = "hosting"
port.meter = { p95 = ["port.tx_bytes"], coverage = "90 %", below = "note" }
port.price = "0.90 / Mbps"
"""
MBPS = 'Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "0.01" }'
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def closed(url: str, folder: Path, below: str, days: int) -> tuple[Outcome, str]:
    """The outcome of February with so many of its 28 days measured, and the line's title."""
    text = TEXT.replace("[plan.ax-hourly]", f"{MBPS}\n[plan.ax-hourly]") + PLAN
    text = text.replace('"note"', f'"{below}"')
    catalog = load(text, "edge.toml")
    with connect(url, autocommit=True) as conn:
        apply(conn, catalog, text, ENTERED)
        ledger.topic(conn, CLOSED)
        account(conn, "acme")
        timelines.rent(
            conn, item="it", title="It", plan="edge", account="acme", server="srv", at=START,
            catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
        end = START + timedelta(days=days)
        ledger.meter(conn, "srv", "port.tx_bytes", "1", TB, START, end)
        ledger.settle(conn, "srv", MARCH + timedelta(minutes=1))
        (outcome,) = close_month(url, "2026-02", folder=folder).outcomes
        row = conn.execute("SELECT document->'lines'->0->'line'->>'title' FROM invoice").fetchone()
    return outcome, row[0] if row else ""


@pytest.mark.parametrize(
    ("below", "days", "status", "title"),
    [
        ("park", 28, Status.ISSUED, "It: port"),
        ("note", 14, Status.ISSUED, "It: port (50 % of the windows measured)"),
        ("park", 14, Status.PARKED, ""),
    ],
)
def test_what_follows(
    billing_url: str, tmp_path: Path, below: str, days: int, status: Status, title: str
) -> None:
    outcome, said = closed(billing_url, tmp_path, below, days)
    assert (outcome.status, said) == (status, title), outcome
    if status is Status.PARKED:
        (reason,) = outcome.reasons
        assert reason.startswith("it (port): 50 % of the windows were measured, 90 % are agreed.")
