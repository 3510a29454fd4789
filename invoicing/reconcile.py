"""Raw readings = windows = accruals = lines, compared one by one; the answer is data. Reads only.

Totals hide errors that cancel out, so nothing is compared as a total: every chain of every server,
every series of every accrual, every line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from sinks.accruals import load_accrual
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


def reconcile(conn: Connection, document: Document) -> Reconciliation:
    """All comparisons of one invoice, in the caller's snapshot."""
    checks = [
        *_conservation(conn, document),
        *_accruals(conn, document),
        *_quantities(document),
        *_rates(conn, document),
        *_arithmetic(conn, document),
        *_totals(conn, document),
        *(check for one in document.adjusted for check in _again(conn, document, one.priced)),
    ]
    failed = tuple(check for check in checks if check.left != check.right)
    return Reconciliation(
        len(checks),
        tuple(Difference(c.what, c.where, str(c.left), str(c.right)) for c in failed),
        tuple(sorted({c.where.split(" ")[0] for c in failed if c.what == ACCRUALS})),
    )


def _conservation(conn: Connection, document: Document) -> Iterator[Check]:
    rows = conn.execute(CONSERVATION, {"servers": servers(document)})
    for server, meter, resource, windows, readings in rows:
        yield Check(READINGS, f"{server} {meter} {resource}".strip(), int(readings), int(windows))


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


def _accruals(conn: Connection, document: Document) -> Iterator[Check]:
    """Accruals that were rated up to the end; an older one says nothing about the whole period."""
    for priced in document.priced:
        scope, period = priced.scope.scope, document.period
        stored = load_accrual(conn, scope, period.start)
        if stored is None or stored[1] < priced.as_of:
            continue
        ours, theirs = _by_row(priced.inputs), _by_row(stored[0])
        for key in sorted(ours.keys() | theirs.keys()):
            yield Check(ACCRUALS, f"{scope} {key}", ours.get(key, 0), theirs.get(key, 0))


def _by_row(inputs: Inputs) -> dict[str, int]:
    def name(row: Usage) -> str:
        return f"{row.server} {row.meter} {row.resource} {row.start:%Y-%m-%dT%H:%MZ}"

    return {name(row): row.quantity for row in inputs.usage}


def _quantities(document: Document) -> Iterator[Check]:
    """Base units of each line: what pricing attributed, what the database summed its own way."""
    for priced, rows in by_scope(document):
        for row in rows:
            if metered(priced.scope, row.line):
                summed = sum(series.quantity for series in row.evidence)
                yield Check(QUANTITY, row.line.key, row.line.base_quantity, summed)


def _rates(conn: Connection, document: Document) -> Iterator[Check]:
    """Base units of each percentile: pricing took it of samples, the database of windows."""
    for priced, rows in by_scope(document):
        lines = [row.line for row in rows]
        found = rates(conn, priced.scope, lines, document.period)
        for number, rate in found.items():
            yield Check(RATE, lines[number].key, lines[number].base_quantity, rate)


def by_scope(document: Document) -> Iterator[tuple[Priced, list[DocumentLine]]]:
    """Each priced scope with its lines, in order."""
    rows = of_scopes(document)
    for priced in document.priced:
        yield priced, [row for row in rows if row.line.scope == priced.scope.scope]


def _arithmetic(conn: Connection, document: Document) -> Iterator[Check]:
    for priced, rows in by_scope(document):
        lines = [row.line for row in rows]
        for line, (quantity, net) in zip(
            lines, recount(conn, priced.scope, lines, document.currency), strict=True
        ):
            if quantity is not None:
                yield Check(PRODUCT, f"{line.key} quantity", line.quantity, quantity)
            if net is not None:
                yield Check(PRODUCT, f"{line.key} net", line.net, net)


def _again(conn: Connection, document: Document, priced: Priced) -> Iterator[Check]:
    """A sealed period that was priced again, compared as when it was sealed. Its accrual stays as
    it was then.
    """
    lines = price(priced.scope, priced.inputs, priced.as_of)
    days = local_days(priced.inputs.period, priced.scope.timezone)
    rows = document_lines(priced.scope, lines, evidence(conn, priced.scope, lines, days))
    alone = replace(
        document, period=priced.inputs.period, priced=(priced,), lines=tuple(rows), adjusted=()
    )
    yield from _conservation(conn, alone)
    yield from _quantities(alone)
    yield from _rates(conn, alone)
    yield from _arithmetic(conn, alone)


def _totals(conn: Connection, document: Document) -> Iterator[Check]:
    """Credit, taxes and sums of the whole invoice: settled once more, by the database."""
    for where, left, right in resettled(conn, document):
        yield Check(TOTALS, where, left, right)
