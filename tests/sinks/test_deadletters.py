"""Refused reports on their way to the dead-letter topic: whole where they fit, cut where not."""

import json
from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

import pytest

from sinks import deadletters
from sinks.database import Connection
from sinks.deadletters import LETTER_BYTES_MAX, Letter, mark_published, unpublished
from tests.sinks.metering import TOPIC_ID, register


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing, 4)
    return billing


def refuse(
    conn: Connection,
    offset: int,
    *,
    part: int = 0,
    payload: bytes = b"junk",
    key: bytes | None = b"s1",
    headers: Sequence[tuple[str, bytes]] = (("kid", b"k1"),),
) -> None:
    stored = json.dumps([(name, b64encode(value).decode()) for name, value in headers])
    conn.execute(
        "INSERT INTO dead_letter VALUES (%s, %s, %s, 'malformed', 'no JSON', %s, %s, %s, 7)",
        (TOPIC_ID, part, offset, key, payload, stored),
    )


def size(letter: Letter) -> int:
    named = sum(len(name.encode()) + len(value) for name, value in letter.headers)
    return len(letter.key or b"") + len(letter.payload) + named


def places(letters: Sequence[Letter]) -> list[tuple[int, int]]:
    return [(letter.part, letter.offset) for letter in letters]


def test_a_letter_is_the_message_and_where_it_came_from(conn: Connection) -> None:
    refuse(conn, 3, part=2)
    [letter] = unpublished(conn)
    assert letter == Letter(
        TOPIC_ID, 2, 3, b"s1", b"junk",
        [
            ("kid", b"k1"), ("dlq_reason", b"malformed"), ("dlq_detail", b"no JSON"),
            ("dlq_topic", b"usage.reports"), ("dlq_partition", b"2"), ("dlq_offset", b"3"),
        ],
    )  # fmt: skip


def test_in_order_until_they_are_published(conn: Connection) -> None:
    for part, offset in [(1, 5), (0, 9), (1, 4), (0, 2)]:
        refuse(conn, offset, part=part)
    letters = unpublished(conn)
    assert places(letters) == [(0, 2), (0, 9), (1, 4), (1, 5)]
    mark_published(conn, letters[:2])
    assert places(unpublished(conn)) == [(1, 4), (1, 5)]
    mark_published(conn, letters)
    assert unpublished(conn) == []


def test_a_crash_before_the_mark_publishes_again(conn: Connection) -> None:
    """At least once, and with the same position: who reads them can tell."""
    refuse(conn, 1)
    assert unpublished(conn) == unpublished(conn) != []


def test_no_more_than_asked_for(conn: Connection) -> None:
    for offset in range(5):
        refuse(conn, offset)
    assert places(unpublished(conn, limit=3)) == [(0, 0), (0, 1), (0, 2)]


def test_a_bounded_number_of_bytes_at_a_time(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at least one, however large it is."""
    monkeypatch.setattr(deadletters, "READ_BYTES_MAX", 250)
    for offset in range(5):
        refuse(conn, offset, payload=bytes(100 if offset else 1000))
    assert places(unpublished(conn)) == [(0, 0)]
    mark_published(conn, unpublished(conn))
    assert places(unpublished(conn)) == [(0, 1), (0, 2), (0, 3)]


def test_a_message_without_key_and_headers(conn: Connection) -> None:
    refuse(conn, 1, key=None, headers=())
    [letter] = unpublished(conn)
    assert letter.key is None
    assert letter.headers[0][0] == "dlq_reason"


@pytest.mark.parametrize(
    ("payload", "key", "header"),
    [(1_000_000, 3, 3), (20, 1_000_000, 3), (20, 3, 1_000_000), (600_000, 600_000, 600_000)],
)
def test_what_no_topic_takes_is_cut_and_says_so(
    conn: Connection, payload: int, key: int, header: int
) -> None:
    refuse(conn, 1, payload=b"p" * payload, key=b"k" * key, headers=[("h", b"h" * header)])
    [letter] = unpublished(conn)
    assert size(letter) < LETTER_BYTES_MAX + 100
    assert letter.payload
    assert letter.headers[-1] == (
        "dlq_cut",
        f"{payload + key + header + 1} bytes, whole in the ledger".encode(),
    )
    assert dict(letter.headers)["dlq_reason"] == b"malformed"


def test_what_just_fits_is_whole(conn: Connection) -> None:
    refuse(conn, 1, payload=b"p" * 899_000)
    [letter] = unpublished(conn)
    assert len(letter.payload) == 899_000
    assert "dlq_cut" not in dict(letter.headers)


def test_letters_of_every_topic(conn: Connection) -> None:
    other = UUID(int=8)
    conn.execute(
        "INSERT INTO ingest_topic VALUES (%s, 'c', 'usage.reports.2', 4, 'CreateTime')", (other,)
    )
    refuse(conn, 1)
    conn.execute("UPDATE dead_letter SET topic_id = %s", (other,))
    refuse(conn, 1)
    assert [dict(letter.headers)["dlq_topic"] for letter in unpublished(conn)] == [
        b"usage.reports",
        b"usage.reports.2",
    ]
