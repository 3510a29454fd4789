"""Which item each usage row belongs to: metering is physical, billing is by item. Pure.

A row that an edge of a timeline cuts is split by overlap in whole base units. The sum of what comes
out is the sum of what went in: usage that no item of the scope owns is handed back as unassigned.
Prices, periods and money are not known here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from pipeline.periods import microseconds
from schemas.billing import Assignment, Inputs, Item, Scope, Span, Usage


@dataclass(frozen=True, slots=True)
class Owned:
    """Usage, or the part of a row, that an item owns."""

    item: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Attribution:
    """Every base unit of the inputs, on exactly one side."""

    owned: tuple[Owned, ...]
    unassigned: tuple[Usage, ...]


def attribute(scope: Scope, inputs: Inputs) -> Attribution:
    """Give each usage row to the item whose assignment covers it, cut at the timelines' edges.

    Assignments of items outside the scope cut too: then every scope that sees a window splits it
    alike, and the parts of all scopes together are the window.
    """
    items = {item.item: item for item in scope.items}
    served: dict[str, list[Assignment]] = defaultdict(list)
    for assignment in scope.assignments:
        served[assignment.server].append(assignment)
    owned: list[Owned] = []
    unassigned: list[Usage] = []
    for row in inputs.usage:
        assignments = served.get(row.server, [])
        for part in divide(row, _edges(assignments, items)):
            item = _owner(part.start, assignments, items)
            if item is None:
                unassigned.append(part)
            else:
                owned.append(Owned(item, part))
    return Attribution(tuple(owned), tuple(unassigned))


def divide(usage: Usage, edges: Iterable[datetime]) -> tuple[Usage, ...]:
    """The row cut at every edge inside it, quantity and covered time split by overlap."""
    inside = sorted({edge for edge in edges if usage.start < edge < usage.end})
    if not inside:
        return (usage,)
    spans = list(pairwise((usage.start, *inside, usage.end)))
    weights = [microseconds(start, end) for start, end in spans]
    quantities = apportion(usage.quantity, weights)
    covered = apportion(usage.covered_ms, weights)
    return tuple(
        replace(usage, start=start, end=end, quantity=quantity, covered_ms=covered_ms)
        for (start, end), quantity, covered_ms in zip(spans, quantities, covered, strict=True)
    )


def apportion(quantity: int, weights: Sequence[int]) -> list[int]:
    """Whole shares by weight that sum to ``quantity``: largest remainder, ties to the earlier."""
    total = sum(weights)
    shares = [quantity * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(quantity * weights[i] % total), i))
    for i in by_remainder[: quantity - sum(shares)]:
        shares[i] += 1
    return shares


def _edges(assignments: Iterable[Assignment], items: dict[str, Item]) -> list[datetime]:
    """Where an item of the scope, or another's, begins or ceases to have the server."""
    edges: list[datetime] = []
    for assignment in assignments:
        rented = items[assignment.item].valid if assignment.item in items else assignment.valid
        start = max(assignment.valid.start, rented.start)
        ends = [end for end in (assignment.valid.end, rented.end) if end is not None]
        edges += [start, min(ends)] if ends else [start]
    return edges


def _owner(
    instant: datetime, assignments: Iterable[Assignment], items: dict[str, Item]
) -> str | None:
    """The item of the scope that the server serves at ``instant``, if it is rented then."""
    for assignment in assignments:
        item = items.get(assignment.item)
        if item and _covers(assignment.valid, instant) and _covers(item.valid, instant):
            return item.item
    return None


def _covers(span: Span, instant: datetime) -> bool:
    return span.start <= instant and (span.end is None or instant < span.end)
