"""Dropping windows that nobody needs any more; their sums and stored hours stay.

What is open, unsealed or may still be disputed needs its windows: they are kept, whatever the
settings say, and whoever asked is told why. Late entries are few and never dropped.
"""
# ruff: noqa: S608 - names made of numbers

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.errors import DifferenceError, RefusedError
from sinks.database import Connection
from sinks.store.backend import backend
from sinks.store.chunks import start_of
from sinks.store.marks import Marks, marks, standing_still
from sinks.store.partitions import month_of, partitions
from sinks.store.refresh import DAY, floor


@dataclass(frozen=True, slots=True)
class Verdict:
    """Windows before ``until`` may go; ``wanted``: what settings ask for; both begin a partition.

    ``until`` is None when there is nothing to drop, ``reason`` says what stands against ``wanted``.
    """

    wanted: datetime
    until: datetime | None
    reason: str | None


_NEEDED: Final = """
    SELECT m.scope_id, to_char(m.month, 'YYYY-MM'), m.low, s.period_end
    FROM account_month m LEFT JOIN scope_seal s
      ON s.scope_id = m.scope_id AND s.period_start = m.period_start
    WHERE m.low < %(wanted)s AND m.high > coalesce(%(dropped)s, '-infinity'::timestamptz)
      AND (s.scope_id IS NULL OR s.period_end > %(undisputed)s)
      AND EXISTS (SELECT FROM usage_window w WHERE w.server_id = m.server_id
                  AND w.window_start >= m.low - interval '5 minutes' AND w.window_start < m.high)
    ORDER BY m.low LIMIT 1"""


def judge(
    conn: Connection,
    now: datetime,
    keep: timedelta,
    dispute: timedelta,
    stored: datetime | None,
) -> Verdict:
    """How far windows may be dropped that are older than ``keep``; ``stored``: hours before are."""
    dropped = marks(conn).dropped
    until = wanted = _edge(conn, now - keep)
    reason = None
    row = conn.execute(
        _NEEDED, {"wanted": wanted, "dropped": dropped, "undisputed": now - dispute}
    ).fetchone()
    if row is not None:
        scope, month, low, sealed_end = row
        until = _edge(conn, low - timedelta(minutes=5))
        why = "is not sealed" if sealed_end is None else f"may be disputed for {dispute.days} days"
        reason = f"{month} of scope {scope} {why}"
    if stored is None or stored < until:
        until = _edge(conn, stored or dropped or until)
        reason = reason or "their hours are not stored yet"
    nothing = stored is None or (dropped is not None and until <= dropped)
    if nothing or not _holds_any(conn, dropped, until):
        return Verdict(wanted, None, reason)
    return Verdict(wanted, until, reason)


def drop(conn: Connection, until: datetime) -> int:
    """Drops windows before ``until``; returns how many. One transaction; nobody else writes any.

    1. The windows must sum to the stored days that stay in their place; else nothing is dropped.
    2. Remember what hours come to that belong to an account or a month in part.
    3. Enter the sums in ``usage_dropped``; drop; move the mark. A crash: the server rolls back.
    """
    at = marks(conn)
    between = {"low": at.dropped, "high": until}
    with standing_still(conn):
        if conn.execute(_STALE, between).fetchone():
            raise RefusedError("Stored hours are stale in what is to be dropped: refresh first.")
        if (row := conn.execute(_DIFFER, between).fetchone()) is not None:
            raise DifferenceError(
                f"Windows of {row[0]} before {until:%Y-%m-%d} do not sum to its stored days:"
                " nothing was dropped. Run `rackmeter ledger compare`."
            )
        conn.execute(_EDGES_BEFORE, between)
        conn.execute(_CARRY, between)
        count = _count(conn, between)
        _drop(conn, at, until)
        if _count(conn, between):
            raise RefusedError(f"A partition before {until:%Y-%m-%d} holds more than its time.")
        conn.execute(_EDGES_GONE, between)
        conn.execute("DROP TABLE edges_before")
        conn.execute("UPDATE store_mark SET dropped = %s", (until,))
    return count


_SPAN: Final = "{0} >= coalesce(%(low)s, '-infinity'::timestamptz) AND {0} < %(high)s"
_STALE: Final = f"SELECT 1 FROM usage_stale WHERE {_SPAN.format('hour')} LIMIT 1"
_DIFFER: Final = f"""
    SELECT server_id FROM (
        SELECT server_id, set_id, rm_sum(qty) AS qty FROM usage_window
        WHERE {_SPAN.format("window_start")} GROUP BY 1, 2) w
    FULL JOIN (
        SELECT server_id, set_id, rm_sum(qty) AS qty FROM usage_day_stored
        WHERE {_SPAN.format("day")} GROUP BY 1, 2) d USING (server_id, set_id)
    WHERE w.qty IS DISTINCT FROM d.qty LIMIT 1"""
_CARRY: Final = f"""
    INSERT INTO usage_dropped (server_id, meter, resource, quantity)
    SELECT d.server_id, s.meter, s.resource, sum(d.qty[s.ix])
    FROM usage_day_stored d JOIN series s USING (set_id)
    WHERE {_SPAN.format("d.day")} GROUP BY 1, 2, 3
    ON CONFLICT (server_id, meter, resource)
    DO UPDATE SET quantity = usage_dropped.quantity + EXCLUDED.quantity"""
_EDGES: Final = f"""
    SELECT e.account_id, e.month, s.meter, sum(e.qty[s.ix]) AS quantity
    FROM account_edge e JOIN series s USING (set_id)
    WHERE {_SPAN.format("e.window_start")} GROUP BY 1, 2, 3"""
_EDGES_BEFORE: Final = f"CREATE TEMPORARY TABLE edges_before AS {_EDGES}"
_EDGES_GONE: Final = f"""
    INSERT INTO account_usage_dropped AS d (account_id, month, meter, quantity)
    SELECT account_id, month, meter, b.quantity - coalesce(a.quantity, 0)
    FROM edges_before b LEFT JOIN ({_EDGES}) a USING (account_id, month, meter)
    WHERE b.quantity <> coalesce(a.quantity, 0)
    ON CONFLICT (account_id, month, meter)
    DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity"""


def _edge(conn: Connection, instant: datetime) -> datetime:
    """The beginning of the partition or chunk that holds it; the UTC day where there is none."""
    if backend(conn).timescale:
        return floor(start_of(conn, instant) or instant, DAY)
    return month_of(instant)


def _count(conn: Connection, between: dict[str, datetime | None]) -> int:
    row = conn.execute(
        f"SELECT count(*) FROM usage_window WHERE {_SPAN.format('window_start')}", between
    ).fetchone()
    assert row is not None
    return int(row[0])


def _holds_any(conn: Connection, dropped: datetime | None, until: datetime) -> bool:
    row = conn.execute(
        f"SELECT 1 FROM usage_window WHERE {_SPAN.format('window_start')} LIMIT 1",
        {"low": dropped, "high": until},
    ).fetchone()
    return row is not None


def _drop(conn: Connection, at: Marks, until: datetime) -> None:
    if backend(conn).timescale:
        conn.execute(
            "SELECT drop_chunks('usage_window', older_than => %s::timestamptz,"
            " newer_than => %s::timestamptz)",
            (until, at.dropped),
        )
        return
    for name, month in partitions(conn).items():
        if month < until and (at.dropped is None or month >= at.dropped):
            conn.execute(f"DROP TABLE {name}")
