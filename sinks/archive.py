"""What the ledger knows of the archive: which raw reports lie in which file, without a gap.

Spans of a partition chain: each begins where another ends, and the database refuses any other. So
everything from a partition's first archived offset on is in a file, or said to be lost. Writes no
file (``sinks.archive_file``) and reads no topic.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.errors import ForeignKeyViolation, UniqueViolation

from schemas.errors import RefusedError
from sinks.database import Connection

_LOCK_KEY: Final = 0x7261_636B_6172_6368  # "rackarch": one archiver at a time


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets ``[first_offset, next_offset)`` of a partition and the file that holds them.

    ``holes``: offsets without a message; ``first_ms``, ``last_ms``: the earliest and latest time
    stamp. No ``file``: retention of the topic was faster, these reports are lost.
    """

    topic_id: UUID
    part: int
    first_offset: int
    next_offset: int
    records: int = 0
    holes: int = 0
    first_ms: int = 0
    last_ms: int = 0
    file: str | None = None
    bytes: int = 0
    sha256: str = ""
    archived_at: datetime | None = None
    dropped_at: datetime | None = None

    @property
    def kept(self) -> bool:
        """Its file has to be there."""
        return self.file is not None and self.dropped_at is None

    @property
    def place(self) -> str:
        return f"partition {self.part}, offsets {self.first_offset:,} to {self.next_offset - 1:,}"


_COLUMNS: Final = ", ".join(field.name for field in fields(Span))
_GIVEN: Final = len(fields(Span)) - 2
"""All but the times, which are the database's."""


def alone(conn: Connection) -> None:
    """Until the connection ends, nobody else archives, and nobody removes what is written."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
    if row is None or not row[0]:
        raise RefusedError("Another process is archiving for this ledger: wait for it, or stop it.")


def archived_to(conn: Connection, topic_id: UUID) -> dict[int, int]:
    """Partition → the offset that comes next; without those of which nothing was archived."""
    rows = conn.execute(
        "SELECT part, max(next_offset) FROM archive_span WHERE topic_id = %s GROUP BY 1 ORDER BY 1",
        (topic_id,),
    ).fetchall()
    return dict(rows)


def enter(conn: Connection, span: Span, *, first: bool) -> None:
    """Add a span behind the last one, or as the ``first`` of its partition; refused elsewhere."""
    follows = None if first else span.first_offset
    places = ", ".join(["%s"] * (_GIVEN + 1))
    names = ", ".join(_COLUMNS.split(", ")[:_GIVEN])
    try:
        conn.execute(
            f"INSERT INTO archive_span ({names}, follows) VALUES ({places})",  # noqa: S608
            (*astuple(span)[:_GIVEN], follows),
        )
    except (ForeignKeyViolation, UniqueViolation) as error:
        raise RefusedError(
            f"The archive of {span.place} does not begin where the one before ends: somebody else"
            " is archiving, or the ledger was restored meanwhile. Run it again."
        ) from error


def spans(conn: Connection, *, topic_id: UUID | None = None, since_ms: int = 0) -> Sequence[Span]:
    """All spans in order, of this topic and with time stamps from then on, where given; lost ones
    have no time and always come along.
    """
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM archive_span"  # noqa: S608 - a constant
        " WHERE (%(topic)s::uuid IS NULL OR topic_id = %(topic)s)"
        " AND (last_ms >= %(since)s OR file IS NULL) ORDER BY topic_id, part, first_offset",
        {"topic": topic_id, "since": since_ms},
    ).fetchall()
    return [Span(*row) for row in rows]


def topic_partitions(conn: Connection) -> dict[UUID, int]:
    """How many partitions each topic has that was ever metered or archived."""
    return dict(conn.execute("SELECT topic_id, partitions FROM ingest_topic").fetchall())


def drop(conn: Connection, before: datetime) -> Sequence[Span]:
    """Mark files archived before then, whose reports are older too, as removed; all that are so.

    Those that were marked earlier come along: a crash may have left their files.
    """
    before_ms = int(before.timestamp() * 1000)
    conn.execute(
        "UPDATE archive_span SET dropped_at = now() WHERE file IS NOT NULL AND dropped_at IS NULL"
        " AND archived_at < %s AND last_ms < %s",
        (before, before_ms),
    )
    conn.commit()
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM archive_span WHERE dropped_at IS NOT NULL"  # noqa: S608
    ).fetchall()
    return [Span(*row) for row in rows]
