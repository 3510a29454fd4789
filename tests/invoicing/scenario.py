"""Scenarios that a billing clerk can read: who rented what, what was used, the invoice expected.

The text above ``close`` is done, in order; the text below it must be what the invoices say. Times
are local to the account. Usage is spread evenly over five-minute windows.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.conninfo import conninfo_to_dict

from invoicing.close import close
from invoicing.document import Document, DocumentLine
from invoicing.export import load
from invoicing.report import CloseReport
from pipeline.catalog import Catalog
from pipeline.catalog import load as load_catalog
from sinks import timelines
from sinks.catalogs import apply
from sinks.database import Connection, connect
from tests.invoicing import ledger

FOLDER = Path(__file__).parent / "scenarios"
TEXT = (FOLDER / "catalogue.toml").read_text()
CATALOG: Catalog = load_catalog(TEXT, "catalogue.toml")
GRACE_MS = 900_000
ENTERED = datetime(2026, 1, 2, tzinfo=UTC)
CLOSED = datetime(2026, 4, 30, 12, tzinfo=UTC)
TB = 10**12


@dataclass
class World:
    """A database and what the scenario has put into it."""

    url: str
    conn: Connection
    accounts: dict[str, str] = field(default_factory=dict)
    servers: dict[str, datetime] = field(default_factory=dict)
    """Until when each reported, as long as its state is not written."""

    def at(self, text: str) -> datetime:
        zone = next(iter(self.accounts.values()))
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def play(url: str, text: str) -> tuple[str, str]:
    """(what the invoices say, what the scenario expects)."""
    story, _, expected = text.partition("\ninvoice ")
    with connect(url, autocommit=True) as conn:
        world = prepare(url, conn)
        for line in story.splitlines()[1:]:
            if line.strip():
                _do(world, line)
        return "\n".join(told(conn)), f"invoice {expected}".rstrip()


def prepare(url: str, conn: Connection, appended: datetime = CLOSED) -> World:
    """A world with a catalogue and a topic metered up to an instant."""
    apply(conn, CATALOG, TEXT, ENTERED)
    ledger.topic(conn, appended)
    return World(url, conn)


def _do(world: World, line: str) -> None:
    for pattern, act in _ACTS:
        if found := re.fullmatch(pattern, line.strip()):
            act(world, **found.groupdict())
            return
    raise AssertionError(f"no scenario says {line!r}")


def _account(world: World, name: str, zone: str) -> None:
    world.accounts[name] = zone
    timelines.add_account(
        world.conn, account=name, name=f"{name.title()} SAS", country="FR", currency="EUR",
        timezone=zone, address=("12 rue des Machines", "75011 Paris"), vat_id="FR40303265045",
    )  # fmt: skip


def _rent(world: World, item: str, server: str, at: str, account: str | None) -> None:
    timelines.rent(
        world.conn, item=item, title=f"AX server {item}", plan="ax-hourly",
        account=account or next(iter(world.accounts)), server=server, at=world.at(at),
        catalog=CATALOG, entered_at=ENTERED,
    )  # fmt: skip


def _usage(world: World, server: str, amount: str, start: str, end: str) -> None:
    total, last = int(Decimal(amount) * TB), world.at(end)
    ledger.meter(world.conn, server, "net.tx_bytes", "eth0", total, world.at(start), last)
    world.servers[server] = last


def _swap(world: World, item: str, server: str, at: str) -> None:
    timelines.assign(world.conn, item, server, world.at(at), ENTERED)


def _end(world: World, item: str, at: str) -> None:
    timelines.end(world.conn, item, world.at(at))


def _late(world: World, server: str, amount: str, at: str) -> None:
    ledger.late(world.conn, server, int(Decimal(amount) * TB), world.at(at))


def _more(world: World, server: str, at: str) -> None:
    assert server not in world.servers, f"{server} has not reported yet"
    ledger.reported(world.conn, world.at(at))


def settle(world: World) -> None:
    while world.servers:
        server, last = world.servers.popitem()
        ledger.settle(world.conn, server, last + timedelta(minutes=1))


def _close(world: World, month: str) -> None:
    settle(world)
    report = close_month(world.url, month)
    assert report.exit_code == 0, report


def close_month(
    url: str, month: str | None = "2026-02", *, issued_at: datetime = CLOSED, **rest: Any
) -> CloseReport:
    """A close with the defaults of these tests."""
    return close(
        url,
        issued_at=issued_at,
        grace_ms=GRACE_MS,
        period_month=month,
        **{"seller": CATALOG.seller, "numbers": numbers_of(url), **rest},
    )


def numbers_of(url: str) -> Path:
    """The number log of a test's database: beside the socket of its server, if that is ours."""
    known = conninfo_to_dict(url)
    beside = Path(str(known["host"]))
    return (beside if beside.is_dir() else Path(gettempdir())) / f"{known['dbname']}.numbers"


def told(conn: Connection) -> list[str]:
    """All invoices as a clerk would read them out."""
    rows = conn.execute("SELECT invoice_id::text FROM invoice ORDER BY number").fetchall()
    return [line for (invoice_id,) in rows for line in _told(load(conn, invoice_id)[0])]


def _told(document: Document) -> list[str]:
    totals = document.totals
    taxes = ", ".join(f"{tax.category} {tax.rate} % {tax.tax}" for tax in document.taxes)
    return [
        f"{document.kind} {document.number} for {document.buyer.account}, {document.currency}"
        + (f", corrects {document.corrects}" if document.corrects else ""),
        *(f"  {_line(row)}" for row in document.lines),
        f"  net {totals.net}, {taxes}, gross {totals.gross}",
    ]


def _line(row: DocumentLine) -> str:
    line = row.line
    said = (
        f"{line.item} {line.charge:10} {line.quantity} {line.unit} × {line.unit_price} = {line.net}"
    )
    if line.capped:
        said += " capped"
    if line.corrects:
        said += f"    corrects {line.corrects}"
    if row.coverage is not None:
        said += (
            f"    {line.base_quantity} used, {line.allowance} included, {row.coverage} % observed"
        )
    return said


AMOUNT = r"[\d.]+"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"
SPAN = f"from (?P<start>{TIME}) to (?P<end>{TIME})"
_ACTS = (
    (r"account (?P<name>\S+) +(?P<zone>\S+)", _account),
    (
        rf"rent +(?P<item>\S+) +on (?P<server>\S+) from (?P<at>{TIME})( for (?P<account>\S+))?",
        _rent,
    ),
    (
        rf"usage +(?P<server>\S+) +(?P<amount>{AMOUNT}) TB {SPAN}",
        _usage,
    ),
    (rf"swap +(?P<item>\S+) +to (?P<server>\S+) at (?P<at>{TIME})", _swap),
    (rf"end +(?P<item>\S+) +at (?P<at>{TIME})", _end),
    (rf"late +(?P<server>\S+) +(?P<amount>-?{AMOUNT}) TB at (?P<at>{TIME})", _late),
    (rf"silence +(?P<server>\S+) +until (?P<at>{TIME})", _more),
    (r"close +(?P<month>\d{4}-\d\d)", _close),
)
