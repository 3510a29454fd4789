"""The rates of percentile lines, a second time, by the database from the ledger. Reads only."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from invoicing.pieces import EPOCH, WIDTH, Part, price_row, whole
from pipeline.periods import closed
from pipeline.rating.cut import charged
from schemas.billing import Line, LineKind, Scope, Span
from schemas.prices import Missing, Percentile
from sinks.database import Connection

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
        number: whole(_parts(scope, lines[number], quantity, number, period))
        for number, quantity in wanted.items()
    }
    series = [
        (part, meter)
        for number, quantity in wanted.items()
        for part in parts[number]
        for meter in quantity.meters
    ]
    found = conn.execute(
        RATES,
        {
            "no": list(wanted),
            "percent": [quantity.percent for quantity in wanted.values()],
            "take": [quantity.take.value for quantity in wanted.values()],
            "zero": [quantity.missing is Missing.ZERO for quantity in wanted.values()],
            "owned": [len(_windows(parts[number])) for number in wanted],
            "of": [part.line for part, _ in series],
            "server": [part.server for part, _ in series],
            "meter": [meter for _, meter in series],
            "low": [part.start for part, _ in series],
            "high": [part.end for part, _ in series],
        },
    )
    return {number: int(rate) for number, rate in found}


def _parts(
    scope: Scope, line: Line, quantity: Percentile, number: int, period: Span
) -> Iterator[Part]:
    """The time of every server that served the line's item, or an item of its pool."""
    items = {item.item: item for item in scope.items}
    for row in scope.prices:
        own = row.price.quantity
        if not isinstance(own, Percentile) or row.charge != line.charge or row.item not in items:
            continue
        if row.item != line.item and not (own.pool and own.pool == quantity.pool):
            continue
        for span in charged(row, items[row.item], period, scope.intervals):
            for served in scope.assignments:
                part = served.valid.clip(span.start, closed(span))
                if served.item == row.item and part:
                    yield Part(number, served.server, part.start, closed(part))


def _windows(parts: Sequence[Part]) -> set[int]:
    return {
        number
        for part in parts
        for number in range((part.start - EPOCH) // WIDTH, (part.end - EPOCH) // WIDTH)
    }
