"""A ledger to look at: a fleet with its customers, seeded by SQL, the same each time.

`seed` fills the tables as metering and renting would have: a day's ups and downs, bursts, GPUs that
idle, MIG instances, a server that fell silent, one that never reported, one with holes. `bill` has
the rater rate and the close close: one account parked, usage after a seal. Used by the tests of
the dashboards, their pictures (docs.draw_dashboards) and benchmarks.dashboards.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from psycopg import ClientCursor

from pipeline.catalog import price_rows
from pipeline.choices import Priced
from schemas.billing import Item, Span
from sinks.accruals import rate_open
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.prices import write_prices
from sinks.store.refresh import refresh
from tests.invoicing.ledger import TOPIC, topic
from tests.invoicing.scenario import CATALOG, TEXT, close_month

END: Final = datetime(2026, 3, 20, 12, tzinfo=UTC)
"""The fleet's present: its last readings."""
MONTH: Final = "2026-02"
"""The month that is over by then."""
STATEMENTS: Final = Path(__file__).with_suffix(".sql")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is: `servers` × `days` × 288 windows, nearly."""

    servers: int = 12
    accounts: int = 3
    days: int = 35

    @property
    def start(self) -> datetime:
        return END - timedelta(days=self.days)


def seed(conn: Connection, size: Size, *, settled: bool = True) -> None:
    """Everything but what the rater and the close make of it. Autocommit.

    Not `settled`, the heads do not say what the windows sum to: for a store of which nothing is
    billed, as adding up takes longer than all the rest.
    """
    apply(conn, CATALOG, TEXT, size.start)
    topic(conn, END)
    values = {
        "servers": size.servers,
        "accounts": size.accounts,
        "start": size.start,
        "end": END,
        "topic": TOPIC,
        "settled": settled,
    }
    ClientCursor(conn).execute(STATEMENTS.read_bytes(), values)
    for (item,) in conn.execute("SELECT item_id FROM scene ORDER BY n").fetchall():
        rows = price_rows(CATALOG, Item(item, item, "ax-hourly", Span(size.start)))
        write_prices(conn, (), [Priced("ax-hourly", row) for row in rows], size.start)
    conn.execute("ANALYZE")


def store(conn: Connection) -> None:
    """What `rackmeter db maintain` had stored at noon of the last day but one: hours and days."""
    refresh(conn, END - timedelta(days=1))


def bill(conn: Connection, url: str) -> None:
    """Rates every scope and closes the month, with one reading that is not what it should be."""
    for (scope,) in conn.execute("SELECT scope_id FROM rating_scope ORDER BY 1").fetchall():
        rate_open(conn, scope, END, END - timedelta(seconds=3))
    tampered = "UPDATE server_state SET last[1] = last[1] + %s WHERE server_id = 'srv-0001'"
    conn.execute(tampered, (-1,))
    close_month(url, MONTH, issued_at=END - timedelta(hours=6))
    conn.execute(tampered, (1,))
    conn.execute(
        """
        INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)
        SELECT server_id, '2026-02-27 10:00Z', set_id, ARRAY[0, 7000000000, 0, 0], 0, 2000, 'tail'
        FROM scene WHERE server_id = 'srv-0000'
        """
    )
