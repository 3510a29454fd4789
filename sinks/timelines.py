"""Who rents what from when, on which hardware, at which price: dated commands on the timelines.

Each command is one transaction, safe to repeat: True means something changed, False that it was so
already. What contradicts the books is refused with a sentence that names both sides. Times are
aware; `entered_at` is when the command was given, `at` when it is true. Prices come as rows
(pipeline.catalog); a version's file is kept by sinks.catalogs.
"""

from datetime import UTC, datetime

from psycopg import errors

from pipeline.catalog import Catalog, price_rows
from pipeline.periods import zone
from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.prices import add_prices, close_prices, close_rows


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
            return True
        stored = conn.execute(
            """
            SELECT name, address, country, vat_id, currency, timezone
            FROM account WHERE account_id = %s
            """,
            (account,),
        ).fetchone()
    for what, old, new in zip(
        ("name", "address", "country", "VAT id", "currency", "time zone"),
        stored or given,
        given,
        strict=True,
    ):
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
    entered_at: datetime,
    scope: str | None = None,
) -> bool:
    """An account rents an item from `at` on, served by `server`, at the prices of `catalog`."""
    at = _utc(at)
    rented = Item(item, title, plan, Span(at))
    if at < catalog.effective:
        raise RefusedError(
            f"Catalogue {catalog.version} is in force from {catalog.effective.isoformat()}:"
            f" item {item} would have no price at {at.isoformat()}."
        )
    with conn.transaction():
        if not _add_item(conn, rented, account, scope or item, server):
            return False
        refuse_sealed(conn, scope or item, at)
        _serve(conn, server, item, Span(at), entered_at)
        add_prices(conn, price_rows(catalog, rented), entered_at)
    return True


def end(conn: Connection, item: str, at: datetime) -> bool:
    """The item is returned: item, hardware and prices end at `at`."""
    at = _utc(at)
    with conn.transaction():
        scope, span = _lock_item(conn, item)
        if span.end == at:
            return False
        if span.end is not None:
            raise RefusedError(f"Item {item} has ended already, at {span.end.isoformat()}.")
        if at <= span.start:
            raise RefusedError(
                f"Item {item} is rented from {span.start.isoformat()}: it cannot end before."
            )
        refuse_sealed(conn, scope, at)
        last = conn.execute(
            """
            SELECT server_id, lower(valid) FROM assignment
            WHERE item_id = %s AND lower(valid) >= %s
            """,
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


def assign(conn: Connection, item: str, server: str, at: datetime, entered_at: datetime) -> bool:
    """From `at` on `server` serves the item, until its next hand-over or its end: a swap."""
    at = _utc(at)
    with conn.transaction():
        scope, span = _lock_item(conn, item)
        if at < span.start or (span.end is not None and at >= span.end):
            raise RefusedError(f"Item {item} is not rented at {at.isoformat()}.")
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
        refuse_sealed(conn, scope, at)
        if any(row[1] == at for row in now):
            raise RefusedError(
                f"Item {item} is served by {now[0][0]} from that instant, {at.isoformat()}:"
                f" {server} cannot begin there too."
            )
        later = [row[1] for row in rows if row[1] > at]
        close_rows(conn, "assignment", item, at)
        _serve(conn, server, item, Span(at, min(later) if later else span.end), entered_at)
    return True


swap = assign


def _add_item(conn: Connection, rented: Item, account: str, scope: str, server: str) -> bool:
    """False when exactly this item was rented before; refuses one that differs."""
    try:
        conn.execute(
            "INSERT INTO rating_scope VALUES (%s, %s) ON CONFLICT DO NOTHING", (scope, account)
        )
    except errors.ForeignKeyViolation:
        raise RefusedError(f"There is no account {account}.") from None
    owner = conn.execute(
        "SELECT account_id FROM rating_scope WHERE scope_id = %s", (scope,)
    ).fetchone()
    if owner is not None and owner[0] != account:
        raise RefusedError(f"Scope {scope} belongs to account {owner[0]}, not {account}.")
    start = rented.valid.start
    added = conn.execute(
        """
        INSERT INTO item VALUES (%s, %s, %s, %s, tstzrange(%s, NULL, '[)'))
        ON CONFLICT (item_id) DO NOTHING RETURNING item_id
        """,
        (rented.item, scope, rented.title, rented.plan, start),
    ).fetchone()
    if added:
        return True
    _same_item(conn, (scope, rented.title, rented.plan, start, server), rented.item)
    return False


def _same_item(conn: Connection, given: tuple[str, str, str, datetime, str], item: str) -> None:
    stored = conn.execute(
        """
        SELECT i.scope_id, i.title, i.plan, lower(i.valid),
               (SELECT server_id FROM assignment a WHERE a.item_id = i.item_id
                ORDER BY lower(a.valid) LIMIT 1)
        FROM item i WHERE item_id = %s
        """,
        (item,),
    ).fetchone()
    names = ("scope", "title", "plan", "start", "first server")
    for what, old, new in zip(names, stored or given, given, strict=True):
        if old != new:
            raise RefusedError(f"Item {item} is rented already with {what} {old}, not {new}.")


def _serve(conn: Connection, server: str, item: str, span: Span, entered_at: datetime) -> None:
    try:
        with conn.transaction():
            conn.execute(
                "INSERT INTO assignment VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s)",
                (server, item, span.start, span.end, entered_at),
            )
    except errors.ExclusionViolation:
        other = conn.execute(
            """
            SELECT item_id, lower(valid), upper(valid) FROM assignment
            WHERE server_id = %s AND valid && tstzrange(%s, %s, '[)') ORDER BY lower(valid)
            """,
            (server, span.start, span.end),
        ).fetchone()
        taken, low, high = other or ("another item", span.start, span.end)
        until = "on" if high is None else f"to {high.isoformat()}"
        raise RefusedError(
            f"Server {server} serves item {taken} from {low.isoformat()} {until}:"
            f" it cannot serve item {item} from {span.start.isoformat()}."
        ) from None


def _lock_item(conn: Connection, item: str) -> tuple[str, Span]:
    """The item's scope and span; its row is the lock of all commands on it."""
    row = conn.execute(
        "SELECT scope_id, lower(valid), upper(valid) FROM item WHERE item_id = %s FOR UPDATE",
        (item,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no item {item}.")
    return row[0], Span(row[1], row[2])


def refuse_sealed(conn: Connection, scope: str, at: datetime) -> None:
    """The past that an invoice rests on stays as it was."""
    row = conn.execute(
        "SELECT max(period_end) FROM scope_seal WHERE scope_id = %s", (scope,)
    ).fetchone()
    if row and row[0] is not None and at < row[0]:
        raise RefusedError(
            f"Scope {scope} is invoiced up to {row[0].isoformat()}:"
            f" nothing can change at {at.isoformat()} any more."
        )


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC)
