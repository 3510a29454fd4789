"""Rows laid out for binary COPY are, to the byte, what PostgreSQL itself would write."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipeline.heads import Block, objects
from pipeline.records import Int64s, Names
from sinks.binary import SIGNATURE, TRAILER, window_rows
from sinks.database import Connection
from tests.pipeline.world import names

COLUMNS = "server_id, window_start, set_id, qty, covered_ms, part, ckpt_offset"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARCH = 1_772_323_200_000


@pytest.fixture
def table(billing: Connection) -> Connection:
    """The table of windows without what it refers to."""
    billing.execute("CREATE TEMPORARY TABLE w (LIKE usage_window)")
    return billing


def series(size: int) -> Names:
    return names(*((f"m{i}", "") for i in range(size)))


def block(
    servers: Sequence[str], starts: Sequence[int], qty: Int64s, cover: Sequence[int]
) -> Block:
    size = qty.shape[1]
    named = objects([series(size)] * len(starts))
    return Block(objects(list(servers)), np.array(starts, np.int64), named, qty, np.array(cover))


def written(conn: Connection, data: bytes) -> list[tuple[object, ...]]:
    """What PostgreSQL reads from the bytes."""
    with conn.cursor().copy(f"COPY w ({COLUMNS}) FROM STDIN WITH (FORMAT binary)") as copy:
        copy.write(data)
    return conn.execute(f"SELECT {COLUMNS} FROM w").fetchall()


def expected(b: Block, set_id: int, part: int, offset: int) -> list[tuple[object, ...]]:
    return [
        (
            b.server[i], EPOCH + timedelta(milliseconds=int(b.win_ms[i])), set_id,
            b.qty[i].tolist(), int(b.cover_ms[i]), part, offset,
        )
        for i in range(len(b.server))
    ]  # fmt: skip


def psql_bytes(conn: Connection, rows: Sequence[tuple[object, ...]]) -> bytes:
    """The same rows through psycopg, read back as PostgreSQL writes them."""
    conn.cursor().executemany(f"INSERT INTO w ({COLUMNS}) VALUES (%s,%s,%s,%s,%s,%s,%s)", rows)
    with conn.cursor().copy(f"COPY w ({COLUMNS}) TO STDOUT WITH (FORMAT binary)") as copy:
        return b"".join(bytes(piece) for piece in copy)


BLOCKS = {
    "one row of one series": block(["s"], [MARCH], np.array([[7]]), [300_000]),
    "one row of 24": block(["s"], [MARCH], np.arange(24)[np.newaxis, :] * 10**15, [0]),
    "as many as a report may have": block(["s"], [MARCH], np.arange(4096)[np.newaxis, :], [1]),
    "many rows of several servers": block(
        ["a", "b", "a", "c" * 256] * 50,
        range(MARCH, MARCH + 200 * 300_000, 300_000),
        np.arange(600).reshape(200, 3),
        range(200),
    ),
    "the largest and the smallest numbers": block(
        ["s", "s"], [MARCH, 0], np.array([[2**63 - 1, 0], [-(2**63), -1]]), [2**31 - 1, 0]
    ),
    "before 1970 and far ahead": block(
        ["s", "s"], [-300_000, 200 * 366 * 86_400_000], np.array([[1], [2]]), [0, 0]
    ),
    "names that are not ASCII": block(["sérver-√-木-🜁"], [MARCH], np.array([[1]]), [0]),
    "a part of a larger matrix": block(
        ["s", "t"], [MARCH, MARCH], np.arange(40).reshape(4, 10)[::2, 3:5], [0, 0]
    ),
    "no rows": block([], [], np.zeros((0, 2), np.int64), []),
}  # fmt: skip


@pytest.mark.parametrize("b", BLOCKS.values(), ids=BLOCKS.keys())
def test_bytes_are_postgresqls_own(table: Connection, b: Block) -> None:
    rows = expected(b, 41, 3, 2**40)
    made = SIGNATURE + window_rows(b, np.full(len(b.qty), 41), 3, 2**40) + TRAILER
    assert made == psql_bytes(table, rows)


def rows_of(b: Block) -> bytes:
    return window_rows(b, np.full(len(b.qty), 41), 3, 9)


def test_postgresql_reads_every_block_of_one_copy(table: Connection) -> None:
    data = SIGNATURE + b"".join(rows_of(b) for b in BLOCKS.values()) + TRAILER
    rows = [row for b in BLOCKS.values() for row in expected(b, 41, 3, 9)]
    assert written(table, data) == rows


def test_a_copy_of_nothing(table: Connection) -> None:
    assert written(table, SIGNATURE + TRAILER) == []
