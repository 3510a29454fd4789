"""Which items would cost something else by a catalogue, and writing that into the price timelines.

An item is priced by the plan that it has at each instant, a resize to come included. Its booked
add-ons follow where the catalogue has them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.choices import Priced, changed_from, priced
from schemas.billing import Item, PriceRow, Span
from schemas.prices import Charge
from sinks.choices import lists_of, load_choices
from sinks.contracts import agreed_of
from sinks.database import Connection
from sinks.prices import stored_prices, write_prices


@dataclass(frozen=True, slots=True)
class Touched:
    """An item whose prices change at ``start``, not before: its rows from there on, before and
    after.
    """

    scope: str
    account: str
    item: Item
    start: datetime
    before: tuple[PriceRow, ...]
    after: tuple[PriceRow, ...]
    stored: tuple[Priced, ...] = ()
    """All its rows, as they are and as they become."""
    wanted: tuple[Priced, ...] = ()


def changes(
    conn: Connection, found: Sequence[tuple[str, str, datetime, Item]]
) -> tuple[Touched, ...]:
    """The items that cost something else from an instant on than their rows say, with those."""
    items = [item.item for *_, item in found]
    choices, stored = load_choices(conn, items), stored_prices(conn, items)
    lists = lists_of(conn, (one for mine in choices.values() for one in mine))
    agreed = agreed_of(conn, {scope for scope, *_ in found})
    touched: list[Touched] = []
    for scope, account, start, item in found:
        old = stored[item.item]
        priced_now = priced(item, choices[item.item], lists, agreed[scope])
        wanted = changed_from(start, old, priced_now)
        before, after = _from(start, old), _from(start, wanted)
        if not _same(before, after):
            first = _differ_at(before, after) or start
            rows = (scope, account, item, first, _from(first, old), _from(first, wanted))
            touched.append(Touched(*rows, tuple(old), wanted))
    return tuple(touched)


def reprice(conn: Connection, touched: Iterable[Touched], entered_at: datetime) -> None:
    """The prices that change at each item's start end there, and the new ones begin."""
    for one in touched:
        write_prices(conn, one.stored, one.wanted, entered_at)


def _from(start: datetime, rows: Iterable[Priced]) -> tuple[PriceRow, ...]:
    """What the rows say from ``start`` on."""
    return tuple(one.row for one in changed_from(start, (), rows))


def _differ_at(before: Sequence[PriceRow], after: Sequence[PriceRow]) -> datetime | None:
    """The first instant at which something costs something else."""

    def said(rows: Sequence[PriceRow], at: datetime) -> set[tuple[str, Charge]]:
        return {(row.charge, row.price) for row in rows if row.valid.holds(at)}

    spans = [row.valid for row in (*before, *after)]
    edges = sorted({at for span in spans for at in (span.start, span.end) if at is not None})
    return next((at for at in edges if said(before, at) != said(after, at)), None)


def _same(before: Sequence[PriceRow], after: Sequence[PriceRow]) -> bool:
    """Nothing but versions and reasons would differ."""

    def said(rows: Sequence[PriceRow]) -> list[tuple[str, Span, Charge]]:
        return sorted(((r.charge, r.valid, r.price) for r in rows), key=lambda one: one[:2])

    return said(before) == said(after)
