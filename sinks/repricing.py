"""Which items would cost something else by a catalogue, and writing that into the price timelines.

An item is priced by the plan that it has at each instant, a resize to come included. Its booked
add-ons follow where the catalogue has them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.catalog import Catalog, addon_rows, price_rows
from schemas.billing import Item, PriceRow, Span
from schemas.prices import Charge, Fee
from sinks.database import Connection
from sinks.prices import add_prices, close_prices
from sinks.scopes import load_scopes
from sinks.versions import published

Plans = dict[tuple[str, datetime | None], str]
"""The plan that an item had, by charge and end of its price rows."""


@dataclass(frozen=True, slots=True)
class Touched:
    """An item whose prices change at ``start``: its rows from there on, before and after."""

    scope: str
    account: str
    item: Item
    start: datetime
    before: tuple[PriceRow, ...]
    after: tuple[PriceRow, ...]
    plans: tuple[str, ...] = ()
    """The plan that the item has then, for each row of after."""


def changes(
    conn: Connection, catalog: Catalog, found: Sequence[tuple[str, str, datetime, Item]]
) -> tuple[Touched, ...]:
    """The items that would cost something else from their start on, with their rows."""
    scopes = load_scopes(conn, sorted({scope for scope, *_ in found}))
    plans = _plans(conn, [item.item for *_, item in found])
    known: dict[str, Catalog | None] = {}
    touched: list[Touched] = []
    for scope, account, change_at, item in found:
        start = max(change_at, item.valid.start).astimezone(UTC)
        before = _from(start, (row for row in scopes[scope].prices if row.item == item.item))
        for row in before:
            if row.version not in known:
                known[row.version] = published(conn, row.version)
        written = plans[item.item]
        addons = [r for r in before if (c := known[r.version]) and r.charge in c.addons]
        mine = [row for row in before if row not in addons]
        after = [
            (plan, row)
            for plan, span in _stretches(mine, written)
            for row in _priced(catalog, replace(item, plan=plan, valid=span), mine)
        ]
        after += [
            (written[row.charge, row.valid.end], new)
            for row in addons
            for new in _addon(catalog, known[row.version], item, row)
        ]
        rows = tuple(row for _, row in after)
        if not _same(before, rows):
            of = tuple(plan for plan, _ in after)
            touched.append(Touched(scope, account, item, start, before, rows, of))
    return tuple(touched)


def reprice(conn: Connection, touched: Iterable[Touched], entered_at: datetime) -> None:
    """Closes the prices that change at each item's start and opens the new ones there."""
    for one in touched:
        close_prices(conn, one.item.item, one.start)
        for plan in dict.fromkeys(one.plans):
            rows = [row for row, of in zip(one.after, one.plans, strict=True) if of == plan]
            add_prices(conn, rows, entered_at, plan=plan)


def _plans(conn: Connection, items: list[str]) -> dict[str, Plans]:
    rows = conn.execute(
        "SELECT item_id, charge, upper(valid), plan FROM item_price WHERE item_id = ANY(%s)",
        (items,),
    )
    found: dict[str, Plans] = {item: {} for item in items}
    for item, charge, end, plan in rows:
        found[item][charge, end] = plan
    return found


def _stretches(rows: Iterable[PriceRow], plans: Plans) -> list[tuple[str, Span]]:
    """Which plan the item has from when to when, resizes to come included."""
    starts: list[tuple[str, datetime]] = []
    for row in sorted(rows, key=lambda one: one.valid.start):
        plan = plans[row.charge, row.valid.end]
        if not starts or starts[-1][0] != plan:
            starts.append((plan, row.valid.start))
    ends = [*(start for _, start in starts[1:]), None]
    return [(plan, Span(low, high)) for (plan, low), high in zip(starts, ends, strict=True)]


def _priced(catalog: Catalog, item: Item, rows: Iterable[PriceRow]) -> tuple[PriceRow, ...]:
    """The item at the catalogue's prices; its own ``rows`` where that lacks its plan."""
    if item.plan in catalog.plans:
        return price_rows(catalog, item)
    return tuple(row for row in rows if item.valid.holds(row.valid.start))


def _addon(
    catalog: Catalog, old: Catalog | None, item: Item, row: PriceRow
) -> tuple[PriceRow, ...]:
    """As many as are booked, at the new price; as it was where the new version has none."""
    if row.charge not in catalog.addons or old is None:
        return (row,)
    booked, one = row.price.quantity, old.addons[row.charge].charge.quantity
    count = booked.count // one.count if isinstance(booked, Fee) and isinstance(one, Fee) else 1
    return addon_rows(catalog, item, row.charge, count, row.valid)


def _from(start: datetime, rows: Iterable[PriceRow]) -> tuple[PriceRow, ...]:
    """What the rows say from ``start`` on."""
    return tuple(
        replace(row, valid=Span(max(start, row.valid.start), row.valid.end))
        for row in rows
        if row.valid.end is None or row.valid.end > start
    )


def _same(before: Sequence[PriceRow], after: Sequence[PriceRow]) -> bool:
    """Nothing but versions and reasons would differ."""

    def said(rows: Sequence[PriceRow]) -> list[tuple[str, Span, Charge]]:
        return sorted(((r.charge, r.valid, r.price) for r in rows), key=lambda one: one[:2])

    return said(before) == said(after)
