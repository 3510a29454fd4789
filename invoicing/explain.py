"""Why a line, or a whole invoice, says what it says: computed again and compared. Reads only.

Ledger rows above the invoice's positions came later: they are told, not counted. How the figures
become a tree is in ``invoicing.explaining``: ``line`` from the document alone, ``ledger`` the rest.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from invoicing.corrections import corrections
from invoicing.document import OF_THE_WHOLE, Document, Series, of_scopes
from invoicing.evidence import Seen, evidence
from invoicing.explaining.ledger import told
from invoicing.explaining.line import Case, again, case_of, tree
from invoicing.explaining.tree import Explanation, Node
from invoicing.explaining.whole import whole
from invoicing.export import load
from invoicing.lines import local_days
from invoicing.pieces import metered
from invoicing.proof import read, recomputed
from invoicing.recount import recount
from invoicing.verify import content, verify
from schemas.errors import DependencyError, DifferenceError, RefusedError
from sinks.database import Connection

POSITION: Final = re.compile(r"(?P<number>\S+)[/:](?P<position>[1-9][0-9]*)")
WHOLE: Final = 0
"""Position of an explanation of the whole invoice."""
LEDGER: Final = "every figure was computed again from the ledger and agrees"
FILE: Final = "every figure was computed again from the document and agrees"


def explain(conn: Connection, reference: str) -> Explanation:
    """An invoice by its number; a line by its key or ``NUMBER/POSITION`` (from 1)."""
    document, position = _find(conn, reference)
    if position == WHOLE:
        return _whole(document)
    case = case_of(document, position)
    series, differences = _compared(conn, case)
    found = told(conn, case, series)
    return _explanation(case, tree(case, series, found, _said(differences, LEDGER)), differences)


def explain_document(document: Document, position: int = WHOLE) -> Explanation:
    """The same from a document alone, for whoever has no ledger."""
    if position == WHOLE:
        return _whole(document)
    if position > len(document.lines):
        raise RefusedError(f"{document.number} has {len(document.lines)} lines, no {position}.")
    case = case_of(document, position)
    differences = tuple(_recomputed(case))
    said = _said(differences, FILE)
    return _explanation(case, tree(case, case.row.evidence, (), said), differences)


def explain_file(path: Path, reference: str) -> Explanation:
    """The same from a file that a customer has, where nothing of it was altered."""
    findings = verify(path)
    if findings:
        raise DifferenceError(f"{path} was altered: {findings[0]}.")
    document = read(json.loads(content(path)))
    position = reference.removeprefix(document.number).lstrip("/:") or str(WHOLE)
    if not position.isdecimal():
        raise RefusedError(f"{path} has no line {reference}: write its position, or 0 for all.")
    return explain_document(document, int(position))


def _explanation(case: Case, root: Node, differences: tuple[str, ...]) -> Explanation:
    document = case.document
    return Explanation(
        document.number, case.position, document.currency, case.row.line, root, differences
    )


def _whole(document: Document) -> Explanation:
    differences = tuple(str(one) for one in recomputed(document))
    root = whole(document, _said(differences, FILE))
    return Explanation(document.number, WHOLE, document.currency, None, root, differences)


def _said(differences: tuple[str, ...], agreed: str) -> str:
    return "; ".join(differences) or agreed


def _find(conn: Connection, reference: str) -> tuple[Document, int]:
    split = POSITION.fullmatch(reference)
    number, position = (split["number"], int(split["position"])) if split else ("", 0)
    found = conn.execute(
        """
        SELECT invoice_id::text, 0 FROM invoice WHERE number = %(said)s
        UNION ALL
        SELECT invoice_id::text, position FROM invoice_line WHERE line_key = %(said)s
        UNION ALL
        SELECT invoice_id::text, position FROM invoice JOIN invoice_line USING (invoice_id)
        WHERE number = %(number)s AND position = %(position)s
        LIMIT 1
        """,
        {"said": reference, "number": number, "position": position},
    ).fetchone()
    if found is None:
        raise RefusedError(
            f"No invoice has a line {reference}: write its key, or NUMBER/POSITION; or NUMBER for"
            " the whole invoice."
        )
    return load(conn, found[0])[0], found[1]


def _compared(conn: Connection, case: Case) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """The series from the ledger as the invoice saw it, and everything that does not agree."""
    differences = list(_recomputed(case))
    row, document = case.row, case.document
    if row.line.kind in OF_THE_WHOLE:
        return (), tuple(differences)
    scope = case.entry.scope
    lines = [one.line for one in of_scopes(document) if one.line.scope == row.line.scope]
    at = lines.index(row.line)
    days = local_days(document.period, document.timezone)
    mine = [(scope, lines)]
    series = evidence(conn, mine, days, Seen(scope.scope, document.cut))[0][at]
    quantity, net = recount(conn, mine, document.currency)[0][at]
    differences += _measured(case, series)
    if quantity is not None and quantity != row.line.quantity:
        differences.append(
            f"the quantity comes to {quantity}, the invoice says {row.line.quantity}"
        )
    if net is not None and net != row.line.net:
        differences.append(f"the net comes to {net}, the invoice says {row.line.net}")
    return series, tuple(differences)


def _recomputed(case: Case) -> Iterator[str]:
    """The line as its pricing inputs make it."""
    line = case.row.line
    if case.adjusted is not None:
        made = [one.line for one in corrections(case.adjusted)]
    elif line.kind in OF_THE_WHOLE:
        yield from (str(one) for one in recomputed(case.document))
        return
    else:
        made = list(again(case.entry))
    if line not in made:
        yield f"the pricing inputs do not make a line {line.key} of {line.net}"


def _measured(case: Case, series: tuple[Series, ...]) -> Iterator[str]:
    line = case.row.line
    if not metered(case.entry.scope, line):
        return
    summed = sum(one.quantity for one in series)
    if summed != line.base_quantity:
        yield f"the ledger sums to {summed}, the invoice says {line.base_quantity}"
    if _days(series) != _days(case.row.evidence):
        yield "the ledger's days are not those on the invoice"


def _days(evidence: tuple[Series, ...]) -> list[tuple[str, ...] | tuple[int, ...]]:
    """What must not change; readings are kept for people and may be joined by late ones."""
    return [part for one in evidence for part in ((one.server, one.meter, one.resource), one.days)]


def write(found: Explanation, path: Path) -> Path:
    """The explanation as one page that needs nothing else."""
    from invoicing.explaining.page import page  # noqa: PLC0415 - only who asks for it

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise DependencyError(f"{path} cannot be written: {error.strerror}.") from error
    return path
