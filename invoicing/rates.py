"""The rates of percentile lines, a second time, by the database from the ledger. Reads only."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Final

from invoicing.pieces import EPOCH, WIDTH, Part, price_row, whole
from pipeline.periods import closed
from pipeline.rating.cut import charged
from schemas.billing import Item, Line, LineKind, Scope, Span
from schemas.prices import Missing, Percentile
from sinks.database import Connection

Served = tuple[str, datetime, datetime]
"""A server, from when and until when."""
RATES: Final = (files("invoicing") / "queries" / "rates.sql").read_text()


def percentile_of(scope: Scope, line: Line) -> Percentile | None:
    """What the line is a percentile of; None of any other, and of further lines of the same."""
    if line.kind is not LineKind.CHARGE or line.tier:
        return None
    quantity = price_row(scope, line).price.quantity
    return quantity if isinstance(quantity, Percentile) else None


def rates(conn: Connection, scope: Scope, lines: Sequence[Line], period: Span) -> dict[int, int]:
    """Base units a window, by the number of each percentile line."""
    wanted = {
        number: quantity
        for number, line in enumerate(lines)
        if (quantity := percentile_of(scope, line))
    }
    if not wanted:
        return {}
    parts = {
        number: [
            (part, terms.meters)
            for terms, served in _members(scope, lines[number], quantity, period)
            for part in whole(Part(number, *one) for one in served)
        ]
        for number, quantity in wanted.items()
    }
    series = [
        (part, meter) for found in parts.values() for part, meters in found for meter in meters
    ]
    found = conn.execute(
        RATES,
        {
            "no": list(wanted),
            "percent": [quantity.percent for quantity in wanted.values()],
            "take": [quantity.take.value for quantity in wanted.values()],
            "zero": [quantity.missing is Missing.ZERO for quantity in wanted.values()],
            "owned": [len(_windows(part for part, _ in parts[number])) for number in wanted],
            "of": [part.line for part, _ in series],
            "server": [part.server for part, _ in series],
            "meter": [meter for _, meter in series],
            "low": [part.start for part, _ in series],
            "high": [part.end for part, _ in series],
        },
    )
    return {number: int(rate) for number, rate in found}


def _members(
    scope: Scope, line: Line, quantity: Percentile, period: Span
) -> Iterator[tuple[Percentile, Iterator[Served]]]:
    """The line's item and those of its pool, by the newest terms of each, and what served it."""
    found: dict[str, tuple[Percentile, Iterator[Served]]] = {}
    for item in scope.items:
        rows = [
            (span, own)
            for row in scope.prices
            if (row.item, row.charge) == (item.item, line.charge)
            and isinstance(own := row.price.quantity, Percentile)
            and own.unit.of == quantity.unit.of
            for span in charged(row, item, period, scope.intervals)
        ]
        if rows:
            _, newest = max(rows, key=lambda one: one[0].start)
            found[item.item] = newest, _served(scope, item, _joined(span for span, _ in rows))
    pool = found[line.item][0].pool
    for name, (terms, served) in found.items():
        if name == line.item or (pool and terms.pool == pool):
            yield terms, served


def _served(scope: Scope, item: Item, spans: Iterable[Span]) -> Iterator[Served]:
    for span in spans:
        for row in scope.assignments:
            part = row.valid.clip(span.start, closed(span))
            if row.item == item.item and part:
                yield row.server, part.start, closed(part)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """With those that follow on one another as one: a price that changes cuts no window."""
    found: list[Span] = []
    for span in sorted(spans):
        start = found.pop().start if found and found[-1].end == span.start else span.start
        found.append(Span(start, span.end))
    return found


def _windows(parts: Iterable[Part]) -> set[int]:
    return {
        number
        for part in parts
        for number in range((part.start - EPOCH) // WIDTH, (part.end - EPOCH) // WIDTH)
    }
