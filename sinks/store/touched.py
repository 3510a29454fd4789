"""Which stored hours a transaction touches: said before it adds or changes windows."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from psycopg import Cursor

from pipeline.heads import Block
from schemas.errors import RefusedError
from sinks.database import Connection


def name_touched(cur: Cursor[Any], finished: Iterable[Block]) -> None:
    """Names the hours of these windows that are stored already; the mark stands still until the
    transaction ends. Windows of hours that are not yet stored cost one question.
    """
    cur.execute("SELECT (extract(epoch FROM nullif(store_closing(), '-infinity')) * 1000)::bigint")
    row = cur.fetchone()
    if row is None or row[0] is None:
        return
    servers: list[str] = []
    windows: list[datetime] = []
    for block in finished:
        old = block.win_ms < row[0]
        if old.any():
            servers += block.server[old].tolist()
            windows += [datetime.fromtimestamp(ms / 1000, UTC) for ms in block.win_ms[old].tolist()]
    if servers:
        cur.execute("SELECT store_touched(%s, %s)", (servers, windows))


def name_changed(conn: Connection, source: str) -> None:
    """The same for windows that a statement is about to change: ``source`` is what follows FROM.

    Windows that retention has dropped are not brought back: their sums stand elsewhere.
    """
    conn.execute("SELECT store_closing()")
    # Rows of compressed chunks may change too; plain PostgreSQL ignores the name.
    conn.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    row = conn.execute(
        "SELECT bool_or(window_start < (SELECT dropped FROM store_mark)),"  # noqa: S608 - a constant
        f" store_touched(array_agg(server_id), array_agg(window_start)) FROM {source}"
    ).fetchone()
    if row is not None and row[0]:
        raise RefusedError(
            "Windows would change that retention has dropped: rebuild from a later snapshot."
        )
