"""What a corrected month leaves of packs and allowances is what later months find."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from invoicing.document import Document
from invoicing.export import load as load_document
from pipeline.catalog import load
from schemas.billing import LineKind
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import CLOSED, ENTERED, TB, TEXT, close_month
from tests.invoicing.test_adjust import APRIL, MAY
from tests.invoicing.worlds import DAY, END, START, account

TEXT_OF = (
    TEXT
    + """
[plan.rolls]
name = "Rolls over"
traffic.meter = { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }
traffic.price = "1.00 / TB"
traffic.tax = "hosting"
[plan.rolls.traffic.allow]
quantity = "20 TB / month"
prorate = "none"
pool = "eu"
rollover = { most = "20 TB", expires = "2 months" }

[addon.more]
name = "10 TB within three months"
price = "9.00 once"
adds = "10 TB"
to = "eu"
expires = "3 months"
tax = "hosting"
"""
)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """February used 12 of 20 TB and leaves 8; March used 25, and April 30."""
    with connect(billing_url, autocommit=True) as conn:
        catalog = load(TEXT_OF, "rolls.toml")
        apply(conn, catalog, TEXT_OF, ENTERED)
        ledger.topic(conn, CLOSED)
        account(conn, "acme-0")
        timelines.rent(
            conn, item="it", title="It", plan="rolls", account="acme-0", server="srv", at=START,
            catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
        for start, used in ((START, 12), (END, 25), (APRIL, 30)):
            ledger.meter(conn, "srv", "net.tx_bytes", "eth0", used * TB, start, start + DAY)
        ledger.settle(conn, "srv", MAY)
        reported(conn, MAY)
        yield conn


def papers(conn: Connection) -> list[Document]:
    rows = conn.execute("SELECT invoice_id::text FROM invoice ORDER BY issued_at, number")
    return [load_document(conn, one)[0] for (one,) in rows.fetchall()]


def charged(conn: Connection) -> dict[str, Decimal]:
    """What each month came to, by all documents."""
    rows = conn.execute(
        "SELECT substr(line_key, position('2026-' IN line_key), 7), sum(net)"
        " FROM invoice_line GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return dict(rows)


def months(conn: Connection, url: str, *names: str) -> None:
    for number, name in enumerate(names):
        report = close_month(url, f"2026-{name}", issued_at=MAY + (1 + number) * DAY)
        assert report.exit_code == 0, report


def test_an_open_month_finds_what_the_corrected_one_leaves(
    conn: Connection, billing_url: str
) -> None:
    """Five more in February: it leaves 3 instead of 8, and nothing of it is charged."""
    months(conn, billing_url, "02")
    ledger.late(conn, "srv", 5 * TB, START)
    months(conn, billing_url, "03")
    assert charged(conn) == {"2026-02": Decimal("0.00"), "2026-03": Decimal("2.00")}
    rows = conn.execute("SELECT look, invoice_id, jsonb_array_length(lots) FROM adjustment")
    assert rows.fetchall() == [(1, None, 1)]


def test_a_correction_that_rides_is_found_by_its_own_invoice(
    conn: Connection, billing_url: str
) -> None:
    """Ten more in February: two are charged on March's invoice, and March finds nothing left."""
    months(conn, billing_url, "02")
    ledger.late(conn, "srv", 10 * TB, START)
    months(conn, billing_url, "03")
    assert charged(conn) == {"2026-02": Decimal("2.00"), "2026-03": Decimal("5.00")}


def test_sealed_months_after_it_are_corrected_in_turn(conn: Connection, billing_url: str) -> None:
    """March used 5 of the 8 that February left, April the 3 others: each is charged by now."""
    months(conn, billing_url, "02", "03", "04")
    assert charged(conn) == {
        "2026-02": Decimal("0.00"), "2026-03": Decimal("0.00"), "2026-04": Decimal("7.00"),
    }  # fmt: skip
    ledger.late(conn, "srv", 6 * TB, START)
    reported(conn, MAY + 31 * DAY)
    assert close_month(billing_url, "2026-05", issued_at=MAY + 40 * DAY).exit_code == 0
    assert charged(conn) == {
        "2026-02": Decimal("0.00"), "2026-03": Decimal("3.00"), "2026-04": Decimal("10.00"),
        "2026-05": Decimal("0.00"),
    }  # fmt: skip
    corrected = [
        row.line.net
        for paper in papers(conn)
        for row in paper.lines
        if row.line.kind is LineKind.ADJUSTMENT
    ]
    assert corrected == [Decimal("3.00"), Decimal("3.00")]
    assert close_month(billing_url, "2026-05", issued_at=MAY + 41 * DAY).unbilled == ()
