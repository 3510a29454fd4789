"""Sealed periods priced again with everything known now, many at once. Reads only.

Oldest first: what an earlier period of a scope comes to by now is known when a later one is priced,
so that the year's commitment of a scope is settled right in one go.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from invoicing.books import Billed, billed, corrected_lines
from invoicing.corrections import corrections
from invoicing.document import Adjusted, Priced
from invoicing.due import Due, due, seals
from invoicing.opened import Opened, opened
from pipeline.money import exact_sum
from pipeline.periods import closed
from pipeline.rating.adjustment import Correction, carried
from schemas.billing import Scope
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

    @property
    def scope(self) -> Scope:
        return self.adjusted.priced.scope

    @property
    def net(self) -> Decimal:
        return exact_sum(one.line.net for one in self.corrections)


def looks_of(conn: Connection, accounts: Collection[str], *, found_too: bool) -> list[Look]:
    """All that is due of accounts; ``found_too``: also what nobody has noted yet."""
    return recompute(conn, due(conn, accounts, found_too=found_too))


def recompute(conn: Connection, dues: Sequence[Due]) -> list[Look]:
    """Each due period, and later ones of a scope whose year's commitment these may change."""
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
    dropped = marks(conn).dropped
    earlier: dict[str, list[Correction]] = defaultdict(list)
    looks: list[Look] = []
    for one, (scope, period), known in zip(dues, wanted, inputs, strict=True):
        book = books[one.scope, period.start]
        now = Priced(scope, carried(scope, known, earlier[one.scope]), closed(period))
        entry = Adjusted(book.number, now, corrected_lines(book, scope), book.corrections + 1)
        gone = dropped is not None and period.start < dropped
        found = () if gone else tuple(corrections(entry))
        earlier[one.scope] += found
        refused = (
            f"Windows of {one.scope} before {dropped:%Y-%m-%d} were dropped"
            f" (RACKMETER_KEEP_WINDOWS_DAYS): {period.start:%Y-%m} cannot be priced again."
            if gone
            else ""
        )
        heads = tuple(ends[one.scope, period.start])
        looks.append(Look(one, book, entry, found, heads, refused))
    return looks


def _with_later(conn: Connection, dues: Sequence[Due], scopes: dict[str, Scope]) -> list[Due]:
    """The dues, and later sealed periods of scopes that have a yearly commitment."""
    first: dict[str, Due] = {}
    for one in sorted(dues, key=lambda one: one.period.start):
        if any(c.term is Term.YEAR for c in scopes[one.scope].commitments):
            first.setdefault(one.scope, one)
    rows = conn.execute(
        "SELECT z.scope_id, z.period_start FROM unnest(%s::text[], %s::timestamptz[])"
        " AS w (scope_id, since) JOIN scope_seal z USING (scope_id) WHERE z.period_start > since",
        (list(first), [one.period.start for one in first.values()]),
    ).fetchall()
    there = {(one.scope, one.period.start) for one in dues}
    later = seals(conn, [row for row in rows if tuple(row) not in there], None)
    more = [Due(a, c, z, scope, period, ("commitment",)) for a, c, z, scope, period in later]
    return sorted([*dues, *more], key=_turn)


def _turn(one: Due) -> tuple[object, ...]:
    return one.period.start, one.account, one.scope
