"""What was metered while a server was nobody's: the house pays for it, and it is never lost.

Divided as customers' windows are (sinks.queries, pipeline.attribute), so what all scopes own and
what the house owns is what was metered, to the unit. Reads only.
"""

from pipeline.attribute import attribute
from schemas.billing import Assignment, Inputs, Item, Scope, Span, Usage
from sinks.database import Connection
from sinks.queries import EPOCH, WIDTH, segments_of, sums

HOUSE = "house"


def unassigned(conn: Connection, span: Span, server: str | None = None) -> list[Usage]:
    """Usage of all servers, or of one, in a closed span, while no rented item had them.

    One row a series and stretch of whole windows, and one for each part of a window that was cut.
    Begins with no transaction open: what is read belongs to one moment.
    """
    assert span.end is not None
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        house = _house(conn, span, server)
        meters = conn.execute("SELECT DISTINCT unnest(meter) FROM series_set ORDER BY 1").fetchall()
        segments = segments_of(house, span, span.end)
        rows = tuple(usage for _, usage in sums(conn, segments, [name for (name,) in meters]))
    owned = attribute(house, Inputs(span, rows)).owned
    found = [part.usage for part in owned if part.usage.quantity]
    return sorted(found, key=lambda u: (u.server, u.meter, u.resource, u.start))


def _house(conn: Connection, span: Span, server: str | None) -> Scope:
    """The house as if it rented what nobody does; others' parts of its windows come along."""
    rows = conn.execute(
        """
        WITH gap AS (
            SELECT server_id, tstzrange(low, high) * tstzrange(%(low)s, %(high)s) AS span
            FROM unassigned_span
            WHERE tstzrange(low, high) && tstzrange(%(low)s, %(high)s)
              AND (%(server)s::text IS NULL OR server_id = %(server)s)
        )
        SELECT server_id, %(house)s, lower(span), upper(span) FROM gap
        UNION
        SELECT g.server_id, '', lower(a.valid * near), upper(a.valid * near)
        FROM gap g
        CROSS JOIN LATERAL (SELECT tstzrange(
            date_bin(%(width)s, lower(g.span), %(epoch)s),
            date_bin(%(width)s, upper(g.span) - '1us'::interval, %(epoch)s) + %(width)s)
        ) windows (near)
        JOIN assignment a ON a.server_id = g.server_id AND a.valid && near
        ORDER BY 1, 2, 3
        """,
        {
            "low": span.start, "high": span.end, "server": server, "house": HOUSE,
            "width": WIDTH, "epoch": EPOCH,
        },
    ).fetchall()  # fmt: skip
    served = tuple(Assignment(name, item, Span(low, high)) for name, item, low, high in rows)
    return Scope(HOUSE, HOUSE, "", "UTC", (Item(HOUSE, "", "", span),), served, ())
