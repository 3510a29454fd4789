"""Relaying refused reports from the ledger to the dead-letter topic, at least once and in order.

A letter is entered by the checkpoint that passed its offset, so it exists exactly once; publishing
it and marking it published are two steps, and a crash between them publishes it again with the same
key and position headers.
"""

import base64
from dataclasses import dataclass
from uuid import UUID

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused message with the headers that say where it came from and why it was refused."""

    topic_id: UUID
    part: int
    offset: int
    key: bytes | None
    payload: bytes
    headers: list[tuple[str, bytes]]


def unpublished(conn: Connection, limit: int = 500) -> list[Letter]:
    """The oldest letters that are not on the topic yet."""
    rows = conn.execute(
        'SELECT d.topic_id, d.part, d."offset", d.key, d.payload, d.headers, d.reason, d.detail,'
        " t.name FROM dead_letter d JOIN ingest_topic t USING (topic_id) WHERE NOT d.published"
        ' ORDER BY d.topic_id, d.part, d."offset" LIMIT %s',
        (limit,),
    ).fetchall()
    conn.rollback()
    letters = []
    for topic_id, part, offset, key, payload, headers, reason, detail, topic in rows:
        own = [(name, base64.b64decode(v or "")) for name, v in headers]
        said = {"dlq_reason": reason, "dlq_detail": detail, "dlq_topic": topic}
        where = {"dlq_partition": str(part), "dlq_offset": str(offset)}
        own += [(name, text.encode()) for name, text in {**said, **where}.items()]
        letters.append(Letter(topic_id, part, offset, key, payload, own))
    return letters


def mark_published(conn: Connection, letters: list[Letter]) -> None:
    """These are on the topic. Commits."""
    conn.cursor().executemany(
        "UPDATE dead_letter SET published = true"
        ' WHERE topic_id = %s AND part = %s AND "offset" = %s',
        [(letter.topic_id, letter.part, letter.offset) for letter in letters],
    )
    conn.commit()
