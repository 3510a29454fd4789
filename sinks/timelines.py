"""Who rents what from when, on which hardware, at which price: dated commands on the timelines.

Each command is one transaction, safe to repeat (sinks.changes): its answer is true when something
changed, false when it was so already. What contradicts the books is refused with a sentence that
names both sides. Times are aware; `entered_at` is when the command was given, `at` when it is true:
at any time, also in a period that is invoiced. Prices come as rows (pipeline.catalog); a version's
file is kept by sinks.catalogs. What changes an item that is rented on: sinks.alterations.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.catalog import Catalog
from pipeline.choices import Choice, Part, chosen, plan_at
from pipeline.periods import zone
from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.changes import NOBODY, Answer, Order, enter, scopes_of, utc
from sinks.choices import again, announce, choose, load_choices, settle
from sinks.database import Connection
from sinks.timeline_rows import add_item, lock_item, refuse_early, refuse_outside, served_until

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
    plan: str,
    account: str,
    server: str,
    at: datetime,
    catalog: Catalog,
    entered_at: datetime | None,
    title: str | None = None,
    until: datetime | None = None,
    scope: str | None = None,
    order: Order = NOBODY,
) -> Answer:
    """An account rents an item from `at` on, served by `server`, at the prices of `catalog`.

    Until it is ended, or until an instant that is known already. Without a title it is called as
    its plan is, whichever it has.
    """
    rented = Item(item, title or "", plan, Span(utc(at), None if until is None else utc(until)))
    if rented.valid.end is not None:
        _refuse_end(rented, rented.valid.end)
    content = {
        "item": item, "title": title, "plan": plan, "account": account, "server": server,
        "catalog": catalog.version, "scope": scope,
        **({} if rented.valid.end is None else {"until": rented.valid.end.isoformat()}),
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

    def do(entered: datetime) -> bool:
        return _end(conn, item, utc(at), entered)

    return enter(conn, order, "end", {"item": item}, scopes_of(conn, [item]), at, entered_at, do)


def reopen(
    conn: Connection,
    item: str,
    entered_at: datetime,
    at: datetime | None = None,
    order: Order = NOBODY,
) -> Answer:
    """The item did not end but goes on, with all that was said of it for later.

    `at` is the end that is taken back; the one that it has, if not given.
    """
    row = conn.execute("SELECT upper(valid) FROM item WHERE item_id = %s", (item,)).fetchone()
    when = utc(at or (row and row[0]) or entered_at)

    def do(entered: datetime) -> bool:
        rented = lock_item(conn, item)
        if rented.valid.end is None:
            return False
        if rented.valid.end != when:
            raise RefusedError(
                f"Item {item} ends at {rented.valid.end.isoformat()}, not {when.isoformat()}."
            )
        plan = chosen(load_choices(conn, [item])[item], Part.PLAN, when)
        assert plan is not None
        announce(conn, item, plan.version, when - timedelta(microseconds=1), entered)
        _set_end(conn, rented, None, entered)
        return True

    content = {"item": item}
    return enter(conn, order, "reopen", content, scopes_of(conn, [item]), when, entered_at, do)


def assign(
    conn: Connection,
    item: str,
    server: str,
    at: datetime,
    entered_at: datetime | None,
    order: Order = NOBODY,
) -> Answer:
    """From `at` on `server` serves the item, until its next swap or its end.

    Another one for the instant of an earlier swap takes its place, also of one that is to come.
    """

    def do(entered: datetime) -> bool | None:
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

    Its plan is what the ended item had last where none is given; title and add-ons end with it.
    """
    content = {
        "item": item, "to": to, "account": account, "title": title, "plan": plan,
        "catalog": catalog.version, "scope": scope,
    }  # fmt: skip
    pool = scope or to

    def do(entered: datetime) -> bool:
        ending, start = lock_item(conn, item), utc(at)
        server = served_until(conn, item, start)
        said = load_choices(conn, [item])[item]
        last = plan_at(ending, said, start - timedelta(microseconds=1))
        rented = Item(to, title or "", plan or last.plan, Span(start))
        ended = _end(conn, item, start, entered)
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
    refuse_early(catalog, rented.item, at)
    if not add_item(conn, rented, account, scope, server):
        return False
    choices = (
        Choice(Part.PLAN, "", at, rented.plan, catalog.version),
        Choice(Part.SERVER, "", at, server),
    )
    announce(conn, rented.item, catalog.version, at, entered_at)
    choose(conn, rented.item, choices, entered_at)
    settle(conn, rented, at, entered_at)
    return True


def _end(conn: Connection, item: str, at: datetime, entered_at: datetime) -> bool:
    rented = lock_item(conn, item)
    if rented.valid.end == at:
        return False
    if rented.valid.end is not None:
        raise RefusedError(
            f"Item {item} has ended already, at {rented.valid.end.isoformat()}: if that is wrong,"
            " `rackmeter item reopen` it first."
        )
    _refuse_end(rented, at)
    _set_end(conn, rented, at, entered_at)
    return True


def _refuse_end(rented: Item, end: datetime) -> None:
    if end <= rented.valid.start:
        raise RefusedError(
            f"Item {rented.item} is rented from {rented.valid.start.isoformat()}: it cannot end"
            " there or before. What should never have been rented costs nothing when it is"
            " suspended with --kind exclusion from its beginning; then end it."
        )


def _set_end(conn: Connection, rented: Item, end: datetime | None, entered_at: datetime) -> None:
    """What was said for a time after the end waits for the item to be reopened."""
    since = end or rented.valid.end
    assert since is not None
    conn.execute(
        "UPDATE item SET valid = tstzrange(lower(valid), %s, '[)') WHERE item_id = %s",
        (end, rented.item),
    )
    changed = replace(rented, valid=Span(rented.valid.start, end))
    settle(conn, changed, since, entered_at)


def _assign(
    conn: Connection, item: str, server: str, at: datetime, entered_at: datetime
) -> bool | None:
    rented = lock_item(conn, item)
    refuse_outside(rented, at)
    new = Choice(Part.SERVER, "", at, server)
    repeated = again(conn, item, load_choices(conn, [item])[item], new)
    if repeated is False:
        return False
    if repeated is None:
        choose(conn, item, [new], entered_at)
    return settle(conn, rented, at, entered_at) or None
