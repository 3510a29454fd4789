"""Which topic is metered and how far: registering it, checking it, reading its positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection

TOPIC_BITS: Final = 40
"""Rows of the ledger say topic number × 2**40 + offset: a partition holds 10**12 messages, and of
two rows everybody can say whether they are of one topic.
"""
LOCK_KEY: Final = 0x7261_636B_746F_7069  # "racktopi": one topic is entered at a time


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """A topic as the broker describes it. ``topic_id`` changes when a topic is deleted and made
    again.
    """

    topic_id: UUID
    cluster_id: str
    name: str
    partitions: int
    ts_type: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is metered; what was appended before ``append_ms`` is in the ledger."""

    topic_id: UUID
    part: int
    next_offset: int
    append_ms: int
    counts: dict[str, int]


def register_topic(conn: Connection, topic: TopicIdentity, *, accept_new: bool) -> None:
    """Enter a topic and its partitions; refuse one that silently took another's place. Commits."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    check_topic(conn, topic, accept_new=accept_new)
    conn.execute(
        "INSERT INTO ingest_topic (topic_id, cluster_id, name, partitions, ts_type, number)"
        " SELECT %s, %s, %s, %s, %s, coalesce(max(number) + 1, 0) FROM ingest_topic"
        " ON CONFLICT (topic_id) DO UPDATE"
        " SET ts_type = excluded.ts_type, drained_at = NULL, drained_by = NULL",
        (topic.topic_id, topic.cluster_id, topic.name, topic.partitions, topic.ts_type),
    )
    conn.execute(
        "INSERT INTO ingest_offset (topic_id, part) SELECT %s, generate_series(0, %s - 1)"
        " ON CONFLICT DO NOTHING",
        (topic.topic_id, topic.partitions),
    )
    conn.commit()


def check_topic(conn: Connection, topic: TopicIdentity, *, accept_new: bool) -> None:
    """The topic is the one that the ledger was fed from, or the first."""
    known = conn.execute(
        "SELECT topic_id, partitions FROM ingest_topic WHERE name = %s ORDER BY first_seen DESC",
        (topic.name,),
    ).fetchall()
    if known and all(row[0] != topic.topic_id for row in known) and not accept_new:
        raise RefusedError(
            f"Topic {topic.name} is another one than the ledger was fed from (it has id"
            f" {topic.topic_id}, the ledger knows {known[0][0]}): it was deleted and made again,"
            " or this is another cluster. If that is meant, set RACKMETER_ACCEPT_NEW_TOPIC=true"
            " once."
        )
    _refuse_other_count(conn, topic)


def _refuse_other_count(conn: Connection, topic: TopicIdentity) -> None:
    """Heads lie by partition, so a server must stay in its own whatever the topic is called."""
    other = conn.execute(
        "SELECT name, partitions FROM ingest_topic WHERE partitions <> %s LIMIT 1",
        (topic.partitions,),
    ).fetchone()
    if other is not None:
        raise RefusedError(
            f"Topic {topic.name} has {topic.partitions} partitions and the ledger was fed from"
            f" {other[1]} ({other[0]}): servers would move between partitions and be counted anew."
            f" Make a topic with {other[1]} partitions."
        )


def mark_drained(
    conn: Connection, name: str, by: str, ends: Mapping[int, int] | None = None
) -> tuple[UUID, ...]:
    """Closing waits no more for the topics of that name; whoever meters one again undoes it.

    Returns those that were not marked yet. Refuses a name that the ledger does not know, and one
    whose newest log goes on behind the ledger: ``ends`` are the ends of its partitions.
    """
    newest = conn.execute(
        "SELECT topic_id FROM ingest_topic WHERE name = %s ORDER BY first_seen DESC LIMIT 1",
        (name,),
    ).fetchone()
    if newest is None:
        raise RefusedError(f"The ledger was never fed from a topic {name}.")
    parts = conn.execute(
        "SELECT part, next_offset FROM ingest_offset WHERE topic_id = %s ORDER BY part", newest
    ).fetchall()
    for part, at in parts:
        if at < (ends or {}).get(part, 0):
            raise RefusedError(
                f"Partition {part} of {name} goes on to offset {(ends or {})[part]}, the ledger has"
                f" it up to {at}: let a worker meter the rest first."
            )
    with conn.transaction():
        rows = conn.execute(
            "UPDATE ingest_topic SET drained_at = now(), drained_by = %s"
            " WHERE name = %s AND drained_at IS NULL RETURNING topic_id",
            (by, name),
        ).fetchall()
        if rows:
            record(conn, Act("topic.drained", f"topic/{name}", actor=by))
    return tuple(row[0] for row in rows)


def check_log_start(part: int, next_offset: int, first: int) -> None:
    """The log must still hold what comes next."""
    if next_offset < first:
        raise RefusedError(
            f"Partition {part}: the ledger continues at offset {next_offset}, the log begins at"
            f" {first}: retention removed reports that were never metered."
        )


def log_too_short(part: int, next_offset: int | None) -> RefusedError:
    """What to say when the broker does not know the offset at which the ledger continues."""
    return RefusedError(
        f"Partition {part}: the ledger continues at offset {next_offset}, which the log does not"
        " have: the broker was restored from an older state, or retention overtook the worker."
    )


def positions(conn: Connection, topic_ids: Sequence[UUID] | None = None) -> tuple[Position, ...]:
    """All partitions of these topics (None: of all), in order."""
    rows = conn.execute(
        "SELECT topic_id, part, next_offset, append_ms, counts FROM ingest_offset"
        " WHERE %s::uuid[] IS NULL OR topic_id = ANY(%s) ORDER BY topic_id, part",
        (topic_ids, topic_ids),
    ).fetchall()
    return tuple(Position(*row) for row in rows)
