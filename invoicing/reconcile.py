"""Raw readings = windows = accruals = lines, compared one by one; the answer is data. Reads only.

Totals hide errors that cancel out, so nothing is compared as a total: every chain of every server,
every series of every accrual, every line.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from importlib.resources import files
from typing import Final

from invoicing.document import Document, DocumentLine, Priced, of_scopes
from invoicing.evidence import evidence
from invoicing.lines import document_lines, local_days
from invoicing.pieces import metered
from invoicing.rates import rates
from invoicing.recount import recount
from invoicing.resettle import resettled
from pipeline.periods import closed
from pipeline.rating.price import price
from schemas.billing import Inputs, Usage
from sinks.accruals import load_accruals
from sinks.database import Connection

CONSERVATION: Final = (files("invoicing") / "queries" / "conservation.sql").read_text()


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be one. ``what`` is the comparison, ``where`` the thing compared."""

    what: str
    where: str
    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.what}, {self.where}: {self.left} and {self.right} differ."


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many comparisons were made, and those that failed."""

    checked: int
    differences: tuple[Difference, ...]
    stale: tuple[str, ...] = ()
    """Scopes whose accrual is not what the ledger says: rated again, or a real difference."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of the same figure got in two ways."""

    what: str
    where: str
    left: object
    right: object


READINGS: Final = "readings = windows"
ACCRUALS: Final = "windows = accrual"
QUANTITY: Final = "windows = line quantity"
RATE: Final = "windows = line rate"
PRODUCT: Final = "line = quantity × price"
TOTALS: Final = "lines = totals"


def reconcile(conn: Connection, documents: Sequence[Document]) -> list[Reconciliation]:
    """All comparisons of each document, in the caller's snapshot: of one period and currency."""
    if not documents:
        return []
    checks = [
        [
            *own,
            *(check for one in document.adjusted for check in _again(conn, document, one.priced)),
        ]
        for document, own in zip(documents, _compared(conn, documents), strict=True)
    ]
    for number, totals in enumerate(resettled(conn, documents)):
        checks[number] += (Check(TOTALS, where, left, right) for where, left, right in totals)
    return [_found(mine) for mine in checks]


def _compared(conn: Connection, documents: Sequence[Document]) -> Iterator[list[Check]]:
    """Usage, quantities and nets of each document; totals are apart."""
    conserved = _conservation(conn, documents)
    scopes = [priced.scope.scope for document in documents for priced in document.priced]
    stored = load_accruals(conn, scopes, documents[0].period.start)
    wanted = [mine for document in documents for mine in by_scope(document)]
    lines = [(priced.scope, [row.line for row in rows]) for priced, rows in wanted]
    again = iter(recount(conn, lines, documents[0].currency))
    for document in documents:
        checks = [one for server in servers(document) for one in conserved.get(server, ())]
        for priced, rows in by_scope(document):
            checks += _accruals(priced, stored.get(priced.scope.scope))
            checks += _quantities(priced, rows)
            checks += _rates(conn, document, priced, rows)
            checks += _arithmetic(rows, next(again))
        yield checks


def _found(checks: Sequence[Check]) -> Reconciliation:
    failed = tuple(check for check in checks if check.left != check.right)
    return Reconciliation(
        len(checks),
        tuple(Difference(c.what, c.where, str(c.left), str(c.right)) for c in failed),
        tuple(sorted({c.where.split(" ")[0] for c in failed if c.what == ACCRUALS})),
    )


def _conservation(conn: Connection, documents: Sequence[Document]) -> dict[str, list[Check]]:
    names = sorted({server for document in documents for server in servers(document)})
    found: dict[str, list[Check]] = defaultdict(list)
    for server, meter, resource, windows, readings in conn.execute(
        CONSERVATION, {"servers": names}
    ):
        where = f"{server} {meter} {resource}".strip()
        found[server].append(Check(READINGS, where, int(readings), int(windows)))
    return found


def servers(document: Document) -> list[str]:
    """Every server that served a scope of the invoice in its period."""
    start, end = document.period.start, closed(document.period)
    return sorted(
        {
            row.server
            for priced in document.priced
            for row in priced.scope.assignments
            if row.valid.clip(start, end)
        }
    )


def _accruals(priced: Priced, stored: tuple[Inputs, datetime] | None) -> Iterator[Check]:
    """Accruals that were rated up to the end; an older one says nothing about the whole period."""
    if stored is None or stored[1] < priced.as_of:
        return
    ours, theirs = _by_row(priced.inputs), _by_row(stored[0])
    for key in sorted(ours.keys() | theirs.keys()):
        where = f"{priced.scope.scope} {key}"
        yield Check(ACCRUALS, where, ours.get(key, 0), theirs.get(key, 0))


def _by_row(inputs: Inputs) -> dict[str, int]:
    def name(row: Usage) -> str:
        return f"{row.server} {row.meter} {row.resource} {row.start:%Y-%m-%dT%H:%MZ}"

    return {name(row): row.quantity for row in inputs.usage}


def _quantities(priced: Priced, rows: Sequence[DocumentLine]) -> Iterator[Check]:
    """Base units of each line: what pricing attributed, what the database summed its own way."""
    for row in rows:
        if metered(priced.scope, row.line):
            summed = sum(series.quantity for series in row.evidence)
            yield Check(QUANTITY, row.line.key, row.line.base_quantity, summed)


def _rates(
    conn: Connection, document: Document, priced: Priced, rows: Sequence[DocumentLine]
) -> Iterator[Check]:
    """Base units of each percentile: pricing took it of samples, the database of windows."""
    lines = [row.line for row in rows]
    for number, rate in rates(conn, priced.scope, lines, document.period).items():
        yield Check(RATE, lines[number].key, lines[number].base_quantity, rate)


def by_scope(document: Document) -> list[tuple[Priced, list[DocumentLine]]]:
    """Each priced scope with its lines, in order."""
    rows: dict[str, list[DocumentLine]] = defaultdict(list)
    for row in of_scopes(document):
        rows[row.line.scope].append(row)
    return [(priced, rows[priced.scope.scope]) for priced in document.priced]


def _arithmetic(
    rows: Sequence[DocumentLine], again: Sequence[tuple[Decimal | None, Decimal | None]]
) -> Iterator[Check]:
    for row, (quantity, net) in zip(rows, again, strict=True):
        if quantity is not None:
            yield Check(PRODUCT, f"{row.line.key} quantity", row.line.quantity, quantity)
        if net is not None:
            yield Check(PRODUCT, f"{row.line.key} net", row.line.net, net)


def _again(conn: Connection, document: Document, priced: Priced) -> Iterator[Check]:
    """A sealed period that was priced again, compared as when it was sealed. Its accrual stays as
    it was then.
    """
    lines = price(priced.scope, priced.inputs, priced.as_of)
    days = local_days(priced.inputs.period, priced.scope.timezone)
    [series] = evidence(conn, [(priced.scope, lines)], days)
    rows = document_lines(priced.scope, lines, series)
    alone = replace(
        document, period=priced.inputs.period, priced=(priced,), lines=tuple(rows), adjusted=()
    )
    [checks] = _compared(conn, [alone])
    yield from (check for check in checks if check.what != ACCRUALS)
