"""Which items would cost something else by a catalogue, and writing that into the price timelines.

An item is priced by the plan that it has at each instant, a resize to come included. Its booked
add-ons follow where the catalogue has them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline.catalog import Catalog
from pipeline.choices import Priced, changed_from, priced
from schemas.billing import Item, PriceRow, Span
from schemas.prices import Charge
from sinks.choices import choose, follow, lists_of, load_choices
from sinks.contracts import agreed_of
from sinks.database import Connection
from sinks.prices import stored_prices, write_prices

_LAST: Final = 1 << 62
"""The number of a choice that comes after all that were made."""


@dataclass(frozen=True, slots=True)
class Touched:
    """An item whose prices change at ``start``: its rows from there on, before and after."""

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
    conn: Connection, catalog: Catalog, found: Sequence[tuple[str, str, datetime, Item]]
) -> tuple[Touched, ...]:
    """The items that would cost something else from their start on, with their rows."""
    items = [item.item for *_, item in found]
    choices, stored = load_choices(conn, items), stored_prices(conn, items)
    new = follow(catalog.version, datetime.max.replace(tzinfo=UTC))
    lists = lists_of(conn, (new, *(one for mine in choices.values() for one in mine)))
    agreed = agreed_of(conn, {scope for scope, *_ in found})
    touched: list[Touched] = []
    for scope, account, change_at, item in found:
        start = max(change_at, item.valid.start).astimezone(UTC)
        old, mine = stored[item.item], choices[item.item]
        all_of_it = (*mine, follow(catalog.version, start, _LAST))
        wanted = changed_from(start, old, priced(item, all_of_it, lists, agreed[scope]))
        before, after = _from(start, old), _from(start, wanted)
        if not _same(before, after):
            rows = (scope, account, item, start, before, after)
            touched.append(Touched(*rows, tuple(old), wanted))
    return tuple(touched)


def reprice(
    conn: Connection, touched: Iterable[Touched], version: str, entered_at: datetime
) -> None:
    """The prices that change at each item's start end there, and the new ones begin."""
    for one in touched:
        choose(conn, one.item.item, [follow(version, one.start)], entered_at)
        write_prices(conn, one.stored, one.wanted, entered_at)


def _from(start: datetime, rows: Iterable[Priced]) -> tuple[PriceRow, ...]:
    """What the rows say from ``start`` on."""
    return tuple(one.row for one in changed_from(start, (), rows))


def _same(before: Sequence[PriceRow], after: Sequence[PriceRow]) -> bool:
    """Nothing but versions and reasons would differ."""

    def said(rows: Sequence[PriceRow]) -> list[tuple[str, Span, Charge]]:
        return sorted(((r.charge, r.valid, r.price) for r in rows), key=lambda one: one[:2])

    return said(before) == said(after)
