"""What earlier invoices say that a period's price depends on: fees in advance, what a year's
commitment has come to, what is left of packs and allowances. Reads only.
"""

import json
from collections.abc import Sequence
from decimal import Decimal

from pipeline.rating.advance import begun
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
    """For each scope and period, in their order; nothing is asked for scopes that never had such
    fees.
    """
    ahead = _in_advance(conn, [scope for scope, _ in wanted])
    asked = [number for number, (scope, _) in enumerate(wanted) if scope.scope in ahead]
    years = [(number, at) for number in asked for at in begun(*wanted[number])]
    found: list[list[Billed]] = [[] for _ in wanted]
    if asked:
        rows = conn.execute(
            """
            SELECT s.no, x.line->>'item', x.line->>'charge', x.line->>'tax',
                   trim_scale((x.row->>'rate')::numeric) AS rate, y.since, x.number,
                   sum((x.line->>'net')::numeric)
            FROM unnest(%s::int[], %s::text[], %s::text[], %s::timestamptz[])
                 AS s (no, scope_id, account_id, period_start)
            CROSS JOIN LATERAL (
                SELECT row, row->'line' AS line, i.number
                FROM invoice i, jsonb_array_elements(i.document->'lines') AS row
                WHERE i.account_id = s.account_id AND i.period_end = s.period_start
                  AND row->'line'->>'kind' NOT IN ('credit', 'adjustment')
                UNION ALL  -- what the period before was corrected by, wherever that was billed
                SELECT row, row->'line', coalesce(b.number, i.number)
                FROM scope_seal z
                JOIN adjustment_line a USING (scope_id, period_start)
                JOIN invoice i ON i.invoice_id = a.invoice_id
                LEFT JOIN invoice b ON b.invoice_id = z.invoice_id
                CROSS JOIN LATERAL (SELECT i.document->'lines'->(a.position - 1)) AS l (row)
                WHERE z.scope_id = s.scope_id AND z.period_end = s.period_start
            ) x
            CROSS JOIN LATERAL (
                SELECT max(at) FROM unnest(%s::int[], %s::timestamptz[]) AS y (no, at)
                WHERE y.no = s.no AND at <= (x.line->'service'->>'start')::timestamptz
            ) y (since)
            WHERE x.line->>'scope' = s.scope_id
              AND (x.line->'service'->>'start')::timestamptz >= s.period_start
            GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6 NULLS FIRST, 7
            """,
            (
                asked,
                [wanted[number][0].scope for number in asked],
                [wanted[number][0].account for number in asked],
                [wanted[number][1].start for number in asked],
                [number for number, _ in years],
                [at for _, at in years],
            ),
        )
        for number, item, charge, tax, rate, since, invoice, net in rows:
            one = Billed(item, charge, tax, net, rate, since, invoice=invoice)
            found[number].append(one)
    return [tuple(rows) for rows in found]


def _in_advance(conn: Connection, scopes: Sequence[Scope]) -> set[str]:
    """Those with a fee in advance, or that had one until something else was said of its time."""
    now = {
        scope.scope
        for scope in scopes
        for row in scope.prices
        if isinstance(row.price.quantity, Fee) and row.price.quantity.bill is Bill.ADVANCE
    }
    rows = conn.execute(
        """
        SELECT DISTINCT i.scope_id FROM item i JOIN item_price_past p USING (item_id)
        WHERE i.scope_id = ANY(%s) AND p.price->'quantity'->>'bill' = %s
        """,
        (sorted({scope.scope for scope in scopes} - now), Bill.ADVANCE.value),
    )
    return now | {scope for (scope,) in rows}


def spent(conn: Connection, wanted: Sequence[tuple[Scope, Span]]) -> list[tuple[Spent, ...]]:
    """For each scope and period the net of each yearly commitment's running year, by the time of
    service, before the period; nothing is asked where there is none.
    """
    asked = [
        (number, scope, commitment, Span(year.start, period.start))
        for number, (scope, period) in enumerate(wanted)
        for commitment, year in running(scope, period)
    ]
    found: list[list[Spent]] = [[] for _ in wanted]
    for (number, _, commitment, _), net in zip(asked, _nets(conn, asked), strict=True):
        found[number].append(Spent(commitment.name, net))
    return [tuple(rows) for rows in found]


def _nets(conn: Connection, asked: Sequence[tuple[int, Scope, Commitment, Span]]) -> list[Decimal]:
    """A month's fees in advance are on the invoice of the month before."""
    if not asked:
        return []
    rows = conn.execute(
        """
        SELECT n.net
        FROM unnest(%(account)s::text[], %(scope)s::text[], %(start)s::timestamptz[],
                    %(end)s::timestamptz[], %(charges)s::jsonb[])
             WITH ORDINALITY AS w (account_id, scope_id, low, high, charges, no)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum((x.line->>'net')::numeric), 0) AS net
            FROM (
                SELECT row->'line' AS line
                FROM invoice i, jsonb_array_elements(i.document->'lines') AS row
                WHERE i.account_id = w.account_id AND i.period_end > w.low - interval '32 days'
                  AND row->'line'->>'kind' NOT IN (%(true_up)s, 'credit', 'adjustment')
                UNION ALL
                SELECT i.document->'lines'->(a.position - 1)->'line'
                FROM adjustment_line a JOIN invoice i USING (invoice_id)
                WHERE a.scope_id = w.scope_id AND a.kind <> %(true_up)s
            ) x
            WHERE x.line->>'scope' = w.scope_id
              AND (x.line->'service'->>'start')::timestamptz >= w.low
              AND (x.line->'service'->>'start')::timestamptz < w.high
              AND (w.charges = '[]' OR w.charges ? (x.line->>'charge'))
        ) n ORDER BY w.no
        """,
        {
            "account": [scope.account for _, scope, _, _ in asked],
            "scope": [scope.scope for _, scope, _, _ in asked],
            "start": [before.start for _, _, _, before in asked],
            "end": [before.end for _, _, _, before in asked],
            "charges": [json.dumps(of.charges) for _, _, of, _ in asked],
            "true_up": LineKind.TRUE_UP.value,
        },
    )
    return [Decimal(net) for (net,) in rows]


def lots(conn: Connection, wanted: Sequence[tuple[Scope, Span]]) -> list[tuple[Lot, ...]]:
    """For each scope and period, of each pack and rollover that has not expired what was said last,
    before the period: by the invoice of a month, or by the newest look at it since.
    """
    asked = [number for number, (scope, _) in enumerate(wanted) if hands_on(scope)]
    found: list[list[Lot]] = [[] for _ in wanted]
    if not asked:
        return [() for _ in wanted]
    rows = conn.execute(
        """
        SELECT DISTINCT ON (w.no, lot->>'name') w.no, lot
        FROM unnest(%s::int[], %s::text[], %s::timestamptz[]) AS w (no, scope_id, start)
        JOIN scope_seal z ON z.scope_id = w.scope_id AND z.period_end <= w.start
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
        WHERE (lot->>'expires_at')::timestamptz > w.start
        ORDER BY w.no, lot->>'name', z.period_end DESC
        """,
        (
            asked,
            [wanted[number][0].scope for number in asked],
            [wanted[number][1].start for number in asked],
        ),
    )
    for number, lot in rows:
        found[number].append(from_json(Lot, lot))
    return [tuple(mine) for mine in found]
