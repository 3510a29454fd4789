"""Bringing stored hours and days up to date. Views are complete before, while and after it runs.

On plain PostgreSQL rows are deleted and made anew; TimescaleDB refreshes its continuous aggregates.
Runs on an autocommit connection; repeating it is safe, wherever it was interrupted.
"""
# ruff: noqa: S608 - constants

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sinks.database import Connection
from sinks.store.backend import backend
from sinks.store.marks import Marks, marks, standing_still

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
STEP: Final = timedelta(days=7)
"""Stored at a time: what an interruption loses."""
SETTLE: Final = timedelta(minutes=15)
"""An hour is stored this long after its end: three reports of five minutes."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """``stored``: hours before it are stored now; ``stale_hours``: of a server, stored anew."""

    stored: datetime | None
    hours: int
    stale_hours: int


Span = tuple[datetime, datetime]


def due(now: datetime) -> datetime:
    """Hours before it may be stored."""
    return floor(now - SETTLE, HOUR)


def floor(instant: datetime, width: timedelta) -> datetime:
    """The beginning of the UTC hour or day."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return instant - (instant - epoch) % width


def stale_hours(conn: Connection) -> int:
    """Hours of servers that are waiting to be stored anew."""
    row = conn.execute(
        "SELECT count(DISTINCT (server_id, hour)) FROM usage_stale, store_mark"
        " WHERE hour >= dropped AND hour < stored"
    ).fetchone()
    return int(row[0]) if row else 0


def refresh(conn: Connection, now: datetime) -> Refreshed:
    """Stores what became stale, then hours up to ``now`` that are not stored yet, week by week."""
    stale = stale_hours(conn)
    if stale:
        _advance(conn, marks(conn), None)
    began = marks(conn).stored
    while (span := _next(conn, marks(conn).stored, due(now))) is not None:
        _advance(conn, marks(conn), span)
        began = began or span[0]
    stored = marks(conn).stored
    hours = (stored - began) // HOUR if stored and began else 0
    return Refreshed(stored, hours, stale)


def _next(conn: Connection, stored: datetime | None, upto: datetime) -> Span | None:
    """The next hours to store; where there are none for long, up to where there are some."""
    if stored is not None and stored >= upto:
        return None
    row = conn.execute(
        "SELECT min(window_start) FROM usage_window"
        " WHERE window_start >= coalesce(%s, '-infinity'::timestamptz)",
        (stored,),
    ).fetchone()
    first: datetime = min(upto, floor(row[0], HOUR)) if row and row[0] else upto
    low = max(first, stored) if stored else first
    return low, min(upto, floor(low, DAY) + STEP)


def _advance(conn: Connection, at: Marks, span: Span | None) -> None:
    """Stores a span behind the mark, and all hours that are stale.

    1. Move ``closing``, alone: from then on whoever adds a window in there names its hour. A crash:
       hours are named that need not be.
    2. Store. The views look at none of it yet. A crash: the next call stores it again.
    3. Move ``stored``, forget the stale hours that were named before 2. A crash: as 2.
    """
    upto = span[1] if span else at.stored
    if span:
        with standing_still(conn):
            conn.execute("UPDATE store_mark SET closing = greatest(closing, %s)", (upto,))
    named = conn.execute(
        "SELECT u.id, u.server_id, u.hour FROM usage_stale u, store_mark"
        " WHERE hour >= dropped AND hour < coalesce(%s, '-infinity'::timestamptz)",
        (upto,),
    ).fetchall()
    pairs = sorted({(server, hour) for _, server, hour in named if _before(hour, at.stored)})
    if backend(conn).timescale:
        _refresh_aggregates(conn, at, span, [hour for _, hour in pairs])
    else:
        _store(conn, at, span, pairs)
    with conn.transaction():
        conn.execute("UPDATE store_mark SET stored = %s", (upto,))
        conn.execute("DELETE FROM usage_stale WHERE id = ANY(%s)", ([row[0] for row in named],))


def _before(hour: datetime, mark: datetime | None) -> bool:
    return mark is not None and hour < mark


# -- plain PostgreSQL -----------------------------------------------------------------------------

_HOURS: Final = """
    INSERT INTO usage_hour_stored (server_id, hour, set_id, qty, covered_ms)
    SELECT w.server_id, rm_bucket('1 hour', w.window_start), w.set_id, rm_sum(w.qty),
           sum(w.covered_ms)
    FROM {} GROUP BY 1, 2, 3"""
_DAYS: Final = """
    INSERT INTO usage_day_stored (server_id, day, set_id, qty, covered_ms)
    SELECT h.server_id, rm_bucket('1 day', h.hour), h.set_id, rm_sum(h.qty), sum(h.covered_ms)
    FROM {} GROUP BY 1, 2, 3"""
_STALE: Final = "unnest(%(server)s::text[], %(at)s::timestamptz[]) AS s (server_id, at)"
_SAME_HOUR: Final = f"""
    usage_window w JOIN {_STALE} ON w.server_id = s.server_id
     AND w.window_start >= s.at AND w.window_start < s.at + interval '1 hour'"""
_SAME_DAY: Final = f"""
    usage_hour_stored h JOIN {_STALE} ON h.server_id = s.server_id
     AND h.hour >= s.at AND h.hour < s.at + interval '1 day'"""


def _store(
    conn: Connection, at: Marks, span: Span | None, pairs: list[tuple[str, datetime]]
) -> None:
    whole_day = floor(at.stored, DAY) if at.stored else None
    days = sorted({(server, floor(hour, DAY)) for server, hour in pairs})
    with conn.transaction():
        hours = {"server": [server for server, _ in pairs], "at": [hour for _, hour in pairs]}
        conn.execute(
            f"DELETE FROM usage_hour_stored h USING {_STALE}"
            " WHERE h.server_id = s.server_id AND h.hour = s.at",
            hours,
        )
        conn.execute(_HOURS.format(_SAME_HOUR), hours)
        if span:
            conn.execute("DELETE FROM usage_hour_stored WHERE hour >= %s", span[:1])
            conn.execute(
                _HOURS.format("usage_window w WHERE window_start >= %s AND window_start < %s"), span
            )
        old = [(server, day) for server, day in days if _before(day, whole_day)]
        whole = {"server": [server for server, _ in old], "at": [day for _, day in old]}
        conn.execute(
            f"DELETE FROM usage_day_stored d USING {_STALE}"
            " WHERE d.server_id = s.server_id AND d.day = s.at",
            whole,
        )
        conn.execute(_DAYS.format(_SAME_DAY), whole)
        if span:
            low, high = floor(at.stored or span[0], DAY), floor(span[1], DAY)
            conn.execute("DELETE FROM usage_day_stored WHERE day >= %s", (low,))
            conn.execute(
                _DAYS.format("usage_hour_stored h WHERE hour >= %s AND hour < %s"), (low, high)
            )


# -- TimescaleDB ----------------------------------------------------------------------------------


def _refresh_aggregates(
    conn: Connection, at: Marks, span: Span | None, stale: list[datetime]
) -> None:
    """Never below ``dropped``: where the windows are gone, a refresh would delete their hours."""
    hours = runs({*stale}, HOUR)
    days = runs({floor(hour, DAY) for hour in stale}, DAY)
    if span:
        hours.append((min(span[0], at.stored or span[0]), span[1]))
        days.append((floor(hours[-1][0], DAY), floor(span[1], DAY)))
    for name, spans in (("usage_hour_stored", hours), ("usage_day_stored", days)):
        for low, high in spans:
            if low < high:
                conn.execute("CALL refresh_continuous_aggregate(%s, %s, %s)", (name, low, high))


def runs(starts: set[datetime], width: timedelta) -> list[Span]:
    """Buckets as few spans: neighbours become one."""
    found: list[Span] = []
    for start in sorted(starts):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], start + width)
        else:
            found.append((start, start + width))
    return found
