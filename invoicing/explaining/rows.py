"""Rows of the ledger one by one, with the checkpoint that wrote each: for people. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Final

from invoicing.document import Position
from invoicing.pieces import down, up
from pipeline.periods import closed
from schemas.billing import Scope, Span
from schemas.prices import Allocation, Percentile, Sum
from sinks.database import Connection
from sinks.positions import TOPIC_BITS

ROWS: Final = (files("invoicing") / "queries" / "rows.sql").read_text()
OPEN: Final = "open"


@dataclass(frozen=True, slots=True)
class Row:
    """One window of one series: finished, late, or open as it was counted."""

    source: str
    server: str
    meter: str
    resource: str
    start: datetime
    quantity: int
    covered_ms: int
    topic: str
    partition: int
    offset: int
    """The partition was metered up to here when the row was written."""

    def seen(self, cut: Iterable[Position]) -> bool:
        """The row was there at that cut."""
        return self.source == OPEN or any(
            (one.topic, one.partition) == (self.topic, self.partition)
            and self.offset <= one.next_offset
            for one in cut
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """A look at a scope and period; 0 is the seal itself."""

    scope: str
    period_start: datetime
    look: int


Served = tuple[str, datetime, datetime]
"""A server, and whole windows in which it served."""


def served(scope: Scope, span: Span, items: Iterable[str]) -> list[Served]:
    """The servers of these items in the span, in whole windows; no instant of a server twice."""
    wanted = frozenset(items)
    return together(
        (row.server, down(part.start), up(closed(part)))
        for row in scope.assignments
        if row.item in wanted and (part := row.valid.clip(span.start, closed(span)))
    )


def together(parts: Iterable[Served]) -> list[Served]:
    """The same time, no instant of a server twice."""
    found: list[Served] = []
    for server, start, end in sorted(parts):
        if found and found[-1][0] == server and start <= found[-1][2]:
            found[-1] = (server, found[-1][1], max(end, found[-1][2]))
        else:
            found.append((server, start, end))
    return found


def meters(scope: Scope) -> frozenset[str]:
    """What the scope's charges measure, or show beside what is allocated."""
    found: set[str] = set()
    for row in scope.prices:
        match row.price.quantity:
            case Sum(meters=names) | Percentile(meters=names):
                found.update(names)
            case Allocation(evidence=name) if name:
                found.add(name)
    return frozenset(found)


def rows(
    conn: Connection, parts: Sequence[Served], wanted: Iterable[str], seals: Sequence[Seal]
) -> list[Row]:
    """The rows of these meters, by series and time; open windows as these looks counted them."""
    found = conn.execute(
        ROWS,
        {
            "server": [part[0] for part in parts],
            "start": [part[1] for part in parts],
            "end": [part[2] for part in parts],
            "meters": sorted(wanted),
            "scopes": [one.scope for one in seals],
            "periods": [one.period_start for one in seals],
            "looks": [one.look for one in seals],
            "bits": TOPIC_BITS,
        },
    ).fetchall()
    return [Row(*row) for row in found]
