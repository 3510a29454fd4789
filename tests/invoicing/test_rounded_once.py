"""A month that a change cuts is rounded once: pricing, the database and the explanation say so."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from invoicing.explain import explain
from invoicing.export import load as load_document
from invoicing.report import Status
from invoicing.verify import verify
from pipeline.catalog import load
from sinks import alterations, timelines
from sinks.catalogs import apply
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, TB, TEXT, close_month
from tests.invoicing.worlds import END, START, account

UNIT = """
Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "0.01" }
[plan.ax-hourly]"""
PLAN = """
[plan.NAME]
name = "NAME"
tax = "hosting"
copies.meter = { sum = ["port.tx_bytes"], source = "switch", gap = "interpolate" }
copies.package = "0.50 / 1 TB"
port.meter = { p95 = ["port.tx_bytes"]POOL }
port.price = "0.90 / Mbps"
traffic.meter = { sum = ["port.tx_bytes"], source = "switch", gap = "interpolate" }
traffic.price = "PRICE / TB"
traffic.share = "SHARE"
"""
FIRST = PLAN.replace("NAME", "first").replace("PRICE", "1.00").replace("SHARE", "1/1")
THEN = PLAN.replace("NAME", "then").replace("PRICE", "2.00").replace("SHARE", "1/3")
PRICES = (
    TEXT.replace('step = "0.001"', 'step = "1"').replace("\n[plan.ax-hourly]", UNIT)
    + FIRST.replace("POOL", "")
    + THEN.replace("POOL", ', pool = "edge"')
)
CUT = START + timedelta(days=10, hours=3, minutes=33, seconds=21)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """0.5 TB in the first days, resized amid a window, then 1.5 TB, of which a third is billed."""
    with connect(billing_url, autocommit=True) as conn:
        catalog = load(PRICES, "prices.toml")
        apply(conn, catalog, PRICES, ENTERED)
        ledger.topic(conn, CLOSED)
        account(conn, "acme")
        timelines.rent(
            conn, item="it", title="It", plan="first", account="acme", server="srv",
            at=START, catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
        alterations.resize(conn, "it", plan="then", at=CUT, catalog=catalog, entered_at=ENTERED)
        day = timedelta(days=1)
        ledger.meter(conn, "srv", "port.tx_bytes", "1", TB // 2, START, START + day)
        ledger.meter(conn, "srv", "port.tx_bytes", "1", 3 * TB // 2, START + 14 * day, END)
        ledger.settle(conn, "srv", END + timedelta(minutes=1))
        yield conn


def test_the_close_counts_it_again_and_explains_it(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """Traffic: 0.5 + 1.5 ÷ 3 = 1 TB, not 1 + 1. Copies: 0.5 + 1.5 are two packages, not three."""
    report = close_month(billing_url, folder=tmp_path)
    assert [one.status for one in report.outcomes] == [Status.ISSUED], report
    lines = [row.line for row in load_document(conn, str(report.outcomes[0].invoice_id))[0].lines]
    assert [f"{x.charge} {x.quantity} × {x.unit_price}" for x in lines if x.charge != "port"] == [
        "copies 1 × 0.50", "copies 1 × 0.50", "traffic 1 × 1.00", "traffic 0 × 2.00",
    ]  # fmt: skip
    said = [explain(conn, f"RM-2026-000001/{n}") for n in range(1, len(lines) + 1)]
    assert [one.differences for one in said] == [()] * len(lines)
    last = said[-1].to_text()
    for text in (
        "1500000000000 used − 0 included = 1500000000000 over",
        "× 1/3, the share that is rented = 0.5 TB",
        "− 0.5 by which the lines before in the period were rounded up = 0 TB",
        "rounding of quantity: 0 → 0",
        "in steps of 1 TB, half up, never below zero",
    ):
        assert text in last
    assert verify(tmp_path / "RM-2026-000001.json") == []
