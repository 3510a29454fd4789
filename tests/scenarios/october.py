"""October in Berlin, as `berlin-october/usage.toml` tells it: what was rented and what was used."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from pipeline.catalog import Catalog, load
from schemas.prices import IntervalKind
from schemas.terms import CreditKind
from sinks import timelines
from sinks.alterations import add_addon, resize
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection
from sinks.intervals import suspend
from sinks.versions import read_contract
from sinks.wallet import Grant, grant
from tests.invoicing import ledger

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


class Used(NamedTuple):
    """What a server used, spread evenly over the five-minute windows of ``[start, end)``."""

    server: str
    start: datetime
    end: datetime
    totals: dict[str, int]
    """Meter → base units."""

    @property
    def windows(self) -> int:
        return (self.end - self.start) // ledger.WINDOW


_BEFORE: Final = 50 * TB * (105 * 12 + 6) // WINDOWS
"""Of web's 50 TB, until its server is swapped."""
_RATES: Final = {"port.rx_bytes": 120 * MBPS, "port.tx_bytes": 3125 * MBPS // 10}
USED: Final = (
    Used("s-web", START, local("05 09:30"), {"net.tx_bytes": _BEFORE}),
    Used("s-web-2", local("05 09:30"), END, {"net.tx_bytes": 50 * TB - _BEFORE}),
    Used("s-shop", local("05 14:30"), local("20 09:10"), {"net.tx_bytes": 8 * TB}),
    Used("s-edge", START, END, {meter: rate * WINDOWS for meter, rate in _RATES.items()}),
    Used("s-space", START, END,
         {"volume.used_mib_s": 1200 * GIB_MONTH, "port.rx_bytes": 201 * 10**9}),
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
