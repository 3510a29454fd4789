"""What the ledger says of those who work on it: who holds a partition, what is overdue. Reads only.

Times are arguments; how late is too late is decided by who asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sinks.accruals import due_scopes
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition, how far it is metered, and whether the worker that claimed it is connected."""

    part: int
    next_offset: int
    append_ms: int
    held: bool


def claims(conn: Connection, topic_id: UUID) -> list[Claim]:
    """Of all partitions that were ever metered, in order.

    A session's start is shown to its own user and to monitors alone; its number to everybody.
    """
    rows = conn.execute(
        """
        SELECT o.part, o.next_offset, o.append_ms, EXISTS (
            SELECT FROM pg_stat_activity a WHERE a.pid = o.backend_pid
            AND (a.backend_start IS NULL OR a.backend_start = o.backend_start))
        FROM ingest_offset o WHERE o.topic_id = %s ORDER BY o.part
        """,
        (topic_id,),
    ).fetchall()
    return [Claim(*row) for row in rows]


def overdue_scopes(conn: Connection, now: datetime, late: timedelta, limit: int) -> list[str]:
    """Scopes that a rater should have rated by itself before ``now - late``."""
    return due_scopes(conn, now - late, limit)


def overdue_deliveries(conn: Connection, now: datetime, late: timedelta) -> tuple[int, str | None]:
    """How many webhooks nobody has tried in time, and why the last try of one failed."""
    row = conn.execute(
        "SELECT count(*), max(last_error) FROM alert_outbox"
        " WHERE delivered_at IS NULL AND failed IS NULL AND next_try_at < %s",
        (now - late,),
    ).fetchone()
    return (int(row[0]), row[1]) if row else (0, None)


def keyless_servers(conn: Connection, now: datetime, limit: int) -> list[str]:
    """Servers that somebody rents and that have no key in force: their reports are refused."""
    now_ms = int(now.timestamp() * 1000)
    rows = conn.execute(
        """
        SELECT DISTINCT a.server_id FROM assignment a
        WHERE a.valid @> %s AND NOT EXISTS (
            SELECT FROM agent_key k WHERE k.server_id = a.server_id
            AND k.valid_from_ms <= %s AND k.valid_to_ms > %s)
        ORDER BY 1 LIMIT %s
        """,
        (now, now_ms, now_ms, limit),
    ).fetchall()
    return [row[0] for row in rows]


def keys_that_end(conn: Connection, now: datetime, within: timedelta) -> list[str]:
    """Servers whose last key in force ends soon, with none to follow it."""
    now_ms, soon_ms = (int(at.timestamp() * 1000) for at in (now, now + within))
    rows = conn.execute(
        "SELECT server_id FROM agent_key WHERE valid_to_ms > %s GROUP BY server_id"
        " HAVING max(valid_to_ms) < %s ORDER BY 1",
        (now_ms, soon_ms),
    ).fetchall()
    return [row[0] for row in rows]


def clock_ahead(conn: Connection, now: datetime) -> timedelta:
    """How far the database's clock is ahead of ``now``, within the time of one answer."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    ahead: timedelta = row[0] - now
    return ahead


def arrived(conn: Connection, origins: Sequence[str]) -> set[str]:
    """Which of these origins the ledger has heard of."""
    rows = conn.execute(
        "SELECT origin FROM server_state WHERE origin = ANY(%s)", (list(origins),)
    ).fetchall()
    return {row[0] for row in rows}
