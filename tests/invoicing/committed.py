"""A customer who rents by the month and has agreed on a minimum; months are Berlin's. For tests."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from invoicing.export import load
from invoicing.report import CloseReport
from pipeline.catalog import load as load_catalog
from schemas.billing import LineKind
from sinks import timelines
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection
from sinks.versions import read_contract
from tests.invoicing.scenario import TEXT, close_month

RENT = """
[plan.monthly]
name = "Server, by the month"
tax = "hosting"
rent = { price = "100.00 / month" }
[plan.ahead]
name = "Server, by the month and in advance"
tax = "hosting"
rent = { price = "100.00 / month", bill = "advance" }
"""
PRICES = TEXT.replace("effective = 2026-01-01", "effective = 2024-01-01") + RENT
CATALOG = load_catalog(PRICES, "prices.toml")
CONTRACT = """
contract = "NAME"
base = "2026-01"
scope = "s"
effective = 2026-02-01
UNTIL
"""
AGREED = '[commitment.least]\namount = "AMOUNT"\ntax = "hosting"\n'


def at(text: str, timezone: str = "Europe/Berlin") -> datetime:
    """An instant by the clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def customer(conn: Connection, name: str, timezone: str = "Europe/Berlin") -> None:
    timelines.add_account(
        conn, account=name, name=f"{name} GmbH", country="DE", currency="EUR", timezone=timezone,
        address=("Straße 1", "10115 Berlin"),
    )  # fmt: skip


def prices(conn: Connection) -> None:
    apply(conn, CATALOG, PRICES, at("2026-01-02"))


def rented(
    conn: Connection, name: str, item: str, start: datetime, *, entered: datetime | None = None,
    scope: str | None = None, plan: str = "monthly",
) -> None:  # fmt: skip
    timelines.rent(
        conn, item=item, title=item, plan=plan, account=name, server=f"srv-{item}", at=start,
        catalog=CATALOG, entered_at=entered or start, scope=scope,
    )  # fmt: skip


def agreed(
    conn: Connection, amount: str, *, name: str = "C", since: str = "2026-02-01", until: str = "",
    entered: str = "2026-01-20",
) -> None:  # fmt: skip
    """A contract of the scope ``s``; without an amount it asks for nothing, and ends the others."""
    text = CONTRACT.replace("NAME", name).replace("2026-02-01", since)
    text = text.replace("UNTIL", f"until = {until}" if until else "")
    text += AGREED.replace("AMOUNT", amount) if amount else ""
    assert apply_contract(conn, read_contract(conn, text, "c.toml"), text, at(entered)).published


def closed(url: str, month: str | None, issued: str, **rest: object) -> CloseReport:
    """A close of a month, or as of ``issued`` where none is named."""
    issued_at = at(issued)
    as_of = {} if month else {"as_of": issued_at}
    return close_month(url, month, issued_at=issued_at, **as_of, **rest)


def monthly(url: str, first: str, count: int) -> None:
    """The close of so many months, each on the 3rd of the next."""
    year, month = map(int, first.split("-"))
    for number in range(year * 12 + month - 1, year * 12 + month - 1 + count):
        name, then = (f"{n // 12}-{n % 12 + 1:02}" for n in (number, number + 1))
        assert closed(url, name, f"{then}-03").exit_code == 0


def billed(conn: Connection, kind: LineKind) -> list[tuple[str, Decimal]]:
    """The first day of service and the net of each line of a kind, as they were invoiced."""
    rows = conn.execute("SELECT invoice_id::text FROM invoice ORDER BY issued_at, number")
    berlin = ZoneInfo("Europe/Berlin")
    return [
        (f"{line.service.start.astimezone(berlin):%Y-%m-%d}", line.net)
        for (invoice,) in rows
        for line in (row.line for row in load(conn, invoice)[0].lines)
        if line.kind is kind
    ]
