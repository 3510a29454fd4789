"""A month of every kind of charge, closed, reconciled, explained, verified; and the month after."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from invoicing.explain import explain
from invoicing.export import load as load_document
from invoicing.report import CloseReport, Status
from invoicing.verify import verify
from pipeline.catalog import load
from pipeline.contract import load_contract
from schemas.prices import IntervalKind
from sinks import intervals, timelines
from sinks.alterations import add_addon
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, TB, TEXT, close_month
from tests.invoicing.worlds import END, START, account

PLAN = """
[plan.everything]
name = "Everything"
tax = "hosting"
rent = { price = "60.00 / month", bill = "advance" }
setup = { price = "79.00 once" }
hours = { price = "0.10 / hour", cap = "40.00 / month" }
traffic.meter = { sum = ["port.tx_bytes"], source = "switch", gap = "interpolate" }
traffic.allow = { quantity = "1 TB / month", prorate = "none" }
traffic.graduated = { 0 = "2.00 / TB", 5 = "1.00 flat + 1.50 / TB" }
copies.meter = { sum = ["port.tx_bytes"], source = "switch", gap = "interpolate" }
copies.package = "0.50 / 3 TB"
port.meter = { p95 = ["port.tx_bytes"] }
port.commit = { quantity = "1 Mbps", price = "0.60 / Mbps" }
port.price = "0.90 / Mbps"
gpu.meter = { allocation = "gpu" }
gpu.share = "1/7"
gpu.price = "2.19 / GPU-hour"

[addon.help]
name = "Help"
tax = "hosting"
price = "9.00 once"
"""
UNITS = """
Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "0.01" }
GPU-hour = { of = "gpu.alloc_ms", is = 3_600_000, step = "0.01" }
"""
EVERYTHING = TEXT.replace("[plan.ax-hourly]", f"{UNITS}\n[plan.ax-hourly]") + PLAN
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """One item of the plan with all charges: 7 TB in two days of February, none in March."""
    with connect(billing_url, autocommit=True) as conn:
        catalog = load(EVERYTHING, "everything.toml")
        apply(conn, catalog, EVERYTHING, ENTERED)
        ledger.topic(conn, CLOSED)
        account(conn, "acme")
        timelines.rent(
            conn, item="it", title="It", plan="everything", account="acme", server="srv",
            at=START, catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
        two_days = START + timedelta(days=2)
        ledger.meter(conn, "srv", "port.tx_bytes", "1", 7 * TB, START, two_days)
        ledger.settle(conn, "srv", APRIL + timedelta(minutes=1))
        yield conn


def closed(url: str, month: str, folder: Path) -> CloseReport:
    report = close_month(url, month, folder=folder)
    assert [one.status for one in report.outcomes] == [Status.ISSUED], report
    return report


def billed(conn: Connection, number: str) -> list[str]:
    row = conn.execute("SELECT invoice_id FROM invoice WHERE number = %s", (number,)).fetchone()
    assert row is not None
    return [
        f"{one.line.charge}: {one.line.quantity} {one.line.unit} × {one.line.unit_price}"
        f" = {one.line.net}"
        for one in load_document(conn, str(row[0]))[0].lines
    ]


def test_two_months_of_every_charge(conn: Connection, billing_url: str, tmp_path: Path) -> None:
    closed(billing_url, "2026-02", tmp_path)
    assert billed(conn, "RM-2026-000001") == [
        "copies: 3 package of 3 TB × 0.50 = 1.50",
        "gpu: 96.00 GPU-hour × 2.19 = 210.24",
        "hours: 672 hour × 0.10 = 40.00",
        "port: 323.07 Mbps × 0.90 = 290.76",
        "port: 1.00 Mbps × 0.60 = 0.60",
        "rent: 1.000000 month × 60.00 = 60.00",
        "rent: 1.000000 month × 60.00 = 60.00",
        "setup: 1 fee × 79.00 = 79.00",
        "traffic: 5 TB × 2.00 = 10.00",
        "traffic: 1.000 TB × 1.50 = 1.50",
        "traffic: 1 flat fee × 1.00 = 1.00",
    ]
    closed(billing_url, "2026-03", tmp_path)
    assert billed(conn, "RM-2026-000002") == [
        "copies: 0 package of 3 TB × 0.50 = 0.00",
        "gpu: 106.29 GPU-hour × 2.19 = 232.78",
        "hours: 744 hour × 0.10 = 40.00",
        "port: 0.00 Mbps × 0.90 = 0.00",
        "port: 1.00 Mbps × 0.60 = 0.60",
        "rent: 1.000000 month × 60.00 = 60.00",
        "traffic: 0.000 TB × 2.00 = 0.00",
    ]


def test_it_is_explained_line_by_line_and_verifies(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    closed(billing_url, "2026-02", tmp_path)
    for position in range(1, 12):
        found = explain(conn, f"RM-2026-000001/{position}")
        assert found.differences == ()
        assert found.line is not None
        assert found.line.title in found.to_text()
    assert verify(tmp_path / "RM-2026-000001.pdf") == []
    assert verify(tmp_path / "RM-2026-000001.json") == []


TERMS = """
contract = "part"
base = "BASE"
scope = "it"
effective = 2026-02-01
[discount.half]
percent = "50 %"
charges = ["traffic", "copies", "port", "gpu"]
from = 2026-02-02
[discount.month]
amount = "28.00 / month"
charges = ["hours"]
until = 2026-02-15
"""


def test_terms_that_hold_for_a_part_of_the_month(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """7 TB are sent in two days; 23 hours of them are over when half is off, at midnight in Berlin.
    Of 28.00 a month 335 of 672 hours have 13.96. Every charge comes to what it does uncut.
    """
    text = TERMS.replace("BASE", load(EVERYTHING, "everything.toml").version)
    apply_contract(conn, load_contract(text, "part.toml", EVERYTHING), text, ENTERED)
    closed(billing_url, "2026-02", tmp_path)
    found = billed(conn, "RM-2026-000001")
    assert found[:15] + found[18:] == [
        "copies: 2 package of 3 TB × 0.50 = 1.00",
        "copies: 1 package of 3 TB × 0.50 = 0.50",
        "copies: 1 discount × -0.25 = -0.25",
        "gpu: 3.29 GPU-hour × 2.19 = 7.21",
        "gpu: 92.71 GPU-hour × 2.19 = 203.03",
        "gpu: 1 discount × -101.52 = -101.52",
        "hours: 335 hour × 0.10 = 33.50",
        "hours: 1 discount × -13.96 = -13.96",
        "hours: 337 hour × 0.10 = 6.50",
        "port: 10.09 Mbps × 0.90 = 9.08",
        "port: 0.03 Mbps × 0.60 = 0.02",
        "port: 312.98 Mbps × 0.90 = 281.68",
        "port: 0.97 Mbps × 0.60 = 0.58",
        "port: 1 discount × -140.84 = -140.84",
        "port: 1 discount × -0.29 = -0.29",
        "traffic: 2.354 TB × 2.00 = 4.71",
        "traffic: 2.646 TB × 2.00 = 5.29",
        "traffic: 1 discount × -2.65 = -2.65",
        "traffic: 1.000 TB × 1.50 = 1.50",
        "traffic: 1 flat fee × 1.00 = 1.00",
        "traffic: 1 discount × -0.75 = -0.75",
        "traffic: 1 discount × -0.50 = -0.50",
    ]
    for position in range(1, len(found) + 1):
        assert explain(conn, f"RM-2026-000001/{position}").differences == ()
    assert verify(tmp_path / "RM-2026-000001.pdf") == []


def test_a_plan_cancelled_after_it_was_billed_in_advance_pays_back(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """March is billed with February; ended after 10 of 31 days, the rest comes back."""
    closed(billing_url, "2026-02", tmp_path)
    timelines.end(conn, "it", END + timedelta(days=10))
    closed(billing_url, "2026-03", tmp_path)
    rent = [line for line in billed(conn, "RM-2026-000002") if line.startswith("rent")]
    assert rent == [
        "rent: 0.322581 month × 60.00 = 19.35",
        "rent: 1 billed in advance × -60.00 = -60.00",
    ]


def test_what_a_trial_defers_is_on_the_invoice_of_the_month_in_which_it_ends(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """A set-up, and help that is booked in February: all is free until the third of March."""
    end = END + timedelta(days=2)
    intervals.suspend(
        conn, "it", at=START, until=end, kind=IntervalKind.TRIAL, entered_at=ENTERED
    )  # fmt: skip
    add_addon(
        conn, "it", addon="help", at=START + timedelta(days=9), entered_at=ENTERED,
        catalog=load(EVERYTHING, "everything.toml"),
    )  # fmt: skip
    closed(billing_url, "2026-02", tmp_path)
    assert billed(conn, "RM-2026-000001") == ["rent: 0.935484 month × 60.00 = 56.13"]
    closed(billing_url, "2026-03", tmp_path)
    lines = billed(conn, "RM-2026-000002")
    once = [n for n, line in enumerate(lines, 1) if " fee " in line]
    assert [lines[n - 1] for n in once] == [
        "help: 1 fee × 9.00 = 9.00",
        "setup: 1 fee × 79.00 = 79.00",
    ]
    said = [explain(conn, f"RM-2026-000002/{n}") for n in once]
    assert [one.differences for one in said] == [(), ()]
    assert "before, in time that is free: due at 2026-03-03T00:00:00Z" in said[0].to_text()
    assert "It began 2026-02-01T00:00:00Z: free until 2026-03-03T00:00:00Z" in said[1].to_text()
    assert verify(tmp_path / "RM-2026-000002.json") == []
