"""Where each metered line's usage lies: whole windows, and the windows that an edge cuts. Pure.

Written apart from ``pipeline.attribute`` on purpose: reconciliation compares the two ways. This one
goes from the line to the windows and leaves the arithmetic to the database.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pipeline.periods import closed
from schemas.billing import Assignment, Item, Line, LineKind, PriceRow, Scope, Span
from schemas.prices import Sum
from schemas.spans import WIDTH_MS

WIDTH = timedelta(milliseconds=WIDTH_MS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOBODY = -1
"""Line number of a piece that no line owns: it takes its share of a cut window all the same."""


@dataclass(frozen=True, slots=True)
class Part:
    """Time in which a server's usage counts for a line, which is a position in a list."""

    line: int
    server: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a cut window. It is split twice: at hand-overs (outer), then at prices (inner)."""

    charge: int
    line: int
    server: str
    window: datetime
    outer: int
    outer_us: int
    inner: int
    inner_us: int


def price_row(scope: Scope, line: Line) -> PriceRow:
    """The price that a line of a charge was made with."""
    for row in scope.prices:
        mine = (row.item, row.charge) == (line.item, line.charge)
        if mine and covers(row.valid, line.service.start):
            return row
    raise LookupError(f"line {line.key} has no price in its scope")


def item_of(scope: Scope, line: Line) -> Item:
    """The item that the line charges for."""
    for item in scope.items:
        if item.item == line.item:
            return item
    raise LookupError(f"line {line.key} has no item in its scope")


def metered(scope: Scope, line: Line) -> Sum | None:
    """What a line measures; None of fees and hours, and of further lines of the same usage."""
    if line.kind is not LineKind.CHARGE or line.tier:
        return None
    quantity = price_row(scope, line).price.quantity
    return quantity if isinstance(quantity, Sum) else None


def parts(scope: Scope, lines: Sequence[Line]) -> list[Part]:
    """Each metered line's service time, by the servers that served it."""
    serving: dict[str, list[Assignment]] = {}
    for row in scope.assignments:
        serving.setdefault(row.item, []).append(row)
    return [
        Part(number, row.server, served.start, closed(served))
        for number, line in enumerate(lines)
        if metered(scope, line)
        for row in serving.get(line.item, ())
        if (served := row.valid.clip(line.service.start, closed(line.service)))
    ]


def whole(found: Iterable[Part]) -> list[Part]:
    """The parts narrowed to windows that lie entirely inside."""
    narrowed = (Part(p.line, p.server, up(p.start), down(p.end)) for p in found)
    return [part for part in narrowed if part.start < part.end]


def pieces(scope: Scope, lines: Sequence[Line], found: Sequence[Part]) -> list[Piece]:
    """The cut windows of each charge, taken apart at every edge inside them."""
    charges: dict[tuple[str, str], list[int]] = {}
    for part in found:
        line = lines[part.line]
        charges.setdefault((line.item, line.charge), []).append(part.line)
    made: list[Piece] = []
    for charge, numbers in enumerate(charges.values()):
        mine = {number: lines[number] for number in numbers}
        for server, window in sorted(_cut_windows(found, mine)):
            made += _pieces(scope, mine, charge, server, window)
    return made


def _cut_windows(found: Sequence[Part], mine: dict[int, Line]) -> set[tuple[str, datetime]]:
    return {
        (part.server, down(edge))
        for part in found
        if part.line in mine
        for edge in (part.start, part.end)
        if down(edge) != edge
    }


def _pieces(
    scope: Scope, mine: dict[int, Line], charge: int, server: str, window: datetime
) -> Iterator[Piece]:
    item = next(iter(mine.values())).item
    rows = [row for row in scope.assignments if row.server == server]
    items = {one.item: one for one in scope.items}
    handovers = [edge for row in rows for edge in _edges(row, items)]
    prices = [edge for line in mine.values() for edge in both(line.service)]
    for outer, (start, end) in enumerate(_between(window, window + WIDTH, handovers)):
        owned = _serves(rows, items, item, start)
        for inner, (low, high) in enumerate(_between(start, end, prices if owned else ())):
            lines = (number for number, line in mine.items() if covers(line.service, low))
            yield Piece(
                charge, next(lines, NOBODY) if owned else NOBODY, server, window,
                outer, (end - start) // MICROSECOND, inner, (high - low) // MICROSECOND,
            )  # fmt: skip


def _serves(rows: list[Assignment], items: dict[str, Item], item: str, at: datetime) -> bool:
    return any(
        row.item == item and covers(row.valid, at) and covers(items[item].valid, at) for row in rows
    )


def _edges(row: Assignment, items: dict[str, Item]) -> list[datetime]:
    """Where an item begins or ceases to have the server."""
    if row.item not in items:
        return both(row.valid)
    rented = items[row.item].valid
    return [
        edge
        for edge in (*both(row.valid), *both(rented))
        if all(
            span.start <= edge and (span.end is None or edge <= span.end)
            for span in (row.valid, rented)
        )
    ]


def both(span: Span) -> list[datetime]:
    """The edges that a span has."""
    return [span.start] if span.end is None else [span.start, span.end]


def _between(
    start: datetime, end: datetime, edges: Iterable[datetime]
) -> Iterator[tuple[datetime, datetime]]:
    inside = sorted({edge for edge in edges if start < edge < end})
    return pairwise((start, *inside, end))


def covers(span: Span, at: datetime) -> bool:
    return span.start <= at and (span.end is None or at < span.end)


def down(instant: datetime) -> datetime:
    return instant - (instant - EPOCH) % WIDTH


def up(instant: datetime) -> datetime:
    return instant + (EPOCH - instant) % WIDTH
