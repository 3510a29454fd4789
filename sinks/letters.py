"""Dead letters for people: found by reason, server, time or place, and released to be retried."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from sinks.audit import Act, record
from sinks.database import Connection
from sinks.ledger import headers_of

_COLUMNS: Final = (
    'd.topic_id, t.name, d.part, d."offset", d.reason, d.detail, d.append_ms, d.by_broker,'
    " d.retried_ms, d.key, octet_length(d.payload)"
)


class Place(NamedTuple):
    """Where a refused message lay."""

    topic: str
    part: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.part}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Line:
    """A dead letter without its payload."""

    topic_id: UUID
    topic: str
    part: int
    offset: int
    reason: str
    detail: str
    append_ms: int
    by_broker: bool
    retried_ms: int | None
    key: bytes | None
    size: int

    @property
    def place(self) -> Place:
        return Place(self.topic, self.part, self.offset)

    @property
    def server(self) -> str:
        """By the message's key, as far as a person can read it. Nobody has proved it."""
        text = (self.key or b"").decode(errors="replace")
        return text if text.isprintable() else ascii(self.key)


@dataclass(frozen=True, slots=True)
class Kept(Line):
    """A dead letter, whole."""

    payload: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; None is any."""

    place: Place | None = None
    reason: str | None = None
    server: str | None = None
    since_ms: int | None = None


_WHERE: Final = """
    FROM dead_letter d JOIN ingest_topic t USING (topic_id)
    WHERE (%(topic)s::text IS NULL OR t.name = %(topic)s)
      AND (%(part)s::integer IS NULL OR d.part = %(part)s)
      AND (%(offset)s::bigint IS NULL OR d."offset" = %(offset)s)
      AND (%(reason)s::text IS NULL OR d.reason = %(reason)s)
      AND (%(server)s::bytea IS NULL OR d.key = %(server)s)
      AND (%(since_ms)s::bigint IS NULL OR d.append_ms >= %(since_ms)s)
"""


def counts(conn: Connection, wanted: Wanted) -> dict[str, int]:
    """How many letters there are of each reason."""
    query = f"SELECT d.reason, count(*) {_WHERE} GROUP BY 1 ORDER BY 1"
    return dict(conn.execute(query, _arguments(wanted)).fetchall())


def newest(conn: Connection, wanted: Wanted, limit: int) -> list[Line]:
    """The newest letters, without their payloads."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} {_WHERE}"
        ' ORDER BY d.append_ms DESC, d.part, d."offset" DESC LIMIT %(limit)s',
        {**_arguments(wanted), "limit": limit},
    ).fetchall()
    return [Line(*row) for row in rows]


def whole(conn: Connection, wanted: Wanted, limit: int) -> list[Kept]:
    """The oldest letters, whole, in the order in which they lay in their partitions.

    A place names one in the newest topic of its name.
    """
    rows = conn.execute(
        f"SELECT {_COLUMNS}, d.payload, d.headers {_WHERE}"
        ' ORDER BY t.first_seen DESC, t.topic_id, d.part, d."offset" LIMIT %(limit)s',
        {**_arguments(wanted), "limit": limit},
    ).fetchall()
    return [Kept(*(*row[:-1], tuple(headers_of(row[-1])))) for row in rows]


def release(conn: Connection, letters: Iterable[Line], now_ms: int) -> None:
    """Mark letters as released: from now on their retries count. Commits."""
    released = list(letters)
    with conn.transaction():
        conn.cursor().executemany(
            "UPDATE dead_letter SET retried_ms = %s"
            ' WHERE topic_id = %s AND part = %s AND "offset" = %s',
            [(now_ms, one.topic_id, one.part, one.offset) for one in released],
        )
        places = [str(one.place) for one in released]
        subject = places[0] if len(places) == 1 else "*"
        record(conn, Act("letter.retry", f"letter/{subject}", after={"letters": places}))
    conn.commit()


def _arguments(wanted: Wanted) -> dict[str, object]:
    topic, part, offset = wanted.place or (None, None, None)
    server = None if wanted.server is None else wanted.server.encode()
    return {
        "topic": topic,
        "part": part,
        "offset": offset,
        "reason": wanted.reason,
        "server": server,
        "since_ms": wanted.since_ms,
    }
