"""Small months for tests: a few accounts, one server each, a day of usage, everything settled."""

from datetime import UTC, datetime, timedelta

from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection
from tests.invoicing import ledger
from tests.invoicing.scenario import CATALOG, CLOSED, ENTERED, TB, TEXT

START = datetime(2026, 2, 1, tzinfo=UTC)
END = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def month_of(conn: Connection, accounts: int, *, appended: datetime = CLOSED) -> list[str]:
    """A UTC February with that many accounts, ``acme-0`` on ``srv-0`` and so on."""
    apply(conn, CATALOG, TEXT, ENTERED)
    ledger.topic(conn, appended)
    names = [f"acme-{number}" for number in range(accounts)]
    for number, name in enumerate(names):
        account(conn, name)
        rented(conn, name, f"item-{number}", f"srv-{number}", (21 + number) * TB)
    return names


def account(conn: Connection, name: str) -> None:
    timelines.add_account(
        conn, account=name, name=f"{name} GmbH", country="DE", currency="EUR", timezone="UTC",
        address=("Straße 1", "10115 Berlin"),
    )  # fmt: skip


def rented(
    conn: Connection,
    name: str,
    item: str,
    server: str,
    total: int,
    *,
    start: datetime = START,
    reported: datetime = END + timedelta(minutes=1),
) -> None:
    """An item on a server that used ``total`` bytes on its first day and reported till the end."""
    timelines.rent(
        conn, item=item, title=f"AX server {item}", plan="ax-hourly", account=name, server=server,
        at=start, catalog=CATALOG, entered_at=ENTERED,
    )  # fmt: skip
    ledger.meter(conn, server, "net.tx_bytes", "eth0", total, start, start + DAY)
    ledger.settle(conn, server, reported)
