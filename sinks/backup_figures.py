"""What a ledger holds, in figures that its copy must have too. Reads only, in one snapshot.

A table's digest is the sum of PostgreSQL's own hash of each row: it needs no order, so partitions,
chunks and parallel loads do not change it. Hashes are the same on all servers of one byte order.
"""

from collections.abc import Iterable

from psycopg import sql

from sinks.backup_manifest import HighMark, Position, Table
from sinks.database import Connection

WITHOUT = ("alembic_version",)
"""Not in a dump: a restored ledger is one that can be used when its revision is entered, last."""


def tables(conn: Connection) -> list[str]:
    """Our own tables, in order; partitions are part of theirs."""
    rows = conn.execute(
        """
        SELECT relname::text FROM pg_class c
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
          AND NOT relispartition AND relname <> ALL(%s)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        ORDER BY relname
        """,
        (list(WITHOUT),),
    ).fetchall()
    return [name for (name,) in rows]


def figures(conn: Connection, names: Iterable[str]) -> list[Table]:
    """Rows and digest of each."""
    found = []
    for name in names:
        query = sql.SQL(
            "SELECT count(*), coalesce(sum(hash_record_extended(t, 0)), 0)::text FROM {} t"
        )
        row = conn.execute(query.format(sql.Identifier("public", name))).fetchone()
        assert row is not None
        found.append(Table(name, *row))
    return found


def positions(conn: Connection) -> tuple[Position, ...]:
    """Of every partition of every topic that was ever metered."""
    rows = conn.execute(
        "SELECT name, topic_id::text, cluster_id, part, next_offset"
        " FROM ingest_offset JOIN ingest_topic USING (topic_id) ORDER BY name, topic_id, part"
    ).fetchall()
    return tuple(Position(*row) for row in rows)


def high_marks(conn: Connection) -> tuple[HighMark, ...]:
    """The last number of each sequence."""
    rows = conn.execute(
        "SELECT entity, kind, year, next - 1 FROM invoice_number ORDER BY entity, kind, year"
    ).fetchall()
    return tuple(HighMark(*row) for row in rows)


def extensions(conn: Connection) -> dict[str, str]:
    """Name → version, of those that a restore has to find."""
    rows = conn.execute(
        "SELECT extname::text, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
    ).fetchall()
    return dict(rows)


def data_bytes(conn: Connection) -> int:
    """All tables of the database without their indexes."""
    row = conn.execute(
        "SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class"
        " WHERE relkind IN ('r', 'm') AND relpersistence = 'p'"
    ).fetchone()
    assert row is not None
    return int(row[0])
