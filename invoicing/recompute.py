"""Sealed periods priced again with everything known now, many at once. Reads only.

Oldest first: what an earlier period of a scope comes to, and leaves, by now is known when a later
one is priced, so that the year's commitment, packs and rollovers come out right in one go.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from invoicing.books import At, Billed, billed, corrected_lines
from invoicing.causes import TREATMENT
from invoicing.corrections import corrections, left
from invoicing.document import Adjusted, Priced
from invoicing.due import Due, due, seals
from invoicing.opened import Opened, opened
from pipeline.money import exact_sum
from pipeline.periods import closed
from pipeline.rating.adjustment import Correction, carried
from pipeline.rating.advance import retaxed
from pipeline.rating.lots import handed_on, hands_on
from schemas.billing import Inputs, Lot, Scope
from schemas.serial import from_json
from schemas.terms import Term
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes
from sinks.store.marks import marks


@dataclass(frozen=True, slots=True)
class Look:
    """A sealed scope and period as known now, beside what was billed for it."""

    due: Due
    billed: Billed
    adjusted: Adjusted
    corrections: tuple[Correction, ...]
    opened: tuple[Opened, ...]
    refused: str = ""
    """Why it cannot be priced again; then there are no corrections."""
    handed: tuple[Lot, ...] | None = None
    """What the next period finds of packs and rollovers by now; None: what the ledger says."""
    left_else: bool = False
    """Later periods have found something else."""

    @property
    def scope(self) -> Scope:
        return self.adjusted.priced.scope

    @property
    def same(self) -> bool:
        """It comes to what was billed, which is to be kept."""
        kept = bool(self.due.ids) or self.left_else
        return kept and not self.corrections and not self.refused

    @property
    def net(self) -> Decimal:
        return exact_sum(one.line.net for one in self.corrections)


def looks_of(conn: Connection, accounts: Collection[str], *, found_too: bool) -> list[Look]:
    """All that is due of accounts; ``found_too``: also what nobody has noted yet."""
    return recompute(conn, due(conn, accounts, found_too=found_too))


def recompute(conn: Connection, dues: Sequence[Due]) -> list[Look]:
    """Each due period, and later ones of a scope that these may change: by a year's commitment, by
    packs and rollovers.
    """
    scopes = load_scopes(conn, sorted({one.scope for one in dues}))
    dues = _with_later(conn, dues, scopes)
    if not dues:
        return []
    wanted = [(scopes[one.scope], one.period) for one in dues]
    last = max(closed(one.period) for one in dues)
    inputs = usage_inputs_bulk(conn, wanted, last)
    books = billed(conn, [(one.scope, one.period.start) for one in dues])
    ends: dict[tuple[str, object], list[Opened]] = defaultdict(list)
    for head in opened(conn, wanted):
        ends[head.scope, head.period_start].append(head)
    chain = _Chain(marks(conn).dropped, _said(conn, dues, scopes))
    return [
        chain.look(one, scope, known, books[one.scope, period.start],
                   tuple(ends[one.scope, period.start]))
        for one, (scope, period), known in zip(dues, wanted, inputs, strict=True)
    ]  # fmt: skip


class _Chain:
    """Looks one after the other, each with what those before it come to."""

    def __init__(self, dropped: datetime | None, said: dict[At, tuple[Lot, ...]]) -> None:
        self._dropped = dropped
        self._said = said
        self._earlier: dict[str, list[Correction]] = defaultdict(list)
        self._handed: dict[str, tuple[Lot, ...]] = {}

    def look(
        self, one: Due, scope: Scope, known: Inputs, book: Billed, heads: tuple[Opened, ...]
    ) -> Look:
        period, name = one.period, one.scope
        inputs = retaxed(found_on(known, self._handed.get(name)), book.rates)
        inputs = carried(scope, inputs, self._earlier[name])
        now = Priced(scope, inputs, closed(period))
        before = corrected_lines(book, scope, ahead=TREATMENT in one.why)
        entry = Adjusted(book.number, now, before, book.corrections + 1, book.rates)
        if self._dropped is not None and period.start < self._dropped:
            refused = (
                f"Windows of {name} before {self._dropped:%Y-%m-%d} were dropped"
                f" (RACKMETER_KEEP_WINDOWS_DAYS): {period.start:%Y-%m} cannot be priced again."
            )
            return Look(one, book, entry, (), heads, refused)
        found = tuple(corrections(entry))
        self._earlier[name] += found
        if not hands_on(scope):
            return Look(one, book, entry, found, heads)
        leaves = left(now)
        self._handed[name] = handed = handed_on(inputs.lots, leaves)
        other = leaves != self._said[name, period.start]
        return Look(one, book, entry, found, heads, handed=handed, left_else=other)


def found_on(known: Inputs, handed: tuple[Lot, ...] | None) -> Inputs:
    """The inputs of a period that finds what is ``handed`` to it, not what the ledger said last."""
    if handed is None:
        return known
    start = known.period.start
    return replace(known, lots=tuple(lot for lot in handed if start < lot.expires_at))


def _said(
    conn: Connection, dues: Sequence[Due], scopes: dict[str, Scope]
) -> dict[At, tuple[Lot, ...]]:
    """What later periods were told that these leave, by the invoice or the newest look since."""
    wanted = [one for one in dues if hands_on(scopes[one.scope])]
    if not wanted:
        return {}
    rows = conn.execute(
        """
        SELECT z.scope_id, z.period_start, coalesce(
            (SELECT a.lots FROM adjustment a
             WHERE (a.scope_id, a.period_start) = (z.scope_id, z.period_start)
             ORDER BY a.look DESC LIMIT 1),
            (SELECT jsonb_agg(lot ORDER BY no, at)
             FROM invoice i
             CROSS JOIN LATERAL jsonb_array_elements(i.document->'lines')
                        WITH ORDINALITY AS l (row, no)
             CROSS JOIN LATERAL jsonb_array_elements(row->'line'->'lots')
                        WITH ORDINALITY AS s (lot, at)
             WHERE i.invoice_id = z.invoice_id AND row->'line'->>'scope' = z.scope_id), '[]')
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, period_start)
        JOIN scope_seal z USING (scope_id, period_start)
        """,
        ([one.scope for one in wanted], [one.period.start for one in wanted]),
    )
    return {(scope, start): from_json(tuple[Lot, ...], body) for scope, start, body in rows}


def _with_later(conn: Connection, dues: Sequence[Due], scopes: dict[str, Scope]) -> list[Due]:
    """The dues, and later sealed periods of scopes in which one period has to do with the next."""
    first: dict[str, Due] = {}
    for one in sorted(dues, key=lambda one: one.period.start):
        if _chained(scopes[one.scope]):
            first.setdefault(one.scope, one)
    rows = conn.execute(
        "SELECT z.scope_id, z.period_start FROM unnest(%s::text[], %s::timestamptz[])"
        " AS w (scope_id, since) JOIN scope_seal z USING (scope_id) WHERE z.period_start > since",
        (list(first), [one.period.start for one in first.values()]),
    ).fetchall()
    there = {(one.scope, one.period.start) for one in dues}
    later = seals(conn, [row for row in rows if tuple(row) not in there], None)
    more = [Due(a, c, z, scope, period, ("an earlier period",)) for a, c, z, scope, period in later]
    return sorted([*dues, *more], key=_turn)


def _chained(scope: Scope) -> bool:
    return hands_on(scope) or any(c.term is Term.YEAR for c in scope.commitments)


def _turn(one: Due) -> tuple[object, ...]:
    return one.period.start, one.account, one.scope
