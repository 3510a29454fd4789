"""The figures of a line as a tree: what was measured → quantity → price → rounding → net. Pure.

All of it is in the document, so a customer can ask the same of the file. What only the ledger knows
comes in as nodes (:mod:`invoicing.explaining.ledger`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from invoicing.document import Adjusted, Document, DocumentLine, Priced, Series, scope_of
from invoicing.explaining import terms
from invoicing.explaining.made import made
from invoicing.explaining.price import net, price
from invoicing.explaining.quantity import quantity, span_text
from invoicing.explaining.tree import Chart, Node
from invoicing.lines import local_days
from invoicing.pieces import metered, parts
from pipeline.periods import closed
from pipeline.rating.price import price as priced_lines
from schemas.billing import BilledLine, Inputs, Line, LineKind
from schemas.serial import instant_text


@dataclass(frozen=True, slots=True)
class Case:
    """A line with everything around it."""

    document: Document
    position: int
    row: DocumentLine
    entry: Priced
    """The pricing that made it; of an adjustment the newer one."""
    adjusted: Adjusted | None = None


def case_of(document: Document, position: int) -> Case:
    """The line at that position, from 1."""
    row = document.lines[position - 1]
    line = row.line
    if line.kind is LineKind.ADJUSTMENT:
        number = int(line.key.split("/")[1])
        for one in document.adjusted:
            if one.priced.scope.scope == line.scope and one.number == number and _about(one, line):
                return Case(document, position, row, one.priced, one)
    for entry in document.priced:
        if entry.scope.scope == line.scope:
            return Case(document, position, row, entry)
    entry = Priced(scope_of(document, line), Inputs(line.service), document.issued_at)
    return Case(document, position, row, entry)


def _about(one: Adjusted, line: Line) -> bool:
    known = {entry.key for entry in one.billed} | {entry.key for entry in again(one.priced)}
    return line.corrects in known


def again(entry: Priced) -> tuple[Line, ...]:
    """What the pricing inputs come to, once more."""
    return priced_lines(entry.scope, entry.inputs, entry.as_of)


def tree(case: Case, series: Sequence[Series], found: Iterable[Node], said: str) -> Node:
    """``series`` was measured; ``found`` is what the ledger tells beyond the document."""
    document, row = case.document, case.row
    line, currency = row.line, document.currency
    return Node(
        f"{document.number}/{case.position} {line.title}",
        f"{line.net} {currency} net",
        (f"key {line.key}", f"service {span_text(line.service)}", said),
        (*measured(case, series), *found, *_made(case), net(line, row.rate, currency)),
    )


def _made(case: Case) -> Iterator[Node]:
    line, currency = case.row.line, case.document.currency
    if line.kind is LineKind.CREDIT:
        yield from terms.credit(case.document, line)
    elif case.adjusted is not None:
        yield from _corrected(case, case.adjusted)
    else:
        yield from computed(case.entry, line, currency)


def computed(entry: Priced, line: Line, currency: str) -> Iterator[Node]:
    """From the quantity to the last rounding of a line that pricing its scope makes."""
    found = made(entry, line)
    if found is None:
        yield from terms.explained(entry, line)
        return
    yield from quantity(found, entry.inputs, line)
    yield from price(found, line, currency)


def _corrected(case: Case, adjusted: Adjusted) -> Iterator[Node]:
    line, currency = case.row.line, case.document.currency
    now = next((one for one in again(adjusted.priced)
                if (one.key, one.tax) == (line.corrects, line.tax)), None)  # fmt: skip
    old = next((one for one in adjusted.billed
                if (one.key, one.tax) == (line.corrects, line.tax)), None)  # fmt: skip
    before = old.net if old else Decimal(0)
    yield _billed_before(adjusted, line, old, currency)
    if now is None:
        yield Node("now", f"0 {currency}", ("there is no such line by now",))
    else:
        yield Node("now", f"{now.net} {currency}", ("as known when this document was issued",),
                   (*computed(adjusted.priced, now, currency),
                    net(now, case.row.rate, currency)))  # fmt: skip
    yield Node("difference", f"{now.net if now else 0} − {before} = {line.net} {currency}",
               (f"correction {adjusted.number} of {span_text(adjusted.priced.inputs.period)}",
                "at the tax rate of the invoice that it corrects"))  # fmt: skip


def _billed_before(
    adjusted: Adjusted, line: Line, old: BilledLine | None, currency: str
) -> Node:  # fmt: skip
    if old is None:
        return Node("billed", f"0 {currency}", (f"no line {line.corrects} was billed before",))
    invoice = adjusted.invoice or "no invoice: the period had nothing to bill"
    return Node("billed", f"{old.net} {currency} by {invoice}",
                (old.title, f"key {old.key}", f"tax {old.tax} {old.rate} %",
                 "corrections of it until now included"))  # fmt: skip


# --- what was measured ----------------------------------------------------------------------------


def measured(case: Case, series: Sequence[Series]) -> Iterator[Node]:
    """Readings, windows, attribution and coverage of a line that sums a meter."""
    line, scope = case.row.line, case.entry.scope
    if case.adjusted is not None or line.kind is not LineKind.CHARGE:
        return
    if metered(scope, line) is None:
        return
    for one in series:
        name = f"{one.server} {one.meter} {one.resource}".strip()
        yield Node("readings", name, (), tuple(_readings(one)))
    yield _windows(case, series)
    for part in parts(scope, [line]):
        span = f"{instant_text(part.start)} … {instant_text(part.end)}"
        yield Node("attribution", f"{part.server} served {line.item}", (span,))
    yield _coverage(case)


def _readings(series: Series) -> Iterator[Node]:
    for reading in series.readings:
        where = f"partition {reading.partition}, offset {reading.offset}"
        yield Node(
            f"{reading.kind} reading {instant_text(reading.at)}", str(reading.value),
            (f"origin {reading.origin}, report {reading.seq}, {where}",
             f"topic {reading.topic}"),
        )  # fmt: skip


def _windows(case: Case, series: Sequence[Series]) -> Node:
    """All series together, each below; the chart is the course of the month."""
    days = local_days(case.document.period, case.document.timezone)
    total = sum(one.quantity for one in series)
    count = sum(one.windows for one in series)
    each = tuple(_series(one, days) for one in series)
    said = f"{total} in {count} windows"
    return Node("windows", said, (), each, _chart(case, series, days))


def _series(one: Series, days: Sequence[datetime]) -> Node:
    name = f"{one.server} {one.meter} {one.resource}".strip()
    said = (f"{one.quantity} in {one.windows} windows from {instant_text(one.first)}"
            f" to {instant_text(one.last)}")  # fmt: skip
    made_of = tuple(
        Node(f"day from {instant_text(start)}", str(quantity))
        for start, quantity in zip(days, one.days, strict=True)
        if quantity
    )
    return Node(name, said, (), made_of)


def _chart(case: Case, series: Sequence[Series], days: Sequence[datetime]) -> Chart | None:
    sums = [sum(day) for day in zip(*(one.days for one in series), strict=True)]
    if not sums:
        return None
    return Chart(
        "used since the period began, day by day, in base units", days[0], 86_400_000,
        tuple(accumulate(sums)), case.row.line.allowance, "included",
    )  # fmt: skip


def _coverage(case: Case) -> Node:
    """How much of the assigned time was observed, and what follows for the rest."""
    line, row = case.row.line, case.row
    assigned = sum((part.end - part.start for part in parts(case.entry.scope, [line])),
                   timedelta(0))  # fmt: skip
    hours = f"{assigned / timedelta(hours=1):g} h"
    said = "none was assigned" if row.coverage is None else f"{row.coverage} % observed"
    return Node("coverage", said, (
        f"of {hours} in which a server served the item",
        ("the counters go on in a gap: what was used in it is known from the readings around it"
        " and spread over its windows by time; a gap loses nothing and adds nothing"),
    ))  # fmt: skip


def in_period(case: Case) -> bool:
    """The line is of the document's own period, not of the one after or an older one."""
    return case.row.line.service.start < closed(case.document.period)
