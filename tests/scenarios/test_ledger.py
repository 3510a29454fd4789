"""The golden month in a real ledger: rented by the commands, metered, closed to the same cents."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from invoicing.close import close
from invoicing.document import Document
from invoicing.export import load as load_document
from invoicing.report import Status
from invoicing.verify import verify
from pipeline.catalog import Catalog, load
from schemas.prices import IntervalKind
from schemas.terms import CreditKind
from sinks import timelines
from sinks.alterations import add_addon, resize
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection, connect
from sinks.intervals import suspend
from sinks.versions import read_contract
from sinks.wallet import Grant, grant
from tests.fix_billing import series_set
from tests.invoicing import ledger
from tests.invoicing.scenario import GRACE_MS
from tests.scenarios.table import rows, single, sums

FOLDER = Path(__file__).parent / "berlin-october"
BERLIN = ZoneInfo("Europe/Berlin")
TB, MBPS, GIB_MONTH = 10**12, 37_500_000, 2_691_072_000
WINDOWS = 745 * 12


def local(text: str) -> datetime:
    """Of October in Berlin: ``05 14:30``; the first of November is ``32``."""
    day, _, time = text.partition(" ")
    date = f"2026-11-{int(day) - 31:02}" if int(day) > 31 else f"2026-10-{day}"
    at = datetime.fromisoformat(f"{date}T{time or '00:00'}").replace(tzinfo=BERLIN)
    return at.astimezone(UTC)


START, END = local("01"), local("32")
CLOSED = local("34 12:00")


def metered(conn: Connection, server: str, start: str, end: str, totals: Mapping[str, int]) -> None:
    """Usage spread evenly over the windows, and the readings that say the same at both ends."""
    set_id, low, high = (
        series_set(conn, [(meter, "1") for meter in totals]),
        local(start),
        local(end),
    )
    units = list(totals.values())
    conn.execute(
        """
        INSERT INTO usage_window
        SELECT %(server)s, %(low)s + k * interval '5 minutes', %(set)s,
               (SELECT array_agg((div((k + 1) * total, %(n)s) - div(k * total, %(n)s))::bigint
                                 ORDER BY no)
                FROM unnest(%(units)s::numeric[]) WITH ORDINALITY AS t (total, no)),
               300000, 0, 1000
        FROM generate_series(0, %(n)s - 1) AS k
        """,
        {"server": server, "low": low, "set": set_id, "units": units,
         "n": (high - low) // ledger.WINDOW},
    )  # fmt: skip
    since, at = (int(instant.timestamp() * 1000) for instant in (low, high))
    conn.execute(
        "INSERT INTO reading_anchor VALUES (%s, %s, %s, 'opening', 1, %s, %s, %s, 0, 1)",
        (server, ledger.ORIGIN, low, set_id, [0] * len(units), ledger.TOPIC),
    )
    conn.execute(
        "INSERT INTO server_state"
        " VALUES (0, %s, %s, %s, 2, '', %s, %s, %s, %s, NULL, %s, %s, 0, '')",
        (server, ledger.ORIGIN, since, at + 60_000, at + 60_000 - since, set_id, units,
         at, [0] * len(units)),
    )  # fmt: skip


def rented(conn: Connection, prices: Catalog, item: str, plan: str, at: str = "01") -> None:
    timelines.rent(
        conn, item=item, title=item, plan=plan, account="acme", server=f"s-{item}", at=local(at),
        catalog=prices, entered_at=START, scope="acme",
    )  # fmt: skip


def october(conn: Connection) -> Catalog:
    """What happened, by the commands, as `usage.toml` tells it."""
    text, agreed = ((FOLDER / f"{name}.toml").read_text("utf-8") for name in ("prices", "contract"))
    base = load(text, "prices.toml")
    apply(conn, base, text, START)
    ledger.topic(conn, CLOSED)
    for account in ("acme", "bolt"):
        timelines.add_account(
            conn, account=account, name=f"{account} GmbH", country="DE", currency="EUR",
            timezone="Europe/Berlin", address=("Straße 1", "10115 Berlin"),
        )  # fmt: skip
    rented(conn, base, "web", "ax")
    contract = read_contract(conn, agreed, "contract.toml")
    apply_contract(conn, contract, agreed, START)
    prices = contract.catalog
    for name, count in (("ipv4", 4), ("handbook", 1), ("bw-10tb", 1), ("bw-5tb", 1)):
        add_addon(conn, "web", addon=name, count=count, at=START, catalog=prices, entered_at=START)
    for item, plan in (("edge", "edge"), ("gpu", "h100"), ("slice", "slice"), ("space", "storage")):
        rented(conn, prices, item, plan)
    rented(conn, prices, "shop", "ax", "05 14:30")
    rented(conn, prices, "db", "dx", "21")
    timelines.swap(conn, "web", "s-web-2", local("05 09:30"), START)
    resize(conn, "web", plan="ax-large", at=local("16"), catalog=prices, entered_at=START)
    timelines.hand_over(
        conn, "shop", to="kiosk", account="bolt", at=local("20 09:10"), catalog=base,
        entered_at=START,
    )  # fmt: skip
    for item, kind, at, until in (
        ("gpu", IntervalKind.EXCLUSION, "24 12:00", "25 12:00"),
        ("slice", IntervalKind.TRIAL, "01", "08"),
    ):
        suspend(conn, item, kind=kind, at=local(at), until=local(until), entered_at=START)
    gifts = (("welcome", CreditKind.PROMOTIONAL, "50.00"), ("top-up", CreditKind.PAID, "1000.00"))
    for name, credit, amount in gifts:
        grant(conn, Grant("acme", name, credit, Decimal(amount), START), "op", START, "bank")
    return prices


def used(conn: Connection) -> None:
    before = 50 * TB * (105 * 12 + 6) // WINDOWS
    metered(conn, "s-web", "01", "05 09:30", {"net.tx_bytes": before})
    metered(conn, "s-web-2", "05 09:30", "32", {"net.tx_bytes": 50 * TB - before})
    metered(conn, "s-shop", "05 14:30", "20 09:10", {"net.tx_bytes": 8 * TB})
    rates = {"port.rx_bytes": 120 * MBPS, "port.tx_bytes": 3125 * MBPS // 10}
    metered(conn, "s-edge", "01", "32", {m: rate * WINDOWS for m, rate in rates.items()})
    stored = {"volume.used_mib_s": 1200 * GIB_MONTH, "port.rx_bytes": 201 * 10**9}
    metered(conn, "s-space", "01", "32", stored)


def invoice(conn: Connection, account: str) -> Document:
    row = conn.execute(
        "SELECT invoice_id FROM invoice WHERE account_id = %s", (account,)
    ).fetchone()
    assert row is not None
    return load_document(conn, str(row[0]))[0]


def test_the_close_is_what_the_clerk_wrote(billing_url: str, tmp_path: Path) -> None:
    with connect(billing_url, autocommit=True) as conn:
        prices = october(conn)
        used(conn)
        report = close(
            billing_url, seller=prices.seller, issued_at=CLOSED, grace_ms=GRACE_MS,
            numbers=tmp_path / "numbers", period_month="2026-10", accounts=["acme"],
            folder=tmp_path / "out",
        )  # fmt: skip
        assert [one.status for one in report.outcomes] == [Status.ISSUED], report
        document = invoice(conn, "acme")
    found = sorted((x.line.item, x.line.charge, x.line.net) for x in document.lines)
    assert found == single(rows(FOLDER))
    totals = document.totals
    assert {
        "net": str(totals.net), "tax": str(totals.tax), "gross": str(totals.gross),
        "due": str(totals.due),
    } == sums(FOLDER)  # fmt: skip
    (file,) = (tmp_path / "out").rglob("*.json")
    assert verify(file) == []
