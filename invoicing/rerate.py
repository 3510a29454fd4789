"""Any past period as it would be priced now, beside what was billed: line by line, and why.

Reads only: what differs is billed by the next close, not here.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from invoicing.books import Billed
from invoicing.causes import causes
from invoicing.document import Document, Priced
from invoicing.due import Due, due, seals
from invoicing.export import load
from invoicing.freeze import snapshot
from invoicing.plan import middle
from invoicing.recompute import Look, recompute
from invoicing.retaxed import Retaxed, retaxed
from pipeline.money import EXACT
from schemas.billing import Span
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Rerated:
    """A line that comes to something else than was billed for it."""

    account: str
    currency: str
    scope: str
    period: Span
    invoice: str
    key: str
    title: str
    billed: Decimal
    now: Decimal
    difference: Decimal
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rerating:
    """What differs in a month, and how much was priced again; ``refused`` could not be."""

    periods: int
    lines: tuple[Rerated, ...]
    refused: tuple[str, ...]
    taxed: tuple[Retaxed, ...] = ()
    """Invoices of the month that would be taxed otherwise."""


def rerate(conn: Connection, month_of: str, accounts: Collection[str] | None = None) -> Rerating:
    """Every sealed period of a month (``2026-02``), of all or some accounts; in one snapshot."""
    with snapshot(conn):
        wanted = _sealed(conn, middle(month_of), accounts)
        mine = {(one.scope, one.period.start): one for one in wanted}
        noted = {(one.scope, one.period.start): one for one in due(conn, accounts, found_too=True)}
        looks = recompute(conn, list({**mine, **noted}.values()))
        looks = [look for look in looks if (look.due.scope, look.due.period.start) in mine]
        return Rerating(
            len(looks),
            tuple(line for look in looks for line in _lines(conn, look)),
            tuple(look.refused for look in looks if look.refused),
            tuple(retaxed(conn, accounts, middle(month_of))),
        )


def _sealed(conn: Connection, inside: datetime, accounts: Collection[str] | None) -> list[Due]:
    rows = conn.execute(
        "SELECT scope_id, period_start FROM scope_seal"
        " WHERE tstzrange(period_start, period_end) @> %s",
        (inside,),
    ).fetchall()
    return [Due(*row, ()) for row in seals(conn, rows, accounts)]


def _lines(conn: Connection, look: Look) -> Iterator[Rerated]:
    if not look.corrections:
        return
    before = known_before(conn, look.billed)
    billed = {(one.key, one.tax): one.net for one in look.adjusted.billed}
    for one in look.corrections:
        line, old = one.line, billed.get((one.line.corrects, one.line.tax), Decimal(0))
        yield Rerated(
            look.due.account, look.due.currency, look.due.scope, look.due.period,
            look.adjusted.invoice, line.corrects, line.title, old, EXACT.add(old, line.net),
            line.net, causes(before, look.adjusted.priced, line, look.due.why),
        )  # fmt: skip


def known_before(conn: Connection, billed: Billed) -> Priced | None:
    """What the period was priced from when it was billed last; None where nothing was billed."""
    row = conn.execute(
        "SELECT invoice_id::text FROM adjustment WHERE (scope_id, period_start) = (%s, %s)"
        " AND invoice_id IS NOT NULL ORDER BY look DESC LIMIT 1",
        (billed.scope, billed.period.start),
    ).fetchone()
    last = row[0] if row else billed.invoice_id
    return _of(load(conn, last)[0], billed) if last else None


def _of(document: Document, billed: Billed) -> Priced | None:
    known = [*document.priced, *(one.priced for one in document.adjusted)]
    same = (billed.scope, billed.period)
    return next((one for one in known if (one.scope.scope, one.inputs.period) == same), None)
