"""What was chosen for items, kept; and the price rows and servers that follow from it, written.

Inside a command's transaction. What holds before the instant of a command is never rewritten.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from psycopg import errors

from pipeline.catalog import Catalog, Existing
from pipeline.choices import Choice, Part, changed_from, follows_at, priced, served
from schemas.billing import Assignment, Item, Span
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.prices import stored_prices, write_prices
from sinks.timeline_rows import serve
from sinks.versions import published, published_in_order

Choices = dict[str, list[Choice]]


def load_choices(conn: Connection, items: Collection[str]) -> Choices:
    """By item, everything that was chosen for it."""
    found: defaultdict[str, list[Choice]] = defaultdict(list)
    rows = conn.execute(
        "SELECT item_id, part, name, at, value, coalesce(version, ''), number FROM item_choice"
        " WHERE item_id = ANY(%s) ORDER BY item_id, number",
        (list(items),),
    )
    for item, part, *rest in rows:
        found[item].append(Choice(Part(part), *rest))
    return found


def lists_of(conn: Connection, choices: Iterable[Choice]) -> list[Catalog]:
    """The versions that choices name, in the order of their publication."""
    return published_in_order(conn, {one.version for one in choices if one.version})


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
        try:
            cursor.executemany(
                "INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at)"
                " VALUES (%(item)s, %(part)s, %(name)s, %(at)s, %(value)s, %(version)s,"
                " %(entered)s)",
                values,
            )
        except errors.ForeignKeyViolation:
            raise RefusedError(
                f"Catalogue {values[0]['version']} has not been applied:"
                " `rackmeter catalog apply` it."
            ) from None


def settle(conn: Connection, item: Item, since: datetime, entered_at: datetime) -> bool:
    """Price rows from ``since`` on and servers of the item, as they follow from its choices.

    False where they were so already.
    """
    choices = load_choices(conn, [item.item])[item.item]
    before = stored_prices(conn, [item.item])[item.item]
    after = changed_from(since, before, priced(item, choices, lists_of(conn, choices)))
    repriced = write_prices(conn, before, after, entered_at)
    return _write_servers(conn, item, served(item, choices), entered_at) or repriced


def announce(
    conn: Connection, item: Item, version: str, at: datetime, entered_at: datetime
) -> None:
    """What is published already and changes an item of ``version`` after ``at`` is chosen too.

    Contracts of its scope that are to come; and catalogues newer than the version that items which
    exist follow later, unless a contract holds then.
    """
    head = conn.execute(
        """
        SELECT s.scope_id, a.timezone, v.version, v.applied_at
        FROM item i JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id),
             catalog_version v
        WHERE i.item_id = %(item)s AND v.version = coalesce(
            (SELECT base FROM contract WHERE version = %(version)s), %(version)s)
        """,
        {"item": item.item, "version": version},
    ).fetchone()
    assert head is not None
    scope, timezone, base, applied_at = head
    agreed = conn.execute(
        "SELECT version, lower(valid), upper(valid) FROM contract_known() WHERE scope_id = %s",
        (scope,),
    ).fetchall()
    newer = conn.execute(
        """
        SELECT version, applied_at FROM catalog_version v
        WHERE (applied_at, version) > (%s, %s)
          AND NOT EXISTS (SELECT FROM contract c WHERE c.version = v.version)
        """,
        (applied_at, base),
    ).fetchall()
    coming = [(low, name) for name, low, _ in agreed if low > at]
    for name, applied in newer:
        catalog = published(conn, name)
        if catalog is not None and catalog.existing is not Existing.KEEP:
            start = follows_at(catalog, timezone, applied)
            if start > at and not any(Span(low, high).holds(start) for _, low, high in agreed):
                coming.append((start, name))
    known = load_choices(conn, [item.item])[item.item]
    said = {(one.part, one.name, one.at) for one in known}
    new = [Choice(Part.PRICES, name, start, "", name) for start, name in sorted(coming)]
    choose(conn, item.item, (c for c in new if (c.part, c.name, c.at) not in said), entered_at)


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
