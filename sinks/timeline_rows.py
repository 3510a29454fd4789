"""Rows of the timelines of items and servers, inside a command's transaction."""

from datetime import datetime

from psycopg import errors

from pipeline.catalog import Catalog
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
    start, until = rented.valid.start, rented.valid.end
    added = conn.execute(
        """
        INSERT INTO item (item_id, scope_id, title, plan, valid)
        VALUES (%s, %s, %s, %s, tstzrange(%s, %s, '[)'))
        ON CONFLICT (item_id) DO NOTHING RETURNING item_id
        """,
        (rented.item, scope, rented.title, rented.plan, start, until),
    ).fetchone()
    if added:
        return True
    _same_item(conn, rented, scope, server)
    return False


def _same_item(conn: Connection, rented: Item, scope: str, server: str) -> None:
    """As it was rented, whatever was said about it since."""
    stored = conn.execute(
        """
        SELECT scope_id, title, plan, lower(valid), upper(valid), (
            SELECT array_agg(value ORDER BY number DESC) FROM (
                SELECT * FROM item_choice UNION ALL
                SELECT item_id, part, name, at, value, version, number, entered_at, change_id
                FROM item_choice_past) said
            WHERE said.item_id = item.item_id AND part = 'server' AND at = lower(valid))
        FROM item WHERE item_id = %s
        """,
        (rented.item,),
    ).fetchone()
    assert stored is not None
    *facts, end, servers = stored
    first = server if server in servers else servers[0]
    span = rented.valid
    known = (*facts, end if span.end is not None else None, first)
    given = (scope, rented.title, rented.plan, span.start, span.end, server)
    names = ("scope", "title", "first plan", "start", "end", "first server")
    for what, old, new in zip(names, known, given, strict=True):
        if old != new:
            said, not_ = (one if one != "" else "of its plan" for one in (old, new))
            raise RefusedError(
                f"Item {rented.item} is rented already with {what} {said}, not {not_}."
            )


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


def refuse_outside(rented: Item, at: datetime) -> None:
    """A command at `at` needs an item that is rented then."""
    if at < rented.valid.start or (rented.valid.end is not None and at >= rented.valid.end):
        raise RefusedError(f"Item {rented.item} is not rented at {at.isoformat()}.")


def refuse_early(catalog: Catalog, item: str, at: datetime) -> None:
    """A catalogue says nothing about the time before it is in force."""
    if at < catalog.effective:
        raise RefusedError(
            f"Catalogue {catalog.version} is in force from {catalog.effective.isoformat()}:"
            f" item {item} would have no price at {at.isoformat()}. Name an earlier one with"
            " --catalog."
        )
