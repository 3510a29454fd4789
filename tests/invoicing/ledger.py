"""Ledgers for invoicing tests: rows put straight into the tables, the conservation law kept.

A server's usage is spread evenly over windows, its readings are the running sums: what metering
would have written had the server reported every five minutes without a mishap.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sinks.database import Connection
from tests.fix_billing import series_set

TOPIC = UUID("00000000-0000-0000-0000-00000000000a")
WINDOW = timedelta(minutes=5)
ORIGIN = "boot-1"


def topic(conn: Connection, appended: datetime, *, partitions: int = 2) -> None:
    """A topic whose partitions are metered up to an instant."""
    conn.execute(
        "INSERT INTO ingest_topic VALUES (%s, 'cluster', 'usage.reports', %s, 'LogAppendTime')",
        (TOPIC, partitions),
    )
    for part in range(partitions):
        conn.execute(
            "INSERT INTO ingest_offset (topic_id, part, next_offset, append_ms)"
            " VALUES (%s, %s, 1000, %s)",
            (TOPIC, part, int(appended.timestamp() * 1000)),
        )


def meter(
    conn: Connection,
    server: str,
    meter: str,
    resource: str,
    total: int,
    start: datetime,
    end: datetime,
    *,
    covered_ms: int = 300_000,
) -> None:
    """``total`` base units spread over the windows of ``[start, end)``; one series a server."""
    set_id = series_set(conn, [(meter, resource)])
    count = (end - start) // WINDOW
    conn.execute(
        """
        INSERT INTO usage_window
        SELECT %(server)s, %(start)s + k * interval '5 minutes', %(set)s,
               ARRAY[div((k + 1) * %(total)s::numeric, %(n)s)
                     - div(k * %(total)s::numeric, %(n)s)]::bigint[],
               %(covered)s, 0, 1000
        FROM generate_series(0, %(n)s - 1) AS k
        """,
        {
            "server": server,
            "start": start,
            "set": set_id,
            "total": total,
            "n": count,
            "covered": covered_ms,
        },
    )


def settle(conn: Connection, server: str, at: datetime) -> None:
    """The server's state and readings, from its windows: its last report was at ``at``."""
    conn.execute(
        """
        INSERT INTO reading_anchor
        SELECT server_id, %(origin)s, window_start,
               CASE WHEN n = 1 THEN 'opening' ELSE 'daily' END, n, set_id, ARRAY[before],
               %(topic)s, 0, n
        FROM (
            SELECT server_id, window_start, set_id, row_number() OVER w AS n,
                   (sum(qty[1]) OVER w - qty[1])::bigint AS before
            FROM usage_window WHERE server_id = %(server)s
            WINDOW w AS (ORDER BY window_start)
        ) r
        WHERE n = 1 OR extract(hour FROM window_start) = 0 AND extract(minute FROM window_start) = 0
        """,
        {"origin": ORIGIN, "topic": TOPIC, "server": server},
    )
    at_ms = int(at.timestamp() * 1000)
    conn.execute(
        """
        INSERT INTO server_state
        SELECT 0, server_id, %(origin)s, %(since)s, count(*), '', %(at)s, %(at)s - %(since)s,
               min(set_id), ARRAY[sum(qty[1])]::bigint[], NULL, %(at)s - %(at)s %% 300000,
               ARRAY[0], 0, ''
        FROM usage_window WHERE server_id = %(server)s GROUP BY server_id
        """,
        {
            "origin": ORIGIN,
            "since": int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000),
            "at": at_ms,
            "server": server,
        },
    )


def late(conn: Connection, server: str, quantity: int, at: datetime) -> None:
    """Usage that comes after everything so far: above all cuts, the conservation law kept."""
    set_id = series_set(conn, [("net.tx_bytes", "eth0")])
    conn.execute("UPDATE ingest_offset SET next_offset = next_offset + 10")
    conn.execute(
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " SELECT %s, %s, %s, ARRAY[%s::bigint], part, next_offset, 'test'"
        " FROM ingest_offset WHERE part = 0",
        (server, at, set_id, quantity),
    )
    conn.execute(
        "UPDATE server_state SET last = ARRAY[last[1] + %s] WHERE server_id = %s",
        (quantity, server),
    )


def reported(conn: Connection, until: datetime) -> None:
    """Every server's last report was at least a minute after that, and used nothing since."""
    at_ms = int(until.timestamp() * 1000) + 60_000
    conn.execute(
        "UPDATE ingest_offset SET append_ms = greatest(append_ms, %s)", (at_ms + 86_400_000,)
    )
    conn.execute(
        "UPDATE server_state SET at_ms = %s, win_ms = %s WHERE at_ms < %s",
        (at_ms, at_ms - at_ms % 300_000, at_ms),
    )
