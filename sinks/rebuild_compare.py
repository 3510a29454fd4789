"""What differs between the ledger and its rebuilt twin: rows by SQL, into a table; sums from it.

Rows are compared by meaning: series by name in whatever order, zeros as nothing. What is finished
is compared between two positions of each partition, in any number of pieces, while workers go on;
heads at one position, from a snapshot or, under lock, from the live table.
"""
# ruff: noqa: S608 - a constant

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sinks.database import Connection
from sinks.queries import WIDTH
from sinks.rebuild import SCHEMA
from sinks.rebuild_sql import (
    ANCHORS,
    DEAD,
    LATE,
    WINDOWS,
    Source,
    origins_differ,
    quantities_differ,
    states_differ,
    sums_differ,
)
from sinks.series import digest_of

Vector = Mapping[int, int]
"""Partition → offset."""
HEADS: Final = ("state", "origin", "counts")
"""Kinds of what a worker has in memory."""
OBSERVED: Final = "observed_ms"
"""Under this name the observed time of a window stands among its quantities."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What one window of a series holds in both ledgers. ``sealed``: an invoice rests on it."""

    server: str
    window: datetime
    meter: str
    resource: str
    live: int
    rebuilt: int
    sealed: bool


@dataclass(frozen=True, slots=True)
class Sum:
    """All windows of a series that differ."""

    server: str
    meter: str
    resource: str
    windows: int
    live: int
    rebuilt: int


def clear(conn: Connection) -> None:
    """Forget what was found before."""
    conn.execute(f"TRUNCATE {SCHEMA}.difference")


def find_rows(conn: Connection, topic_id: UUID, low: Vector, high: Vector) -> None:
    """Finished windows, late entries, anchors and dead letters committed behind ``low`` up to
    ``high``. Both ledgers have a checkpoint at either.
    """
    parts = sorted(high)
    between = {
        "topic": topic_id,
        "part": parts,
        "low": [low[part] for part in parts],
        "high": [high[part] for part in parts],
    }
    for statement in (WINDOWS, LATE, ANCHORS, DEAD):
        conn.execute(statement, between)


def find_heads(conn: Connection, topic_id: UUID, source: Source) -> None:
    """Heads, former origins and verdicts; both ledgers are at the same position."""
    conn.execute(states_differ(source))
    conn.execute(origins_differ(source))
    conn.execute(
        f"INSERT INTO {SCHEMA}.difference (kind, what, part)"
        f" SELECT 'counts', 'changed', part FROM {source.offsets} l"
        f" JOIN {SCHEMA}.ingest_offset r USING (topic_id, part)"
        " WHERE topic_id = %s AND l.counts <> r.counts",
        (topic_id,),
    )


def damaged_sets(conn: Connection) -> list[int]:
    """Series sets that do not hold the names which their digest says."""
    rows = conn.execute("SELECT set_id, digest, meter, resource FROM series_set").fetchall()
    return [row[0] for row in rows if bytes(row[1]) != digest_of(row[2], row[3])]


def changes(conn: Connection) -> dict[str, dict[str, int]]:
    """Kind of row → how many are missing, extra or changed in the live ledger."""
    found: dict[str, dict[str, int]] = {}
    for kind, what, count in conn.execute(
        f"SELECT kind, what, count(*) FROM {SCHEMA}.difference GROUP BY 1, 2 ORDER BY 1, 2"
    ):
        found.setdefault(kind, {})[what] = count
    return found


def quantities(
    conn: Connection, source: Source, low: Vector, high: Vector, limit: int | None = None
) -> list[Quantity]:
    """What the windows hold that a difference touches, where it is not the same; sealed first."""
    arguments = _touched(low, high) | {"limit": limit}
    rows = conn.execute(quantities_differ(source), arguments).fetchall()
    return [
        Quantity(server, window, meter, resource, int(live), int(rebuilt), sealed)
        for server, window, meter, resource, live, rebuilt, sealed in rows
    ]


def sums(
    conn: Connection, source: Source, low: Vector, high: Vector, limit: int | None = None
) -> list[Sum]:
    """The same by server and series, the largest difference first."""
    arguments = _touched(low, high) | {"limit": None, "most": limit}
    rows = conn.execute(sums_differ(source), arguments).fetchall()
    return [
        Sum(server, meter, resource, windows, int(live), int(rebuilt))
        for server, meter, resource, windows, live, rebuilt in rows
    ]


def _touched(low: Vector, high: Vector) -> dict[str, object]:
    parts = sorted(high)
    return {
        "part": parts,
        "low": [low[part] for part in parts],
        "high": [high[part] for part in parts],
        "observed": OBSERVED,
        "width": WIDTH,
    }
