"""Why a line of a sealed period comes to something else: what changed around it since. Pure.

Lines of the whole scope (a true-up, an amount off) depend on all of its items. In which order rows
were read is no cause: pricing does not depend on it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from invoicing.document import Priced
from pipeline.periods import closed
from schemas.billing import Inputs, Line, Scope, Span

USAGE: Final = "late usage"
TIMELINE: Final = "timeline change"
PRICE: Final = "price"
EARLIER: Final = "earlier periods"
FIRST: Final = "not billed before"
TREATMENT: Final = "tax treatment"
"""Fees in advance are taken back whole: their own period is taxed otherwise, and charges them."""


def causes(
    before: Priced | None, now: Priced, line: Line, noted: Collection[str] = ()
) -> tuple[str, ...]:
    """The causes that can have changed the line. ``noted`` is what was said to have come: where a
    server's time has changed, its usage differs with it, and only that tells whether more came.
    """
    if before is None:
        return (FIRST,)
    if TREATMENT in noted and line.service.start >= closed(now.inputs.period):
        return (TREATMENT,)
    items = _items(now.scope, before.scope, line)
    period = now.inputs.period
    moved = _timeline(before.scope, items, period) != _timeline(now.scope, items, period)
    found: list[str] = []
    if _usage(before.inputs) != _usage(now.inputs) and (not moved or "usage" in noted):
        found.append(USAGE)
    if moved:
        found.append(TIMELINE)
    shared = _in_both(before.scope, now.scope, period)
    if _prices(before.scope, items, shared) != _prices(now.scope, items, shared):
        found.append(PRICE)
    if _earlier(before.inputs) != _earlier(now.inputs):
        found.append(EARLIER)
    return tuple(found)


def _items(one: Scope, other: Scope, line: Line) -> frozenset[str]:
    every = frozenset(item.item for scope in (one, other) for item in scope.items)
    charges = {(row.item, row.charge) for scope in (one, other) for row in scope.prices}
    return frozenset({line.item}) if (line.item, line.charge) in charges else every


def _usage(inputs: Inputs) -> object:
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in inputs.usage:
        sums[row.server, row.meter, row.resource] += row.quantity
    return {key: total for key, total in sums.items() if total}, Counter(inputs.samples)


def _timeline(scope: Scope, items: Collection[str], period: Span) -> object:
    rented = _clipped(((one.item, one.valid) for one in scope.items), items, period)
    served = _clipped(
        ((one.item, one.valid, one.server) for one in scope.assignments), items, period
    )
    apart = _clipped(((one.item, one.valid, one.kind) for one in scope.intervals), items, period)
    return Counter(rented), Counter(served), Counter(apart)


def _in_both(one: Scope, other: Scope, period: Span) -> dict[str, Span]:
    """When each item was rented in the period, whichever of the two is asked."""
    found: dict[str, Span] = {}
    now = {item.item: item.valid.clip(period.start, closed(period)) for item in other.items}
    for item in one.items:
        later = now.get(item.item)
        shared = item.valid.clip(later.start, closed(later)) if later else None
        if shared:
            found[item.item] = shared
    return found


def _prices(scope: Scope, items: Collection[str], rented: dict[str, Span]) -> object:
    """Prices in that time alone: they end with their item, which is no change of price."""
    rows = [
        (row.item, row.charge, part, row.price)
        for row in scope.prices
        if row.item in items and (span := rented.get(row.item))
        if (part := row.valid.clip(span.start, closed(span)))
    ]
    return Counter(rows), Counter(scope.discounts), Counter(scope.commitments)


def _clipped(
    rows: Iterable[tuple[object, ...]], items: Collection[str], period: Span
) -> Iterator[tuple[object, ...]]:
    for item, valid, *rest in rows:
        assert isinstance(valid, Span)
        part = valid.clip(period.start, closed(period))
        if item in items and part:
            yield item, part, *rest


def _earlier(inputs: Inputs) -> object:
    billed = (replace(one, invoice="") for one in inputs.billed)  # older documents do not say it
    return Counter(inputs.spent), Counter(billed), Counter(inputs.lots)
