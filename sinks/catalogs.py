"""What applying a catalogue or a contract writes into the price timelines.

Items that exist follow the catalogue's `existing`: they keep
their prices, change at their renewal (the start of the account's next period) or on a given day
(midnight of the seller). A contract changes the items of its scope when it begins; until it ends, a
new catalogue leaves them alone. Billing reads price rows only, never versions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.catalog import Catalog, Existing, addon_row, price_rows
from pipeline.contract import Contract
from pipeline.periods import closed, month
from schemas.billing import Item, PriceRow, Span
from schemas.errors import RefusedError
from schemas.prices import Charge, Fee
from sinks.changes import make_due
from sinks.contracts import agree
from sinks.database import Connection
from sinks.prices import add_prices, close_prices
from sinks.scopes import load_scopes
from sinks.timelines import refuse_sealed
from sinks.versions import publish, published


@dataclass(frozen=True, slots=True)
class Touched:
    """An item whose prices change at ``start``: its rows from there on, before and after."""

    scope: str
    account: str
    item: Item
    start: datetime
    before: tuple[PriceRow, ...]
    after: tuple[PriceRow, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did: `published` is False when the version was there already."""

    published: bool
    touched: tuple[Touched, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """Items whose prices change, by id."""
        return tuple(one.item.item for one in self.touched)


def apply(conn: Connection, catalog: Catalog, text: str, at: datetime) -> Applied:
    """Publishes a version and writes the price rows it brings, in one transaction.

    Applying the same text again changes nothing; the same version with other text is refused.
    """
    with conn.transaction():
        if not publish(conn, catalog, text, at):
            return Applied(published=False, touched=())
        if catalog.existing is Existing.KEEP:
            return Applied(published=True, touched=())
        found = _open_items(conn, list(catalog.plans), at)
        starts = {account: _change_at(catalog, zone, at) for _, account, zone, _ in found}
        return Applied(
            published=True,
            touched=_reprice(
                conn, catalog, [(s, a, starts[a], item) for s, a, _, item in found], at
            ),
        )


def apply_contract(conn: Connection, contract: Contract, text: str, at: datetime) -> Applied:
    """Publishes a contract: terms of its scope and prices of its items, from its start on."""
    catalog, scope = contract.catalog, contract.scope
    with conn.transaction():
        locked = "SELECT scope_id FROM rating_scope WHERE scope_id = %s FOR UPDATE"
        if conn.execute(locked, (scope,)).fetchone() is None:
            raise RefusedError(f"There is no rating scope {scope}: rent an item in it first.")
        if not publish(conn, catalog, text, at):
            return Applied(published=False, touched=())
        refuse_sealed(conn, scope, contract.valid.start)
        agree(conn, contract, at)
        make_due(conn, [scope], contract.valid.start, at)
        found = _open_items(conn, list(catalog.plans), at, scope)
        starts = [(s, a, contract.valid.start, item) for s, a, _, item in found]
        return Applied(published=True, touched=_reprice(conn, catalog, starts, at))


def _open_items(
    conn: Connection, plans: list[str], at: datetime, scope: str | None = None
) -> list[tuple[str, str, str, Item]]:
    """Scope, account, zone and item of what has not ended; locked, as every command locks them.

    Of one scope, or of all that have no contract now or to come.
    """
    rows = conn.execute(
        """
        SELECT i.scope_id, a.account_id, a.timezone, i.item_id, i.title, i.plan, lower(i.valid)
        FROM item i JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id)
        WHERE upper_inf(i.valid) AND i.plan = ANY(%(plans)s)
          AND CASE WHEN %(scope)s::text IS NOT NULL THEN i.scope_id = %(scope)s
              ELSE NOT EXISTS (SELECT FROM contract_known() c WHERE c.scope_id = i.scope_id
                               AND (upper_inf(c.valid) OR upper(c.valid) > %(at)s)) END
        ORDER BY i.item_id FOR UPDATE OF i
        """,
        {"plans": plans, "scope": scope, "at": at},
    ).fetchall()
    return [
        (scope_id, account, zone, Item(item, title, plan, Span(low)))
        for scope_id, account, zone, item, title, plan, low in rows
    ]


def _change_at(catalog: Catalog, timezone: str, at: datetime) -> datetime:
    """The stated day, or the first start of a period that the new version is in force at."""
    if isinstance(catalog.existing, datetime):
        return max(catalog.existing, catalog.effective)
    earliest = max(at, catalog.effective)
    period = month(earliest, timezone)
    return earliest if earliest == period.start else closed(period)


def _reprice(
    conn: Connection,
    catalog: Catalog,
    found: Sequence[tuple[str, str, datetime, Item]],
    at: datetime,
) -> tuple[Touched, ...]:
    """Closes the prices that change at each item's start and opens the new ones there."""
    scopes = load_scopes(conn, sorted({scope for scope, *_ in found}))
    known: dict[str, Catalog | None] = {}
    touched: list[Touched] = []
    for scope, account, change_at, item in found:
        start = max(change_at, item.valid.start).astimezone(UTC)
        before = _from(start, (row for row in scopes[scope].prices if row.item == item.item))
        for row in before:
            if row.version not in known:
                known[row.version] = published(conn, row.version)
        addons = [r for r in before if (c := known[r.version]) and r.charge in c.addons]
        after = _from(start, price_rows(catalog, item)) + tuple(
            _addon(catalog, known[row.version], item, row) for row in addons
        )
        if _same(before, after):
            continue
        refuse_sealed(conn, scope, start)
        close_prices(conn, item.item, start)
        add_prices(conn, after, at)
        make_due(conn, [scope], start, at)
        touched.append(Touched(scope, account, item, start, before, after))
    return tuple(touched)


def _addon(catalog: Catalog, old: Catalog | None, item: Item, row: PriceRow) -> PriceRow:
    """As many as are booked, at the new price; as it was where the new version has none."""
    if row.charge not in catalog.addons or old is None:
        return row
    booked, one = row.price.quantity, old.addons[row.charge].charge.quantity
    count = booked.count // one.count if isinstance(booked, Fee) and isinstance(one, Fee) else 1
    return addon_row(catalog, item, row.charge, count, row.valid)


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
