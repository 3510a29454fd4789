"""Published catalogue versions, and what applying one writes into the price timelines.

A published version never changes. Items that exist follow the catalogue's `existing`: they keep
their prices, change at their renewal (the start of the account's next period) or on a given day
(midnight of the seller). Billing reads price rows only, never versions.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from pipeline.catalog import Catalog, Existing, price_rows
from pipeline.periods import closed, month
from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.prices import add_prices, close_prices
from sinks.timelines import refuse_sealed


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a catalogue did: `published` is False when the version was there already."""

    published: bool
    items: tuple[str, ...]
    """Items whose prices change, by id."""


@dataclass(frozen=True, slots=True)
class _Open:
    scope: str
    item: Item
    timezone: str


def apply(conn: Connection, catalog: Catalog, text: str, at: datetime) -> Applied:
    """Publishes a version and writes the price rows it brings, in one transaction.

    Applying the same text again changes nothing; the same version with other text is refused.
    """
    with conn.transaction():
        if not _publish(conn, catalog, text, at):
            return Applied(published=False, items=())
        changed = [
            found.item.item
            for found in _open_items(conn, catalog)
            if _reprice(conn, catalog, found, _change_at(catalog, found.timezone, at), at)
        ]
    return Applied(published=True, items=tuple(changed))


def published_text(conn: Connection, version: str) -> str | None:
    """The file of a version as it was applied."""
    row = conn.execute("SELECT body FROM catalog_version WHERE version = %s", (version,)).fetchone()
    return None if row is None else str(row[0])


def _publish(conn: Connection, catalog: Catalog, text: str, at: datetime) -> bool:
    digest = sha256(text.encode()).hexdigest()
    added = conn.execute(
        """
        INSERT INTO catalog_version (version, effective, digest, body, applied_at)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (version) DO NOTHING RETURNING version
        """,
        (catalog.version, catalog.effective, digest, text, at),
    ).fetchone()
    if added:
        return True
    stored = conn.execute(
        "SELECT digest FROM catalog_version WHERE version = %s", (catalog.version,)
    ).fetchone()
    if stored is not None and stored[0] != digest:
        raise RefusedError(
            f"Catalogue {catalog.version} is published and this file differs from it:"
            " a published version never changes, give the new one another version."
        )
    return False


def _open_items(conn: Connection, catalog: Catalog) -> list[_Open]:
    """Items that have not ended, with their account's zone; locked, as every command locks them."""
    if catalog.existing is Existing.KEEP:
        return []
    rows = conn.execute(
        """
        SELECT i.scope_id, i.item_id, i.title, i.plan, lower(i.valid), a.timezone
        FROM item i JOIN rating_scope USING (scope_id) JOIN account a USING (account_id)
        WHERE upper_inf(i.valid) AND i.plan = ANY(%s) ORDER BY i.item_id FOR UPDATE OF i
        """,
        (list(catalog.plans),),
    ).fetchall()
    return [
        _Open(scope, Item(item, title, plan, Span(low)), timezone)
        for scope, item, title, plan, low, timezone in rows
    ]


def _change_at(catalog: Catalog, timezone: str, at: datetime) -> datetime:
    """The stated day, or the first start of a period that the new version is in force at."""
    if isinstance(catalog.existing, datetime):
        return max(catalog.existing, catalog.effective)
    earliest = max(at, catalog.effective)
    period = month(earliest, timezone)
    return earliest if earliest == period.start else closed(period)


def _reprice(
    conn: Connection, catalog: Catalog, found: _Open, change_at: datetime, at: datetime
) -> bool:
    """Closes the prices in force at `change_at` and opens the new ones there."""
    item = found.item
    start = max(change_at, item.valid.start).astimezone(UTC)
    refuse_sealed(conn, found.scope, start)
    rows = [
        replace(row, valid=Span(max(start, row.valid.start), row.valid.end))
        for row in price_rows(catalog, item)
    ]
    close_prices(conn, item.item, start)
    add_prices(conn, rows, at)
    return bool(rows)
