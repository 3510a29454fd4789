"""Everything metered, row by row, as the ledger holds it: finished, late and open windows."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sinks.database import Connection

Row = tuple[str, str, str, datetime, int]
"""Server, meter, resource, start of the window, quantity."""
FETCH_ROWS: Final = 20_000
"""Rows held at a time: 4 MB."""
_ROWS: Final = """
    SELECT u.server_id, s.meter, s.resource, u.window_start, s.quantity
    FROM usage_row u
    JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource, u.qty) AS s (meter, resource, quantity)
    WHERE s.quantity <> 0 AND (%(servers)s::text[] IS NULL OR u.server_id = ANY(%(servers)s))
    ORDER BY u.server_id COLLATE "C", s.meter COLLATE "C", s.resource COLLATE "C",
             u.window_start, s.quantity"""


def usage_rows(conn: Connection, servers: Sequence[str] | None = None) -> Iterator[Row]:
    """In order of code points, time and quantity; late entries are rows of their own.

    One snapshot, read through a server-side cursor: PostgreSQL sorts, nothing is kept here.
    """
    arguments = {"servers": None if servers is None else list(servers)}
    with conn.cursor("usage_rows", binary=True) as cursor:
        cursor.itersize = FETCH_ROWS
        yield from cursor.execute(_ROWS, arguments)
