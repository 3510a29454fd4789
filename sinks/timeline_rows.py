"""Rows of the timelines of items and servers, inside a command's transaction."""

from datetime import datetime

from psycopg import errors, sql

from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.database import Connection


def add_item(conn: Connection, rented: Item, account: str, scope: str, server: str) -> bool:
    """False when exactly this item was rented before; refuses one that differs."""
    try:
        conn.execute(
            "INSERT INTO rating_scope (scope_id, account_id) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING",
            (scope, account),
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
        INSERT INTO item (item_id, scope_id, title, plan, valid)
        VALUES (%s, %s, %s, %s, tstzrange(%s, NULL, '[)'))
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
        SELECT i.scope_id, i.title,
               (SELECT p.plan FROM item_price p WHERE p.item_id = i.item_id
                ORDER BY lower(p.valid) LIMIT 1), lower(i.valid),
               (SELECT server_id FROM assignment a WHERE a.item_id = i.item_id
                ORDER BY lower(a.valid) LIMIT 1)
        FROM item i WHERE item_id = %s
        """,
        (item,),
    ).fetchone()
    names = ("scope", "title", "first plan", "start", "first server")
    for what, old, new in zip(names, stored or given, given, strict=True):
        if old != new:
            raise RefusedError(f"Item {item} is rented already with {what} {old}, not {new}.")


def serve(conn: Connection, server: str, item: str, span: Span, entered_at: datetime) -> None:
    """The server serves the item from now on; refuses where it serves another."""
    try:
        with conn.transaction():
            conn.execute(
                "INSERT INTO assignment (server_id, item_id, valid, entered_at)"
                " VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s)",
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


def lock_item(conn: Connection, item: str) -> Item:
    """The item; sealing its scope waits for the lock on its row, and publishing a catalogue too."""
    row = conn.execute(
        "SELECT title, plan, lower(valid), upper(valid) FROM item WHERE item_id = %s FOR UPDATE",
        (item,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no item {item}.")
    return Item(item, row[0], row[1], Span(row[2], row[3]))


def served_until(conn: Connection, item: str, at: datetime) -> str:
    """The server that serves the item up to `at`."""
    row = conn.execute(
        """
        SELECT server_id FROM assignment
        WHERE item_id = %s AND lower(valid) < %s AND (upper_inf(valid) OR upper(valid) >= %s)
        """,
        (item, at, at),
    ).fetchone()
    if row is None:
        raise RefusedError(f"Item {item} is served by nothing up to {at.isoformat()}.")
    return str(row[0])


def close_rows(conn: Connection, table: str, item: str, at: datetime) -> None:
    """Ends the item's rows in force at `at`; one that begins there is left alone."""
    conn.execute(
        sql.SQL(
            """
            UPDATE {} SET valid = tstzrange(lower(valid), %s, '[)')
            WHERE item_id = %s AND lower(valid) < %s AND (upper_inf(valid) OR upper(valid) > %s)
            """
        ).format(sql.Identifier(table)),
        (at, item, at, at),
    )


def refuse_outside(rented: Item, at: datetime) -> None:
    """A command at `at` needs an item that is rented then."""
    if at < rented.valid.start or (rented.valid.end is not None and at >= rented.valid.end):
        raise RefusedError(f"Item {rented.item} is not rented at {at.isoformat()}.")
