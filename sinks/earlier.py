"""What earlier invoices say that a period's price depends on: fees in advance, what a year's
commitment has come to, what is left of packs and allowances. Reads only.
"""

from collections.abc import Sequence
from decimal import Decimal

from pipeline.rating.commitment import running
from pipeline.rating.lots import hands_on
from schemas.billing import Billed, LineKind, Lot, Scope, Span, Spent
from schemas.prices import Bill, Fee
from schemas.serial import from_json
from schemas.terms import Commitment
from sinks.database import Connection


def billed_in_advance(
    conn: Connection, wanted: Sequence[tuple[Scope, Span]]
) -> list[tuple[Billed, ...]]:
    """For each scope and period, in their order; nothing is asked for scopes without such fees."""
    asked = [number for number, (scope, _) in enumerate(wanted) if _in_advance(scope)]
    found: list[list[Billed]] = [[] for _ in wanted]
    if asked:
        rows = conn.execute(
            """
            SELECT s.no, x.line->>'item', x.line->>'charge', x.line->>'tax',
                   sum((x.line->>'net')::numeric)
            FROM unnest(%s::int[], %s::text[], %s::text[], %s::timestamptz[])
                 AS s (no, scope_id, account_id, period_start)
            CROSS JOIN LATERAL (
                SELECT row->'line' AS line
                FROM invoice i, jsonb_array_elements(i.document->'lines') AS row
                WHERE i.account_id = s.account_id AND i.period_end = s.period_start
                  AND row->'line'->>'kind' NOT IN ('credit', 'adjustment')
                UNION ALL  -- what the period before was corrected by, wherever that was billed
                SELECT i.document->'lines'->(a.position - 1)->'line'
                FROM scope_seal z
                JOIN adjustment_line a USING (scope_id, period_start)
                JOIN invoice i ON i.invoice_id = a.invoice_id
                WHERE z.scope_id = s.scope_id AND z.period_end = s.period_start
            ) x
            WHERE x.line->>'scope' = s.scope_id
              AND (x.line->'service'->>'start')::timestamptz >= s.period_start
            GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
            """,
            (
                asked,
                [wanted[number][0].scope for number in asked],
                [wanted[number][0].account for number in asked],
                [wanted[number][1].start for number in asked],
            ),
        )
        for number, item, charge, tax, net in rows:
            found[number].append(Billed(item, charge, tax, net))
    return [tuple(rows) for rows in found]


def _in_advance(scope: Scope) -> bool:
    return any(
        isinstance(row.price.quantity, Fee) and row.price.quantity.bill is Bill.ADVANCE
        for row in scope.prices
    )


def spent(conn: Connection, scope: Scope, period: Span) -> tuple[Spent, ...]:
    """Net of each yearly commitment's running year, by the time of service, before the period."""
    return tuple(
        Spent(commitment.name, _net(conn, scope, commitment, Span(year.start, period.start)))
        for commitment, year in running(scope, period)
    )


def _net(conn: Connection, scope: Scope, commitment: Commitment, before: Span) -> Decimal:
    row = conn.execute(
        """
        SELECT coalesce(sum((x.line->>'net')::numeric), 0)
        FROM (
            SELECT row->'line' AS line
            FROM invoice i, jsonb_array_elements(i.document->'lines') AS row
            WHERE i.account_id = %(account)s AND i.period_end > %(start)s
              AND row->'line'->>'kind' NOT IN (%(true_up)s, 'credit', 'adjustment')
            UNION ALL
            SELECT i.document->'lines'->(a.position - 1)->'line'
            FROM adjustment_line a JOIN invoice i USING (invoice_id)
            WHERE a.scope_id = %(scope)s AND a.kind <> %(true_up)s
        ) x
        WHERE x.line->>'scope' = %(scope)s
          AND (x.line->'service'->>'start')::timestamptz >= %(start)s
          AND (x.line->'service'->>'start')::timestamptz < %(end)s
          AND (%(charges)s::text[] = '{}' OR x.line->>'charge' = ANY(%(charges)s))
        """,
        {
            "account": scope.account,
            "scope": scope.scope,
            "start": before.start,
            "end": before.end,
            "true_up": LineKind.TRUE_UP.value,
            "charges": list(commitment.charges),
        },
    ).fetchone()
    assert row is not None
    return Decimal(row[0])


def lots(conn: Connection, scope: Scope, period: Span) -> tuple[Lot, ...]:
    """Of each pack and rollover that has not expired what was said last, before the period: by the
    invoice of a month, or by the newest look at it since.
    """
    if not hands_on(scope):
        return ()
    rows = conn.execute(
        """
        SELECT DISTINCT ON (lot->>'name') lot
        FROM scope_seal z
        LEFT JOIN LATERAL (
            SELECT a.lots FROM adjustment a
            WHERE (a.scope_id, a.period_start) = (z.scope_id, z.period_start)
            ORDER BY a.look DESC LIMIT 1
        ) a ON true
        LEFT JOIN LATERAL (
            SELECT jsonb_agg(lot) AS lots
            FROM invoice i
            CROSS JOIN LATERAL jsonb_array_elements(i.document->'lines') AS row
            CROSS JOIN LATERAL jsonb_array_elements(row->'line'->'lots') AS lot
            WHERE i.invoice_id = z.invoice_id AND row->'line'->>'scope' = z.scope_id
        ) i ON a.lots IS NULL
        CROSS JOIN LATERAL jsonb_array_elements(coalesce(a.lots, i.lots, '[]')) AS lot
        WHERE z.scope_id = %s AND z.period_end <= %s AND (lot->>'expires_at')::timestamptz > %s
        ORDER BY lot->>'name', z.period_end DESC
        """,
        (scope.scope, period.start, period.start),
    )
    return tuple(from_json(Lot, row[0]) for row in rows)
