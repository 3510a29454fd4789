"""Snapshots: all heads with the positions they belong to, from where metering can be done again.

A checkpoint changes heads and position in one transaction, so one read of both is consistent while
workers go on. Kept in the ledger's own database, bounded in number.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sinks.database import Connection

KEEP: Final = 7
"""A week of daily ones, as long as Kafka keeps messages by default."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``positions``: partition → the offset with which metering goes on."""

    snapshot_id: int
    taken_at: datetime
    topic_id: UUID
    servers: int
    positions: dict[int, int]

    def missing(self, log_starts: Mapping[int, int]) -> dict[int, int]:
        """Partitions whose log begins later than this ends → how many offsets are gone."""
        behind = {part: log_starts.get(part, 0) - at for part, at in self.positions.items()}
        return {part: gone for part, gone in behind.items() if gone > 0}


def take(conn: Connection, topic_id: UUID) -> Snapshot:
    """Copies heads and positions of a topic, in a transaction of its own."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        row = conn.execute("INSERT INTO ledger_snapshot DEFAULT VALUES RETURNING *").fetchone()
        assert row is not None
        number: int = row[0]
        conn.execute(
            "INSERT INTO snapshot_offset SELECT %s, topic_id, part, next_offset, append_ms, counts"
            " FROM ingest_offset WHERE topic_id = %s",
            (number, topic_id),
        )
        conn.execute("INSERT INTO snapshot_state SELECT %s, s.* FROM server_state s", (number,))
        conn.execute("INSERT INTO snapshot_origin SELECT %s, o.* FROM server_origin o", (number,))
    (made,) = snapshots(conn, number)
    return made


def prune(conn: Connection, keep: int, used: Collection[int] = ()) -> list[int]:
    """Deletes all but the newest ones and those in use; returns what is gone."""
    with conn.transaction():
        rows = conn.execute(
            "DELETE FROM ledger_snapshot WHERE snapshot_id <> ALL(%s) AND snapshot_id NOT IN"
            " (SELECT snapshot_id FROM ledger_snapshot ORDER BY snapshot_id DESC LIMIT %s)"
            " RETURNING snapshot_id",
            (list(used), keep),
        ).fetchall()
    return sorted(row[0] for row in rows)


def snapshots(conn: Connection, number: int | None = None) -> list[Snapshot]:
    """All of them, or one; the oldest first."""
    rows = conn.execute(
        """
        SELECT s.snapshot_id, s.taken_at, o.topic_id,
               (SELECT count(*) FROM snapshot_state t WHERE t.snapshot_id = s.snapshot_id),
               array_agg(o.part ORDER BY o.part), array_agg(o.next_offset ORDER BY o.part)
        FROM ledger_snapshot s JOIN snapshot_offset o USING (snapshot_id)
        WHERE %(number)s::bigint IS NULL OR s.snapshot_id = %(number)s
        GROUP BY s.snapshot_id, o.topic_id ORDER BY s.snapshot_id
        """,
        {"number": number},
    ).fetchall()
    return [
        Snapshot(number, taken_at, topic_id, servers, dict(zip(parts, offsets, strict=True)))
        for number, taken_at, topic_id, servers, parts, offsets in rows
    ]
