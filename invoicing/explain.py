"""Why a line says what it says, computed again from the ledger and compared. Reads only.

Ledger rows above the invoice's positions came later: they are told, not counted. How the figures
become a tree is ``invoicing.why``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from invoicing.document import OF_THE_WHOLE, Document, Priced, Series, of_scopes, scope_of
from invoicing.evidence import Seen, evidence
from invoicing.export import load
from invoicing.lines import local_days
from invoicing.pieces import metered
from invoicing.recount import recount
from invoicing.tree import Node
from invoicing.why import Case, tree
from schemas.billing import Inputs, Line
from schemas.errors import RefusedError
from schemas.serial import Json, to_json
from sinks.database import Connection

POSITION: Final = re.compile(r"(?P<number>\S+)[/:](?P<position>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Explanation:
    """A line, the tree of its figures, and where ledger and invoice do not agree."""

    number: str
    position: int
    currency: str
    line: Line
    tree: Node
    differences: tuple[str, ...]

    def to_text(self) -> str:
        return self.tree.to_text()

    def to_json(self) -> Json:
        said: Json = to_json(self)
        return said


def explain(conn: Connection, reference: str) -> Explanation:
    """The line of that key, or of ``NUMBER/POSITION`` (positions count from 1)."""
    document, position = _find(conn, reference)
    case = _case(conn, document, position)
    differences = tuple(_differences(case))
    return Explanation(
        document.number, position, document.currency, case.row.line,
        tree(conn, case, differences), differences,
    )  # fmt: skip


def _find(conn: Connection, reference: str) -> tuple[Document, int]:
    found = conn.execute(
        "SELECT invoice_id::text, position FROM invoice_line WHERE line_key = %s", (reference,)
    ).fetchone()
    split = POSITION.fullmatch(reference)
    if found is None and split:
        found = conn.execute(
            """
            SELECT invoice_id::text, position FROM invoice JOIN invoice_line USING (invoice_id)
            WHERE number = %s AND position = %s
            """,
            (split["number"], int(split["position"])),
        ).fetchone()
    if found is None:
        raise RefusedError(f"No invoice has a line {reference}: write its key, or NUMBER/POSITION.")
    return load(conn, found[0])[0], found[1]


def _case(conn: Connection, document: Document, position: int) -> Case:
    row = document.lines[position - 1]
    if row.line.kind in OF_THE_WHOLE:
        of = scope_of(document, row.line)
        priced = Priced(of, Inputs(row.line.service), document.issued_at)
        return Case(document, position, row, priced, (), None, None)
    priced = next(one for one in document.priced if one.scope.scope == row.line.scope)
    lines = [one.line for one in of_scopes(document) if one.line.scope == row.line.scope]
    at = lines.index(row.line)
    days = local_days(document.period, document.timezone)
    mine = [(priced.scope, lines)]
    series = evidence(conn, mine, days, Seen(priced.scope.scope, document.cut))[0][at]
    quantity, net = recount(conn, mine, document.currency)[0][at]
    return Case(document, position, row, priced, series, quantity, net)


def _differences(case: Case) -> Iterator[str]:
    line = case.row.line
    if metered(case.priced.scope, line):
        summed = sum(series.quantity for series in case.series)
        if summed != line.base_quantity:
            yield f"the ledger sums to {summed}, the invoice says {line.base_quantity}"
        if _days(case.series) != _days(case.row.evidence):
            yield "the ledger's days are not those on the invoice"
    if case.quantity is not None and case.quantity != line.quantity:
        yield f"the quantity comes to {case.quantity}, the invoice says {line.quantity}"
    if case.net is not None and case.net != line.net:
        yield f"the net comes to {case.net}, the invoice says {line.net}"


def _days(evidence: tuple[Series, ...]) -> list[tuple[str, ...] | tuple[int, ...]]:
    """What must not change; readings are kept for people and may be joined by late ones."""
    return [part for one in evidence for part in ((one.server, one.meter, one.resource), one.days)]
