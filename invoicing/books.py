"""What was billed for sealed periods until now, by the lines of the documents. Reads only."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.periods import closed, following
from pipeline.rating.adjustment import merged
from pipeline.rating.tax import rates_of
from schemas.billing import BilledLine, Line, LineKind, Scope, Seller, Span
from schemas.serial import from_json
from schemas.terms import TaxProfile
from sinks.database import Connection

At = tuple[str, datetime]
"""Scope and start of period."""


@dataclass(frozen=True, slots=True)
class Billed:
    """A sealed scope and period as it stands in the books."""

    scope: str
    period: Span
    invoice_id: str | None
    """Of the invoice that billed it first; None where there was nothing to bill."""
    number: str
    """Of that invoice, else ""."""
    looks: int
    """How often it was looked at since."""
    corrections: int
    """How often that billed something."""
    lines: tuple[BilledLine, ...]
    settled_after: bool
    """The period after it is sealed too."""
    rates: dict[str, Decimal]
    """Tax category → rate in percent, of that invoice; empty where there is none."""


def billed(conn: Connection, wanted: Sequence[At]) -> dict[At, Billed]:
    """Of each sealed scope and period what was billed, corrections included."""
    rows = conn.execute(
        """
        SELECT z.scope_id, z.period_start, z.period_end, z.invoice_id::text, coalesce(i.number, ''),
               count(a.look), count(a.invoice_id),
               EXISTS (SELECT FROM scope_seal n
                       WHERE (n.scope_id, n.period_start) = (z.scope_id, z.period_end)),
               i.document->'seller', i.document->'profile'
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, period_start)
        JOIN scope_seal z USING (scope_id, period_start)
        LEFT JOIN invoice i ON i.invoice_id = z.invoice_id
        LEFT JOIN adjustment a
          ON (a.scope_id, a.period_start) = (z.scope_id, z.period_start)
        GROUP BY z.scope_id, z.period_start, z.period_end, z.invoice_id, i.invoice_id
        """,
        _columns(wanted),
    ).fetchall()
    ids = {row[3] for row in rows if row[3]}
    first = _invoiced(conn, sorted(ids), sorted({row[0] for row in rows}))
    since = _corrected(conn, wanted)
    return {
        (scope, start): Billed(
            scope, Span(start, end), invoice_id, number, looks, corrections,
            merged([*first[invoice_id, scope], *since[scope, start]]), settled,
            rates_of(from_json(Seller, seller), from_json(TaxProfile, profile)) if profile else {},
        )
        for scope, start, end, invoice_id, number, looks, corrections, settled, seller, profile
        in rows
    }  # fmt: skip


def corrected_lines(known: Billed, scope: Scope, *, ahead: bool) -> tuple[BilledLine, ...]:
    """What a correction of the period compares with.

    Fees in advance belong to the period after, which settles them; unless it never comes, because
    nothing of the scope was rented in it after all, or they are taken back: ``ahead``.
    """
    end = closed(known.period)
    after = following(known.period, scope.timezone)
    comes = known.settled_after or any(i.valid.clip(end, closed(after)) for i in scope.items)
    kept = comes and not ahead
    return tuple(one for one in known.lines if not kept or one.service.start < end)


def _invoiced(
    conn: Connection, ids: Sequence[str], scopes: Sequence[str]
) -> defaultdict[tuple[str | None, str], list[BilledLine]]:
    """By invoice and scope; each document is read once."""
    found: defaultdict[tuple[str | None, str], list[BilledLine]] = defaultdict(list)
    rows = conn.execute(
        """
        SELECT i.invoice_id::text, row->'line', (row->>'rate')::numeric
        FROM invoice i
        CROSS JOIN LATERAL jsonb_array_elements(i.document->'lines') WITH ORDINALITY AS l (row, no)
        WHERE i.invoice_id = ANY(%s::uuid[]) AND row->'line'->>'scope' = ANY(%s)
          AND row->'line'->>'kind' NOT IN ('adjustment', 'credit')
        ORDER BY 1, no
        """,
        (list(ids), list(scopes)),
    )
    for invoice_id, body, rate in rows:
        line = from_json(Line, body)
        found[invoice_id, line.scope].append(_as_billed(line, line.key, line.kind, rate))
    return found


def _corrected(conn: Connection, wanted: Sequence[At]) -> defaultdict[At, list[BilledLine]]:
    found: defaultdict[At, list[BilledLine]] = defaultdict(list)
    rows = conn.execute(
        """
        SELECT a.scope_id, a.period_start, row->'line', a.corrects, a.kind, (row->>'rate')::numeric
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, period_start)
        JOIN adjustment_line a USING (scope_id, period_start)
        JOIN invoice i ON i.invoice_id = a.invoice_id
        CROSS JOIN LATERAL (SELECT i.document->'lines'->(a.position - 1)) AS l (row)
        ORDER BY i.issued_at, i.number, a.position
        """,
        _columns(wanted),
    )
    for scope, start, body, corrects, kind, rate in rows:
        line = from_json(Line, body)
        found[scope, start].append(_as_billed(line, corrects, LineKind(kind), rate))
    return found


def _as_billed(line: Line, key: str, kind: LineKind, rate: Decimal) -> BilledLine:
    return BilledLine(
        key, line.net, line.tax, rate, line.title, line.service, line.scope, line.item,
        line.charge, line.version, kind,
    )  # fmt: skip


def _columns(wanted: Sequence[At]) -> tuple[list[str], list[datetime]]:
    return [scope for scope, _ in wanted], [start for _, start in wanted]
