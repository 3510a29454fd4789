"""Relaying refused reports from the ledger to the dead-letter topic, at least once and in order.

A letter is entered by the checkpoint that passed its offset, so it exists exactly once; publishing
it and marking it published are two steps, and a crash between them publishes it again with the same
key and position headers.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sinks.database import Connection
from sinks.ledger import headers_of

LETTER_BYTES_MAX: Final = 900_000
"""A letter is longer than its message by what it says, and brokers refuse more than 1 MB (Kafka's
default message.max.bytes). What is cut lies whole in the ledger.
"""
_Headers = list[tuple[str, bytes]]
READ_BYTES_MAX: Final = 16 * 2**20
"""Payloads held at a time."""
_NAMES_BYTES_MAX: Final = 64 * 2**10


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
        'SELECT topic_id, part, "offset", key, payload, headers, reason, detail, t.name FROM ('
        "SELECT *, sum(octet_length(payload)) OVER in_order - octet_length(payload) AS before"
        " FROM dead_letter WHERE NOT published"
        ' WINDOW in_order AS (ORDER BY topic_id, part, "offset" ROWS UNBOUNDED PRECEDING)'
        ' ORDER BY topic_id, part, "offset" LIMIT %s'
        ") d JOIN ingest_topic t USING (topic_id) WHERE before < %s"
        ' ORDER BY topic_id, part, "offset"',
        (limit, READ_BYTES_MAX),
    ).fetchall()
    conn.rollback()
    letters = []
    for topic_id, part, offset, key, payload, headers, reason, detail, topic in rows:
        own = headers_of(headers)
        said = {"dlq_reason": reason, "dlq_detail": detail, "dlq_topic": topic}
        where = {"dlq_partition": str(part), "dlq_offset": str(offset)}
        ours = [(name, text.encode()) for name, text in {**said, **where}.items()]
        letters.append(Letter(topic_id, part, offset, *_cut(key, payload, own, ours)))
    return letters


def unrelayed(conn: Connection) -> int:
    """How many letters are not on the topic yet; counted up to 100,000."""
    row = conn.execute(
        "SELECT count(*) FROM (SELECT FROM dead_letter WHERE NOT published LIMIT 100000) waiting"
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def _cut(
    key: bytes | None, payload: bytes, own: _Headers, ours: _Headers
) -> tuple[bytes | None, bytes, _Headers]:
    """What fits into a message; ``dlq_cut`` says that it is not the whole."""
    whole = _size(key, payload, own)
    if key is not None:
        key = key[:_NAMES_BYTES_MAX]
    if _size(None, b"", own) > _NAMES_BYTES_MAX:
        own = []
    payload = payload[: LETTER_BYTES_MAX - _size(key, b"", own + ours)]
    if _size(key, payload, own) < whole:
        ours = [*ours, ("dlq_cut", f"{whole} bytes, whole in the ledger".encode())]
    return key, payload, own + ours


def _size(key: bytes | None, payload: bytes, headers: _Headers) -> int:
    return len(key or b"") + len(payload) + sum(len(n.encode()) + len(v) for n, v in headers)


def mark_published(conn: Connection, letters: list[Letter]) -> None:
    """These are on the topic. Commits."""
    conn.cursor().executemany(
        "UPDATE dead_letter SET published = true"
        ' WHERE topic_id = %s AND part = %s AND "offset" = %s',
        [(letter.topic_id, letter.part, letter.offset) for letter in letters],
    )
    conn.commit()
