"""What changes about an item that is rented on: its plan and its add-ons.

Commands as in sinks.timelines. Item and hardware go on, and so do started hours and caps. An
add-on is a price row of its own name. Each command is a choice for an instant (pipeline.choices).
"""

from dataclasses import replace
from datetime import datetime

from pipeline.catalog import Catalog
from pipeline.choices import NONE, Choice, Part, chosen, has
from schemas.errors import RefusedError
from sinks.changes import NOBODY, Answer, Order, enter, scopes_of, utc
from sinks.choices import again, announce, choose, load_choices, settle
from sinks.database import Connection
from sinks.timeline_rows import lock_item, refuse_early, refuse_outside


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

    Where later versions have changed the old plan's prices, the new plan's change there too. One
    that it has already keeps its prices, and keeps it whatever is said later of the time before.
    """

    def do(entered: datetime) -> bool | None:
        return _choose(conn, item, Part.PLAN, "", utc(at), plan, catalog, entered)

    content = {"item": item, "plan": plan, "catalog": catalog.version}
    return enter(conn, order, "resize", content, scopes_of(conn, [item]), at, entered_at, do)


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

    def do(entered: datetime) -> bool | None:
        return _choose(conn, item, Part.ADDON, addon, utc(at), str(count), catalog, entered)

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
    """The item has none of the add-on from `at` until it is booked again.

    At the instant of a booking that one is taken back.
    """

    def do(entered: datetime) -> bool:
        rented, when = lock_item(conn, item), utc(at)
        refuse_outside(rented, when)
        choices = load_choices(conn, [item])[item]
        new = Choice(Part.ADDON, addon, when, NONE)
        now = chosen(choices, Part.ADDON, when, addon)
        repeated = again(conn, item, choices, new)
        if repeated is False:
            return False
        if now is None or now.value == NONE:
            later = [c.at for c in choices if (c.part, c.name) == (Part.ADDON, addon)]
            booked = [at.isoformat() for at in later if at > when]
            then = f"; it is booked from {min(booked)}, drop it there" if booked else ""
            raise RefusedError(f"Item {item} has no add-on {addon} at {when.isoformat()}{then}.")
        if repeated is None:
            choose(conn, item, [new], entered)
        settle(conn, rented, when, entered)
        return True

    content = {"item": item, "addon": addon}
    return enter(conn, order, "addon drop", content, scopes_of(conn, [item]), at, entered_at, do)


def _choose(
    conn: Connection,
    item: str,
    part: Part,
    name: str,
    at: datetime,
    value: str,
    catalog: Catalog,
    entered_at: datetime,
) -> bool | None:
    """None where it changes nothing but what later commands may change."""
    rented = lock_item(conn, item)
    refuse_outside(rented, at)
    refuse_early(catalog, item, at)
    said = load_choices(conn, [item])[item]
    now, new = chosen(said, part, at, name), Choice(part, name, at, value, catalog.version)
    if now is not None and now.value == value and not has(catalog, new):
        new = replace(new, version=now.version)
    repeated = again(conn, item, said, new)
    if repeated is False:
        return False
    if repeated is None:
        announce(conn, item, new.version, at, entered_at)
        choose(conn, item, [new], entered_at)
    return settle(conn, rented, at, entered_at) or None
