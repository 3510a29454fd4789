"""What was chosen for items, kept; and the price rows and servers that follow from it, written.

Inside a command's transaction. What holds before the instant of a command is never rewritten.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from pipeline.catalog import Catalog, Existing
from pipeline.choices import (
    NONE,
    Choice,
    Part,
    changed_from,
    follows_at,
    priced,
    served,
)
from schemas.billing import Assignment, Item, Span
from schemas.errors import RefusedError
from sinks.changes import scopes_of
from sinks.contracts import agreed_of
from sinks.database import Connection
from sinks.prices import stored_prices, write_prices
from sinks.timeline_rows import serve
from sinks.versions import published, published_in_order

Choices = dict[str, list[Choice]]


def load_choices(conn: Connection, items: Collection[str]) -> Choices:
    """By item, everything that was chosen for it."""
    found: defaultdict[str, list[Choice]] = defaultdict(list)
    rows = conn.execute(
        """
        SELECT item_id, part, name, at, value, coalesce(version, ''), number, CASE
            WHEN version IN (SELECT version FROM contract) THEN coalesce((
                SELECT v.version FROM catalog_version v
                WHERE v.effective <= o.at AND v.applied_at <= o.entered_at
                  AND v.version NOT IN (SELECT version FROM contract)
                ORDER BY v.effective DESC, v.applied_at DESC, v.version DESC LIMIT 1), '')
            ELSE '' END
        FROM item_choice o WHERE item_id = ANY(%s) ORDER BY item_id, number
        """,
        (list(items),),
    )
    for item, part, *rest in rows:
        found[item].append(Choice(Part(part), *rest))
    return found


def lists_of(conn: Connection, choices: Iterable[Choice]) -> list[Catalog]:
    """The versions that choices name, older ones first."""
    return published_in_order(
        conn, {name for one in choices for name in (one.version, one.catalog) if name}
    )


def choose(conn: Connection, item: str, choices: Iterable[Choice], entered_at: datetime) -> None:
    """From their instants on; each takes the place of what was chosen for the same instant."""
    with conn.cursor() as cursor:
        values = [
            {
                "item": item, "part": one.part, "name": one.name, "at": one.at, "value": one.value,
                "version": one.version or None, "entered": entered_at,
            }
            for one in choices
        ]  # fmt: skip
        cursor.executemany(
            "DELETE FROM item_choice WHERE (item_id, part, name, at)"
            " = (%(item)s, %(part)s, %(name)s, %(at)s)",
            values,
        )
        cursor.executemany(
            "INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at)"
            " VALUES (%(item)s, %(part)s, %(name)s, %(at)s, %(value)s, %(version)s, %(entered)s)",
            values,
        )


def again(conn: Connection, item: str, said: Collection[Choice], new: Choice) -> bool | None:
    """What saying this means where something was said for the same instant: None where nothing was.

    True: that is forgotten, since the item is to have what it had before. False: it is so already.
    """
    same = [one for one in said if (one.part, one.name) == (new.part, new.name)]
    now = next((one for one in same if one.at == new.at), None)
    earlier = max((one for one in same if one.at < new.at), key=lambda one: one.at, default=None)
    none = NONE if new.part is Part.ADDON else ""
    before = earlier.value if earlier else none
    key = (item, new.part, new.name, new.at)
    if now is None:
        gone = conn.execute(
            "SELECT FROM item_choice_past WHERE (item_id, part, name, at) = (%s, %s, %s, %s)", key
        ).fetchone()
        return False if gone is not None and before == new.value else None
    if now.value == new.value:
        return False
    if before != new.value:
        return None
    conn.execute("DELETE FROM item_choice WHERE (item_id, part, name, at) = (%s, %s, %s, %s)", key)
    return True


def next_of(conn: Connection, item: str, part: Part, at: datetime, name: str = "") -> Choice | None:
    """What is chosen of a part after an instant, while the item is rented."""
    row = conn.execute("SELECT upper(valid) FROM item WHERE item_id = %s", (item,)).fetchone()
    rented = row[0] if row else None
    mine = [
        one
        for one in load_choices(conn, [item])[item]
        if (one.part, one.name) == (part, name) and one.at > at
    ]
    found = min(mine, key=lambda one: one.at, default=None)
    return found if found and (rented is None or found.at < rented) else None


def settle(conn: Connection, item: Item, since: datetime, entered_at: datetime) -> bool:
    """Price rows from ``since`` on and servers of the item, as they follow from its choices.

    False where they were so already.
    """
    choices = load_choices(conn, [item.item])[item.item]
    before = stored_prices(conn, [item.item])[item.item]
    [scope] = scopes_of(conn, [item.item])
    agreed = agreed_of(conn, [scope])[scope]
    wanted = priced(item, choices, lists_of(conn, choices), agreed)
    repriced = write_prices(conn, before, changed_from(since, before, wanted), entered_at)
    return _write_servers(conn, item, served(item, choices), entered_at) or repriced


def announce(conn: Connection, item: str, version: str, at: datetime, entered_at: datetime) -> None:
    """What is published already and changes an item of ``version`` after ``at`` is chosen too.

    Contracts of its scope, newer catalogues that items which exist follow later, and any that were
    applied while it had ended. Whoever chooses something does that afterwards.
    """
    head = conn.execute(
        """
        SELECT s.scope_id, a.timezone, v.effective, v.applied_at, v.version
        FROM item i JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id),
             catalog_version v
        WHERE i.item_id = %(item)s AND v.version = coalesce(
            (SELECT base FROM contract WHERE version = %(version)s), %(version)s)
        """,
        {"item": item, "version": version},
    ).fetchone()
    if head is None:
        raise RefusedError(
            f"Catalogue {version} has not been applied: `rackmeter catalog apply` it."
        )
    scope, timezone, *basis = head
    agreed = agreed_of(conn, [scope])[scope]
    newer = conn.execute(
        """
        SELECT version, applied_at FROM catalog_version v
        WHERE ((effective, applied_at, version) > (%s, %s, %s)
               OR applied_at > (SELECT min(entered_at) FROM item_choice WHERE item_id = %s))
          AND NOT EXISTS (SELECT FROM contract c WHERE c.version = v.version)
        """,
        (*basis, item),
    ).fetchall()
    coming = [(span.start, name) for name, span in agreed.items()]
    for name, applied in newer:
        catalog = published(conn, name)
        if catalog is not None and catalog.existing is not Existing.KEEP:
            start = follows_at(catalog, timezone, applied)
            if start > at:
                coming.append((start, name))
    known = {one.name for one in load_choices(conn, [item])[item] if one.part is Part.PRICES}
    for start, name in sorted(coming):
        if name not in known:
            follow_all(conn, name, [(item, start)], entered_at)


def follow_all(
    conn: Connection, version: str, starts: Iterable[tuple[str, datetime]], entered_at: datetime
) -> None:
    """Items follow a version that is applied, whether it changes anything for them now or not."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at)
            VALUES (%s, 'prices', %s, %s, '', %s, %s)
            """,
            [(item, version, start, version, entered_at) for item, start in starts],
        )


def _write_servers(
    conn: Connection, item: Item, wanted: tuple[Assignment, ...], entered_at: datetime
) -> bool:
    rows = conn.execute(
        "SELECT server_id, lower(valid), upper(valid) FROM assignment WHERE item_id = %s",
        (item.item,),
    ).fetchall()
    stored = [Assignment(server, item.item, Span(low, high)) for server, low, high in rows]
    for old in stored:
        if old not in wanted:
            conn.execute(
                "DELETE FROM assignment"
                " WHERE item_id = %s AND server_id = %s AND lower(valid) = %s",
                (old.item, old.server, old.valid.start),
            )
    for new in wanted:
        if new not in stored:
            serve(conn, new.server, new.item, new.valid, entered_at)
    return {*stored} != {*wanted}
