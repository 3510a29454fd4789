"""Partitions of plain PostgreSQL: a month of windows each, made ahead; what came before its month
had one lies in the default partition and is moved out of it.
"""
# ruff: noqa: S608 - names made of numbers

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from sinks.database import Connection

AHEAD: Final = 2
"""Months beyond the current one: the timer may fail for weeks."""
DEFAULT: Final = "usage_window_default"
LOCK_MS: Final = 10_000


def month_of(instant: datetime, after: int = 0) -> datetime:
    """The first instant of the UTC month, or of one that many months later."""
    count = instant.year * 12 + instant.month - 1 + after
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def name_of(month: datetime) -> str:
    return f"usage_window_{month:%Y_%m}"


def partitions(conn: Connection) -> dict[str, datetime]:
    """Name of a partition → its month; the default one is not among them."""
    rows = conn.execute(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'usage_window'::regclass AND relname <> %s ORDER BY 1",
        (DEFAULT,),
    ).fetchall()
    return {
        row[0]: datetime.strptime(row[0], "usage_window_%Y_%m").replace(tzinfo=UTC) for row in rows
    }


def missing(conn: Connection, now: datetime, dropped: datetime | None) -> list[datetime]:
    """Months to make: those ahead, and those with windows in the default partition.

    What came for a month whose windows were dropped stays there: it is counted beside its stored
    hours and never dropped.
    """
    rows = conn.execute(
        f"SELECT DISTINCT date_trunc('month', window_start, 'UTC') FROM {DEFAULT}"
        " WHERE window_start >= coalesce(%s, '-infinity'::timestamptz)",
        (dropped,),
    ).fetchall()
    wanted = {month_of(now, after) for after in range(AHEAD + 1)} | {row[0] for row in rows}
    return sorted(wanted - set(partitions(conn).values()))


def make(conn: Connection, months: Iterable[datetime]) -> None:
    """A partition each, with what the default one holds of it, in a transaction each.

    1. Lock the default partition: a window that came while its month is moved would stay behind.
    2. Make the table, move the rows, attach it. A crash: the server rolls back.
    """
    for month in months:
        name, low, high = name_of(month), month, month_of(month, 1)
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_MS),))
            conn.execute(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE")
            conn.execute(f"CREATE TABLE {name} (LIKE usage_window INCLUDING DEFAULTS)")
            conn.execute(
                f"WITH moved AS (DELETE FROM {DEFAULT}"
                " WHERE window_start >= %s AND window_start < %s RETURNING *)"
                f" INSERT INTO {name} SELECT * FROM moved",
                (low, high),
            )
            conn.execute(
                f"ALTER TABLE usage_window ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{low.isoformat()}') TO ('{high.isoformat()}')"
            )
