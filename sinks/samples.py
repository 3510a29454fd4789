"""Window by window, what percentiles are taken of. Reads only.

A window counts as measured when the ledger has a row of the series in it, finished, open or late.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from pipeline.windows import WIDTH_MS
from schemas.billing import Samples, Scope, Span
from schemas.prices import Percentile
from sinks.database import Connection

WIDTH = timedelta(milliseconds=WIDTH_MS)
Key = tuple[str, str, str]
"""Server, meter, resource."""


def samples(conn: Connection, scope: Scope, period: Span, as_of: datetime) -> tuple[Samples, ...]:
    """The series of the scope's servers that percentiles name, up to ``as_of``, by name."""
    meters = sampled_meters(scope)
    items = {item.item for item in scope.items}
    servers = {row.server for row in scope.assignments if row.item in items}
    end = as_of if period.end is None else min(period.end, as_of)
    if not meters or not servers or end <= period.start:
        return ()
    found: dict[Key, dict[int, int]] = defaultdict(dict)
    for *key, start, quantity in _rows(conn, servers, meters, Span(period.start, end)):
        found[key[0], key[1], key[2]][(start - period.start) // WIDTH] = int(quantity)
    count = -((period.start - end) // WIDTH)
    return tuple(
        Samples(*key, period.start, tuple(found[key].get(n) for n in range(count)))
        for key in sorted(found)
    )


def sampled_meters(scope: Scope) -> frozenset[str]:
    """The meters that percentiles of the scope name."""
    measured = (row.price.quantity for row in scope.prices)
    return frozenset(
        meter
        for quantity in measured
        if isinstance(quantity, Percentile)
        for meter in quantity.meters
    )


def _rows(
    conn: Connection, servers: set[str], meters: frozenset[str], span: Span
) -> Iterator[tuple[str, str, str, datetime, int]]:
    return iter(
        conn.execute(
            """
            SELECT u.server_id, n.meter, n.resource, u.window_start, sum(u.qty[n.ix])
            FROM usage_row u
            JOIN series_set t ON t.set_id = u.set_id
            CROSS JOIN LATERAL unnest(t.meter, t.resource)
                 WITH ORDINALITY AS n (meter, resource, ix)
            WHERE u.server_id = ANY(%s) AND u.window_start >= %s AND u.window_start < %s
              AND n.meter = ANY(%s)
            GROUP BY 1, 2, 3, 4
            """,
            (sorted(servers), span.start, span.end, sorted(meters)),
        )
    )
