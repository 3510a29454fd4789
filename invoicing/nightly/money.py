"""What was billed is what pricing says, accruals are what the ledger says, the books balance.

Reads only: nothing is rated anew, an accrual that is behind is looked at again.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from invoicing.nightly.base import Found, Night, snapshot
from invoicing.proof import verify_json
from invoicing.reconcile import Difference
from pipeline.periods import closed
from schemas.billing import Inputs, Span
from sinks.accruals import load_accrual
from sinks.database import Connection
from sinks.queries import usage_inputs
from sinks.scopes import load_scope

LAW: Final = "price(inputs) = invoice"
LINES: Final = "invoice = its lines"
ACCRUAL: Final = "accrual = ledger"
BOOKS: Final = "postings = zero"
RECEIVABLE: Final = "invoice = receivable"
LAW_DAYS: Final = 40
"""Every invoice of the last month passes by; older ones are final and were looked at then."""
INVOICES_MAX: Final = 2_000
SCOPES_MAX: Final = 500
LOOKS: Final = 5
"""A rater is seconds behind the ledger; one that is behind five looks in a row is wrong."""
PAUSE_S: Final = 2.0


def law(night: Night) -> Found:
    """Invoices issued lately, made again from their own inputs, and their rows."""
    with snapshot(night.conn):
        known = night.conn.execute(
            "SELECT invoice_id FROM invoice WHERE issued_at >= %s ORDER BY number",
            (night.high - timedelta(days=LAW_DAYS),),
        ).fetchall()
        drawn = [invoice for (invoice,) in night.drawn(known, INVOICES_MAX)]
        found = [one for invoice in drawn for one in _invoice(night.conn, invoice)]
    return Found(len(drawn), tuple(found))


def _invoice(conn: Connection, invoice_id: object) -> Iterator[Difference]:
    row = conn.execute(
        "SELECT number, document, net, gross FROM invoice WHERE invoice_id = %s", (invoice_id,)
    ).fetchone()
    assert row is not None
    number, document, net, gross = row
    for finding in verify_json(json.dumps(document).encode()):
        yield Difference(LAW, f"{number} {finding.where}", "as issued", finding.says)
    lines = conn.execute(
        "SELECT line_key, net::text FROM invoice_line WHERE invoice_id = %s ORDER BY position",
        (invoice_id,),
    ).fetchall()
    stated = [(one["line"]["key"], one["line"]["net"]) for one in document["lines"]]
    if lines != stated:
        yield Difference(LINES, number, f"{len(stated)} lines", f"{len(lines)} rows, or other nets")
    totals = document["totals"]["net"], document["totals"]["gross"]
    if totals != (str(net), str(gross)):
        yield Difference(LINES, number, " and ".join(totals), f"{net} and {gross}")


def accruals(night: Night, pause: Callable[[float], None] = time.sleep) -> Found:
    """Open accruals against the ledger, as of when they were rated."""
    known = night.conn.execute(
        "SELECT scope_id, period_start, period_end FROM accrual a WHERE period_end > %s"
        " AND NOT EXISTS (SELECT FROM scope_seal s WHERE s.scope_id = a.scope_id"
        " AND s.period_start = a.period_start) ORDER BY 1, 2",
        (night.low,),
    ).fetchall()
    drawn = night.drawn(known, SCOPES_MAX)
    left = {(scope, start, end): tuple[Difference, ...]() for scope, start, end in drawn}
    for look in range(LOOKS):
        if look and left:
            pause(PAUSE_S)
        left = {key: found for key in left if (found := _accrual(night.conn, *key))}
    return Found(len(drawn), tuple(one for found in left.values() for one in found))


def _accrual(
    conn: Connection, scope_id: str, start: datetime, end: datetime
) -> tuple[Difference, ...]:
    with snapshot(conn):
        stored = load_accrual(conn, scope_id, start)
        if stored is None:
            return ()
        scope = load_scope(conn, scope_id)
        period = Span(start, end)
        known = usage_inputs(conn, scope, period, min(stored[1], closed(period)))
    ours, theirs = _usage(stored[0]), _usage(known)
    return tuple(
        Difference(ACCRUAL, f"{scope_id} {key}", str(ours.get(key, 0)), str(theirs.get(key, 0)))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key, 0) != theirs.get(key, 0)
    )


def _usage(inputs: Inputs) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in inputs.usage:
        key = f"{row.server} {row.meter} {row.resource}".strip()
        sums[key] = sums.get(key, 0) + row.quantity
    return sums


def books(night: Night) -> Found:
    """Each entry sums to zero, and each invoice is booked with what it comes to."""
    with snapshot(night.conn):
        there = night.conn.execute("SELECT to_regclass('journal_posting') IS NOT NULL").fetchone()
        if there is None or not there[0]:
            return Found(0, notes=("there is no journal",))
        compared = night.conn.execute(
            "SELECT (SELECT count(*) FROM journal_entry) + (SELECT count(*) FROM invoice)"
        ).fetchone()
        crooked = night.conn.execute(
            "SELECT e.kind || ' ' || e.reference, sum(p.amount) FROM journal_entry e"
            " LEFT JOIN journal_posting p USING (entry_id) GROUP BY e.entry_id"
            " HAVING sum(p.amount) IS DISTINCT FROM 0 ORDER BY 1"
        ).fetchall()
        unbooked = night.conn.execute(_UNBOOKED).fetchall()
    assert compared is not None
    found = [Difference(BOOKS, where, str(rest), "0") for where, rest in crooked]
    found += [Difference(RECEIVABLE, n, str(gross), str(sum_)) for n, gross, sum_ in unbooked]
    return Found(compared[0], tuple(found))


_UNBOOKED: Final = """
    SELECT i.number, i.gross, coalesce(j.booked, 0)
    FROM invoice i
    LEFT JOIN LATERAL (
        SELECT sum(p.amount) AS booked FROM journal_entry e JOIN journal_posting p USING (entry_id)
        WHERE e.kind IN ('invoice', 'credit-note') AND e.reference = i.number
          AND p.ledger = 'receivable'
    ) j ON true
    WHERE i.due IS NOT NULL AND coalesce(j.booked, 0) <> i.gross
    ORDER BY 1
"""
"""Of format 2; invoices of before it were issued without a journal."""
