"""Who rents what from when, on which hardware, at which price: dated commands on the timelines.

Each command is one transaction, safe to repeat (sinks.changes): its answer is true when something
changed, false when it was so already. What contradicts the books is refused with a sentence that
names both sides. Times are aware; `entered_at` is when the command was given, `at` when it is true:
at any time, also in a period that is invoiced. Prices come as rows (pipeline.catalog); a version's
file is kept by sinks.catalogs. What changes an item that is rented on: sinks.alterations.
"""

from datetime import datetime

from pipeline.catalog import Catalog, agreed_rows, price_rows
from pipeline.periods import zone
from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.changes import NOBODY, Answer, Order, enter, scopes_of, utc
from sinks.database import Connection
from sinks.prices import add_prices, close_prices
from sinks.timeline_rows import add_item, close_rows, lock_item, refuse_outside, serve, served_until
from sinks.versions import contracts_to_come

_ACCOUNT = ("name", "address", "country", "VAT id", "currency", "time zone")


def add_account(
    conn: Connection,
    *,
    account: str,
    name: str,
    country: str,
    currency: str,
    timezone: str,
    address: tuple[str, ...] = (),
    vat_id: str = "",
) -> bool:
    """A customer. An account that exists must be the same; it has a webhook by `set_webhook`."""
    zone(timezone)
    given = (name, list(address), country, vat_id, currency, timezone)
    with conn.transaction():
        added = conn.execute(
            """
            INSERT INTO account (account_id, name, address, country, vat_id, currency, timezone)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (account_id) DO NOTHING RETURNING account_id
            """,
            (account, *given),
        ).fetchone()
        if added:
            said = dict(zip(_ACCOUNT, given, strict=True))
            record(conn, Act("account.add", f"account/{account}", account, after=said,
                             personal=True))  # fmt: skip
            return True
        stored = conn.execute(
            """
            SELECT name, address, country, vat_id, currency, timezone
            FROM account WHERE account_id = %s
            """,
            (account,),
        ).fetchone()
    for what, old, new in zip(_ACCOUNT, stored or given, given, strict=True):
        if old != new:
            raise RefusedError(f"Account {account} exists with {what} {old!r}, not {new!r}.")
    return False


def rent(
    conn: Connection,
    *,
    item: str,
    title: str,
    plan: str,
    account: str,
    server: str,
    at: datetime,
    catalog: Catalog,
    entered_at: datetime | None,
    scope: str | None = None,
    order: Order = NOBODY,
) -> Answer:
    """An account rents an item from `at` on, served by `server`, at the prices of `catalog`."""
    rented = Item(item, title, plan, Span(utc(at)))
    content = {
        "item": item, "title": title, "plan": plan, "account": account, "server": server,
        "catalog": catalog.version, "scope": scope,
    }  # fmt: skip
    pool = scope or item

    def do(entered: datetime) -> bool:
        return _rent(conn, rented, account, pool, server, catalog, entered)

    return enter(conn, order, "rent", content, [pool], at, entered_at, do)


def end(
    conn: Connection,
    item: str,
    at: datetime,
    entered_at: datetime | None = None,
    order: Order = NOBODY,
) -> Answer:
    """The item is returned: item, hardware and prices end at `at`."""

    def do(_: datetime) -> bool:
        return _end(conn, item, utc(at))

    return enter(conn, order, "end", {"item": item}, scopes_of(conn, [item]), at, entered_at, do)


def assign(
    conn: Connection,
    item: str,
    server: str,
    at: datetime,
    entered_at: datetime | None,
    order: Order = NOBODY,
) -> Answer:
    """From `at` on `server` serves the item, until its next swap or its end."""

    def do(entered: datetime) -> bool:
        return _assign(conn, item, server, utc(at), entered)

    content = {"item": item, "server": server}
    return enter(conn, order, "swap", content, scopes_of(conn, [item]), at, entered_at, do)


swap = assign


def hand_over(
    conn: Connection,
    item: str,
    *,
    to: str,
    account: str,
    at: datetime,
    catalog: Catalog,
    entered_at: datetime | None,
    title: str | None = None,
    plan: str | None = None,
    scope: str | None = None,
    order: Order = NOBODY,
) -> Answer:
    """The item ends at `at`, and from then on its server serves item `to` of another account.

    Title and plan are the ended item's where none are given; its add-ons end with it.
    """
    content = {
        "item": item, "to": to, "account": account, "title": title, "plan": plan,
        "catalog": catalog.version, "scope": scope,
    }  # fmt: skip
    pool = scope or to

    def do(entered: datetime) -> bool:
        found = lock_item(conn, item)
        server = served_until(conn, item, utc(at))
        rented = Item(to, title or found.title, plan or found.plan, Span(utc(at)))
        ended = _end(conn, item, utc(at))
        return _rent(conn, rented, account, pool, server, catalog, entered) or ended

    scopes = sorted({*scopes_of(conn, [item]), pool})
    return enter(conn, order, "hand-over", content, scopes, at, entered_at, do)


def _rent(
    conn: Connection,
    rented: Item,
    account: str,
    scope: str,
    server: str,
    catalog: Catalog,
    entered_at: datetime,
) -> bool:
    at = rented.valid.start
    if at < catalog.effective:
        raise RefusedError(
            f"Catalogue {catalog.version} is in force from {catalog.effective.isoformat()}:"
            f" item {rented.item} would have no price at {at.isoformat()}."
        )
    if not add_item(conn, rented, account, scope, server):
        return False
    serve(conn, server, rented.item, Span(at), entered_at)
    rows = price_rows(catalog, rented)
    for contract in contracts_to_come(conn, scope, at):
        rows = agreed_rows(rows, contract, rented)
    add_prices(conn, rows, entered_at)
    return True


def _end(conn: Connection, item: str, at: datetime) -> bool:
    span = lock_item(conn, item).valid
    if span.end == at:
        return False
    if span.end is not None:
        raise RefusedError(f"Item {item} has ended already, at {span.end.isoformat()}.")
    if at <= span.start:
        raise RefusedError(
            f"Item {item} is rented from {span.start.isoformat()}: it cannot end before."
        )
    last = conn.execute(
        "SELECT server_id, lower(valid) FROM assignment WHERE item_id = %s AND lower(valid) >= %s",
        (item, at),
    ).fetchone()
    if last:
        raise RefusedError(
            f"Item {item} is to be served by {last[0]} from {last[1].isoformat()}:"
            f" it cannot end at {at.isoformat()}."
        )
    close_prices(conn, item, at)
    for table in ("assignment", "item"):
        close_rows(conn, table, item, at)
    return True


def _assign(conn: Connection, item: str, server: str, at: datetime, entered_at: datetime) -> bool:
    rented = lock_item(conn, item)
    refuse_outside(rented, at)
    rows = conn.execute(
        """
        SELECT server_id, lower(valid), upper(valid) FROM assignment
        WHERE item_id = %s ORDER BY lower(valid)
        """,
        (item,),
    ).fetchall()
    now = [row for row in rows if row[1] <= at and (row[2] is None or at < row[2])]
    if any(row[0] == server for row in now):
        return False
    if any(row[1] == at for row in now):
        raise RefusedError(
            f"Item {item} is served by {now[0][0]} from that instant, {at.isoformat()}:"
            f" {server} cannot begin there too."
        )
    later = [row[1] for row in rows if row[1] > at]
    close_rows(conn, "assignment", item, at)
    serve(conn, server, item, Span(at, min(later) if later else rented.valid.end), entered_at)
    return True
