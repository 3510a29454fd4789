"""Chunks of TimescaleDB: a week of windows each, compressed when hardly anything comes for it."""

from dataclasses import dataclass
from datetime import datetime

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Chunk:
    name: str
    start: datetime
    end: datetime
    compressed: bool


def chunks(conn: Connection) -> list[Chunk]:
    """All chunks of windows, the oldest first."""
    rows = conn.execute(
        "SELECT format('%I.%I', chunk_schema, chunk_name), range_start, range_end, is_compressed"
        " FROM timescaledb_information.chunks"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = 'usage_window'"
        " ORDER BY range_start"
    ).fetchall()
    return [Chunk(*row) for row in rows]


def to_compress(found: list[Chunk], before: datetime) -> list[Chunk]:
    """Those that ended before and are not compressed."""
    return [chunk for chunk in found if chunk.end <= before and not chunk.compressed]


def compress(conn: Connection, found: list[Chunk]) -> None:
    """In a transaction each; a late window still comes in, at a cost."""
    for chunk in found:
        conn.execute(
            "SELECT compress_chunk(%s::regclass, if_not_compressed => true)", (chunk.name,)
        )


def start_of(conn: Connection, instant: datetime) -> datetime | None:
    """The beginning of the chunk that holds it."""
    return next((c.start for c in chunks(conn) if c.start <= instant < c.end), None)
