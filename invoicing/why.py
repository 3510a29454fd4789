"""The figures of a line as a tree: readings → windows → attribution → quantity → price → net.

Reads only. What is shown was computed by ``invoicing.explain``; this file puts it into words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from invoicing.document import Document, DocumentLine, Priced, Series
from invoicing.evidence import Seen, evidence
from invoicing.lines import local_days
from invoicing.pieces import item_of, metered, parts, price_row
from invoicing.tree import Node
from pipeline.money import exact_text
from schemas.billing import Line, LineKind
from schemas.prices import Hours, Sum
from schemas.serial import instant_text
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Case:
    """A line with everything around it."""

    document: Document
    position: int
    row: DocumentLine
    priced: Priced
    series: tuple[Series, ...]
    """From the ledger, now."""
    quantity: Decimal | None
    net: Decimal | None
    """Computed by the database, now."""


def tree(conn: Connection, case: Case, differences: Sequence[str]) -> Node:
    document, line = case.document, case.row.line
    said = "; ".join(differences) or "every figure was computed again from the ledger and agrees"
    return Node(
        f"{document.number}/{case.position} {line.title}",
        f"{line.net} {document.currency} net",
        (f"key {line.key}", said),
        (*_measured(conn, case), *_rented(case), _price(case), *_roundings(line), _net(case)),
    )


def _measured(conn: Connection, case: Case) -> Iterator[Node]:
    """Readings, windows and attribution of a metered line."""
    line, measured = case.row.line, metered(case.priced.scope, case.row.line)
    if measured is None:
        return
    for series in case.series:
        name = f"{series.server} {series.meter} {series.resource}".strip()
        yield Node("readings", name, _chain(conn, series), tuple(_readings(series)))
        yield Node("windows", _windows(series), (), tuple(_days(case, series)))
    for part in parts(case.priced.scope, [line]):
        span = f"{instant_text(part.start)} … {instant_text(part.end)}"
        yield Node("attribution", f"{part.server} served {line.item}", (span,))
    late = _late(conn, case)
    if late:
        yield Node("later", f"{late} base units arrived after the invoice: an adjustment to come")
    yield _quantity(line, measured)


def _readings(series: Series) -> Iterator[Node]:
    for reading in series.readings:
        where = f"partition {reading.partition}, offset {reading.offset}"
        yield Node(
            f"{reading.kind} reading {instant_text(reading.at)}",
            str(reading.value),
            (f"origin {reading.origin}, report {reading.seq}, {where}",),
        )


def _chain(conn: Connection, series: Series) -> tuple[str, ...]:
    """The conservation law for this series: all windows ever are all readings ever."""
    row = conn.execute(
        """
        SELECT (SELECT coalesce(sum(reading), 0) FROM chain
                WHERE (server_id, meter, resource) = (%(server)s, %(meter)s, %(resource)s)),
               (SELECT coalesce(sum(quantity), 0) FROM usage
                WHERE (server_id, meter, resource) = (%(server)s, %(meter)s, %(resource)s))
        """,
        {"server": series.server, "meter": series.meter, "resource": series.resource},
    ).fetchone()
    assert row is not None
    sign = "=" if row[0] == row[1] else "≠"
    return (f"highest readings of all origins {int(row[0])} {sign} {int(row[1])} in all windows",)


def _windows(series: Series) -> str:
    return (
        f"{series.quantity} in {series.windows} windows from {instant_text(series.first)}"
        f" to {instant_text(series.last)}"
    )


def _days(case: Case, series: Series) -> Iterator[Node]:
    days = local_days(case.document.period, case.document.timezone)
    for start, quantity in zip(days, series.days, strict=True):
        if quantity:
            yield Node(f"day from {instant_text(start)}", str(quantity))


def _late(conn: Connection, case: Case) -> int:
    """What the ledger holds now beyond what the invoice saw."""
    line = case.row.line
    days = local_days(case.document.period, case.document.timezone)
    scope = case.priced.scope
    [[now]] = evidence(conn, [(scope, [line])], days)
    [[then]] = evidence(conn, [(scope, [line])], days, Seen(scope.scope, case.document.cut))
    return sum(one.quantity for one in now) - sum(one.quantity for one in then)


def _quantity(line: Line, measured: Sum) -> Node:
    over = max(0, line.base_quantity - line.allowance)
    unit = measured.unit
    exact = exact_text(Fraction(over, unit.is_))
    return Node(
        "quantity",
        f"{line.base_quantity} used − {line.allowance} included = {over} over",
        (f"÷ {unit.is_} base units a {unit.name} = {exact} {unit.name}",),
    )


def _rented(case: Case) -> Iterator[Node]:
    line = case.row.line
    if line.kind is not LineKind.CHARGE:
        return
    if not isinstance(price_row(case.priced.scope, line).price.quantity, Hours):
        return
    item = item_of(case.priced.scope, line)
    start, end = line.service.start, line.service.end
    assert end is not None
    yield Node(
        "attribution", f"{item.title} rented from {instant_text(item.valid.start)}",
        (f"in this line {instant_text(start)} … {instant_text(end)}",),
    )  # fmt: skip
    yield Node(
        "quantity",
        f"{line.quantity} hours started ({line.base_quantity} ms rented)",
        ("an hour counts where it starts, from the minute of hand-over",),
    )


def _price(case: Case) -> Node:
    line, currency = case.row.line, case.document.currency
    if line.kind not in {LineKind.CHARGE, LineKind.FLAT}:
        return Node("price", f"{line.unit_price} {currency}", (line.kind.value,))
    row = price_row(case.priced.scope, line)
    until = "on" if row.valid.end is None else f"to {instant_text(row.valid.end)}"
    notes = [f"catalogue {row.version}, valid from {instant_text(row.valid.start)} {until}"]
    if row.reason:
        notes.append(row.reason)
    if row.price.cap is not None:
        notes.append(f"at most {row.price.cap} {currency} a month")
    return Node("price", f"{line.unit_price} {currency} a {line.unit}", tuple(notes))


def _roundings(line: Line) -> Iterator[Node]:
    for rounding in line.roundings:
        yield Node(f"rounding of {rounding.what}", f"{rounding.exact} → {rounding.rounded}")


def _net(case: Case) -> Node:
    line = case.row.line
    capped = " (capped)" if line.capped else ""
    return Node(
        "net",
        f"{line.quantity} × {line.unit_price} = {line.net} {case.document.currency}{capped}",
        (f"tax {line.tax} {case.row.rate} %, on the invoice's sum",),
    )
