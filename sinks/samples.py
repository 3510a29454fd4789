"""Window by window, what percentiles are taken of. Reads only.

A window counts as measured when the ledger has a row of the series in it, finished, open or late.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pipeline.periods import closed
from pipeline.rating.percentile import EPOCH, WIDTH, whole
from schemas.billing import Samples, Scope, Span
from schemas.prices import Percentile
from sinks.database import Connection

Key = tuple[str, str, str]
"""Server, meter, resource."""
Part = tuple[str, datetime, datetime]
"""Server, first window, end of the last one."""


def samples(conn: Connection, scope: Scope, period: Span, as_of: datetime) -> tuple[Samples, ...]:
    """The series that percentiles name, up to ``as_of``, by name.

    Only windows in which a server served the scope from end to end: what it did for others before
    or after is theirs, and must not reach this customer's invoice.
    """
    meters = sampled_meters(scope)
    end = as_of if period.end is None else min(period.end, as_of)
    parts = list(_served(scope, Span(period.start, end))) if meters and period.start < end else []
    found: dict[Key, dict[int, int]] = defaultdict(dict)
    for server, meter, resource, start, quantity in _rows(conn, parts, meters):
        found[server, meter, resource][(start - period.start) // WIDTH] = int(quantity)
    count = (end - period.start) // WIDTH
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


def _served(scope: Scope, span: Span) -> Iterator[Part]:
    """Each server with the whole windows in which it served an item of the scope."""
    items = {item.item for item in scope.items}
    for row in scope.assignments:
        served = row.valid.clip(span.start, closed(span))
        windows = whole(served) if row.item in items and served else range(0)
        if windows:
            yield row.server, EPOCH + windows.start * WIDTH, EPOCH + windows.stop * WIDTH


def _rows(
    conn: Connection, parts: Sequence[Part], meters: frozenset[str]
) -> Iterable[tuple[str, str, str, datetime, int]]:
    if not parts:
        return ()
    servers, lows, highs = zip(*parts, strict=True)
    return conn.execute(
        """
        WITH u AS MATERIALIZED (
            SELECT p.server_id, u.set_id, u.window_start, u.qty
            FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[])
                 AS p (server_id, low, high)
            CROSS JOIN LATERAL ( -- by index, as in sinks.queries
                SELECT r.set_id, r.window_start, r.qty FROM usage_row r
                WHERE r.server_id = p.server_id
                AND r.window_start >= p.low AND r.window_start < p.high OFFSET 0
            ) u
        ), w AS MATERIALIZED (
            SELECT t.set_id, n.meter, n.resource, n.ix
            FROM series_set t CROSS JOIN LATERAL
                 unnest(t.meter, t.resource) WITH ORDINALITY AS n (meter, resource, ix)
            WHERE t.set_id IN (SELECT set_id FROM u) AND n.meter = ANY(%s)
        )
        SELECT u.server_id, w.meter, w.resource, u.window_start, sum(u.qty[w.ix])
        FROM u JOIN w USING (set_id) GROUP BY 1, 2, 3, 4
        """,
        (list(servers), list(lows), list(highs), sorted(meters)),
    )
