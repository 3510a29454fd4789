"""What changes about an item that is rented on: its plan and its add-ons.

Commands as in sinks.timelines. A plan that changes closes price rows and opens others; item and
hardware go on, and so do started hours and caps. An add-on is a price row of its own name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import errors
from psycopg.types.json import Jsonb

from pipeline.catalog import Catalog, addon_row, addon_rows, price_rows, rows_until
from schemas.billing import Span
from schemas.errors import RefusedError
from schemas.serial import to_json
from sinks.changes import NOBODY, Answer, Order, enter, scopes_of, utc
from sinks.database import Connection
from sinks.prices import add_prices
from sinks.timeline_rows import lock_item, refuse_outside
from sinks.versions import contracts_to_come, published


def resize(
    conn: Connection,
    item: str,
    *,
    plan: str,
    at: datetime,
    catalog: Catalog,
    entered_at: datetime | None,
    order: Order = NOBODY,
) -> Answer:
    """From `at` the item has another plan, until it is resized again.

    Where later versions have changed the old plan's prices, the new plan's change there too.
    """

    def do(entered: datetime) -> bool:
        return _resize(conn, item, plan, utc(at), catalog, entered)

    content = {"item": item, "plan": plan, "catalog": catalog.version}
    return enter(conn, order, "resize", content, scopes_of(conn, [item]), at, entered_at, do)


def _resize(
    conn: Connection, item: str, plan: str, at: datetime, catalog: Catalog, entered_at: datetime
) -> bool:
    rented = lock_item(conn, item)
    refuse_outside(rented, at)
    _refuse_early(catalog, item, at)
    rows = [row for row in _prices_after(conn, item, at) if not row.addon]
    now = next((row.plan for row in rows if row.start <= at), rented.plan)
    if now == plan:
        return False
    after = (row for row in rows if row.start > at)
    until = next((row.start for row in after if row.plan != now), rented.valid.end)
    later = {
        row.version: row.start
        for row in reversed(rows)
        if row.start > at and (until is None or row.start < until)
    }
    starts = [(at, catalog), *_newer(conn, catalog.version, later)]
    ends = [start for start, _ in starts[1:]] + [until]
    wanted = replace(rented, plan=plan)
    prices = [
        row
        for (start, version), end in zip(starts, ends, strict=True)
        for row in price_rows(version, replace(wanted, valid=Span(start, end)))
    ]
    _clear(conn, item, {row.charge for row in rows}, Span(at, until))
    if until == rented.valid.end:
        conn.execute("UPDATE item SET plan = %s WHERE item_id = %s", (plan, item))
    try:
        add_prices(conn, prices, entered_at, plan=plan)
    except errors.ExclusionViolation:
        raise RefusedError(
            f"Item {item} has an add-on that is called like a charge of the plan {plan}: drop it"
            " first."
        ) from None
    return True


@dataclass(frozen=True, slots=True)
class _Row:
    charge: str
    plan: str
    version: str
    start: datetime
    addon: bool


def _prices_after(conn: Connection, item: str, at: datetime) -> list[_Row]:
    """The item's price rows in force at `at` and after it, in order of time."""
    rows = conn.execute(
        """
        SELECT charge, plan, version, lower(valid) FROM item_price
        WHERE item_id = %s AND (upper_inf(valid) OR upper(valid) > %s) ORDER BY lower(valid), charge
        """,
        (item, at),
    ).fetchall()
    catalogs = {name: published(conn, name) for name in {row[2] for row in rows}}
    return [
        _Row(charge, plan, name, start, (c := catalogs[name]) is not None and charge in c.addons)
        for charge, plan, name, start in rows
    ]


def _newer(
    conn: Connection, version: str, starts: dict[str, datetime]
) -> list[tuple[datetime, Catalog]]:
    """Those of the versions that were published after this one, from when on, in order."""
    rows = conn.execute(
        """
        SELECT version FROM catalog_version WHERE version = ANY(%s) AND applied_at > (
            SELECT applied_at FROM catalog_version WHERE version = %s)
        """,
        (list(starts), version),
    ).fetchall()
    found = [(starts[name], published(conn, name)) for (name,) in rows]
    return sorted(
        ((start, catalog) for start, catalog in found if catalog is not None),
        key=lambda one: one[0],
    )


def _clear(conn: Connection, item: str, charges: Iterable[str], span: Span) -> None:
    """No price of these charges in the span; those after it stay."""
    names = list(charges)
    conn.execute(
        "DELETE FROM item_price"
        " WHERE item_id = %s AND charge = ANY(%s) AND valid <@ tstzrange(%s, %s, '[)')",
        (item, names, span.start, span.end),
    )
    conn.execute(
        """
        UPDATE item_price SET valid = tstzrange(lower(valid), %s, '[)')
        WHERE item_id = %s AND charge = ANY(%s) AND valid @> %s
        """,
        (span.start, item, names, span.start),
    )


def add_addon(
    conn: Connection,
    item: str,
    *,
    addon: str,
    at: datetime,
    catalog: Catalog,
    entered_at: datetime | None,
    count: int = 1,
    order: Order = NOBODY,
) -> Answer:
    """From `at` the item has `count` of an add-on, until that is changed again."""

    def do(entered: datetime) -> bool:
        rented = lock_item(conn, item)
        refuse_outside(rented, utc(at))
        _refuse_early(catalog, item, utc(at))
        row = addon_row(catalog, rented, addon, count, Span(utc(at)))
        later = conn.execute(
            """
            SELECT min(lower(valid)) FILTER (WHERE lower(valid) > %s),
                   count(*) FILTER (WHERE valid @> %s AND price = %s)
            FROM item_price WHERE item_id = %s AND charge = %s
            """,
            (row.valid.start, row.valid.start, Jsonb(to_json(row.price)), item, addon),
        ).fetchone()
        assert later is not None
        if later[1]:
            return False
        span = Span(row.valid.start, later[0] or rented.valid.end)
        rows = addon_rows(catalog, rented, addon, count, span)
        for contract in contracts_to_come(conn, scopes_of(conn, [item])[0], span.start):
            start = contract.effective
            if addon in contract.addons and span.holds(start):
                rest = Span(start, span.end)
                agreed = addon_rows(contract, rented, addon, count, rest)
                rows = (*rows_until(rows, start), *agreed)
        _clear(conn, item, [addon], span)
        add_prices(conn, rows, entered)
        return True

    content = {"item": item, "addon": addon, "count": count, "catalog": catalog.version}
    return enter(conn, order, "addon add", content, scopes_of(conn, [item]), at, entered_at, do)


def drop_addon(
    conn: Connection,
    item: str,
    *,
    addon: str,
    at: datetime,
    entered_at: datetime | None,
    order: Order = NOBODY,
) -> Answer:
    """The item has none of the add-on from `at` on."""

    def do(_: datetime) -> bool:
        lock_item(conn, item)
        mine = [row for row in _prices_after(conn, item, utc(at)) if row.addon]
        if any(row.charge == addon for row in mine):
            _clear(conn, item, [addon], Span(utc(at)))
            return True
        ended = conn.execute(
            "SELECT FROM item_price WHERE item_id = %s AND charge = %s AND upper(valid) = %s",
            (item, addon, utc(at)),
        ).fetchone()
        if ended is None:
            raise RefusedError(f"Item {item} has no add-on {addon} at {utc(at).isoformat()}.")
        return False

    content = {"item": item, "addon": addon}
    return enter(conn, order, "addon drop", content, scopes_of(conn, [item]), at, entered_at, do)


def _refuse_early(catalog: Catalog, item: str, at: datetime) -> None:
    if at < catalog.effective:
        raise RefusedError(
            f"Catalogue {catalog.version} is in force from {catalog.effective.isoformat()}:"
            f" item {item} would have no price at {at.isoformat()}."
        )
