"""What applying a catalogue or a contract writes into the price timelines.

Items that exist follow the catalogue's `existing`: they keep their prices, change at their renewal
(the start of the account's next period) or on a given day (midnight of the seller). A contract
changes the items of its scope when it begins; until it ends, a new catalogue leaves them alone.
Billing reads price rows only, never versions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from pipeline.catalog import Catalog, Existing
from pipeline.choices import follows_at
from pipeline.contract import Contract
from schemas.billing import Item, Span
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.changes import NOBODY, Answer, Order, enter, lock_commands
from sinks.choices import follow_all
from sinks.contracts import agree
from sinks.database import Connection
from sinks.repricing import Touched, changes, reprice
from sinks.versions import publish

Meant = list[tuple[str, str, datetime, Item]]
"""Scope, account, from when on, and item."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did: `published` is False when the version was there already."""

    published: bool
    touched: tuple[Touched, ...]
    late: tuple[tuple[str, datetime], ...] = ()
    """Sealed (scope, start of period) that it came too late for: they are corrected."""

    @property
    def items(self) -> tuple[str, ...]:
        """Items whose prices change, by id."""
        return tuple(one.item.item for one in self.touched)


def apply(
    conn: Connection, catalog: Catalog, text: str, at: datetime, order: Order = NOBODY
) -> Applied:
    """Publishes a version and writes the price rows it brings, in one transaction.

    Applying the same text again changes nothing; the same version with other text is refused. What
    it changes is a command on the timelines, one for each instant from which prices change.
    """
    with conn.transaction():
        lock_commands(conn)
        if not publish(conn, catalog, text, at):
            return Applied(published=False, touched=())
        applied = Applied(published=True, touched=())
        if catalog.existing is not Existing.KEEP:
            found = _rented_after(conn, since(catalog, at))
            starts = {account: follows_at(catalog, zone, at) for _, account, zone, _ in found}
            meant = [(s, a, starts[a], item) for s, a, _, item in found]
            applied = replace(applied, touched=_follow(conn, catalog, meant, at))
        late: list[tuple[str, datetime]] = []
        for start in sorted({one.start for one in applied.touched}):
            same = [one for one in applied.touched if one.start == start]
            late += _enter(conn, catalog, same, at, order).late
        applied = replace(applied, late=tuple(late))
        record(conn, _act(catalog, text, applied, at))
    return applied


def apply_contract(
    conn: Connection, contract: Contract, text: str, at: datetime, order: Order = NOBODY
) -> Applied:
    """Publishes a contract: terms of its scope and prices of its items, from its start on."""
    catalog, scope = contract.catalog, contract.scope
    with conn.transaction():
        lock_commands(conn)
        locked = "SELECT account_id FROM rating_scope WHERE scope_id = %s FOR UPDATE"
        row = conn.execute(locked, (scope,)).fetchone()
        if row is None:
            raise RefusedError(f"There is no rating scope {scope}: rent an item in it first.")
        if not publish(conn, catalog, text, at):
            return Applied(published=False, touched=())
        agree(conn, contract, at)
        found = _rented_after(conn, contract.valid.start, scope)
        meant = [(s, a, contract.valid.start, item) for s, a, _, item in found]
        touched = _follow(conn, catalog, meant, at)

        def do(entered: datetime) -> bool:
            reprice(conn, touched, entered)
            return True

        content = {"version": catalog.version}
        start = contract.valid.start
        answer = enter(conn, order, "contract apply", content, [scope], start, at, do)
        applied = Applied(published=True, touched=touched, late=answer.late)
        record(conn, _act(catalog, text, applied, at, row[0]))
    return applied


def since(catalog: Catalog, at: datetime) -> datetime:
    """From when on prices may change: a stated day may be past already."""
    return min(catalog.existing, at) if isinstance(catalog.existing, datetime) else at


def _follow(conn: Connection, catalog: Catalog, found: Meant, at: datetime) -> tuple[Touched, ...]:
    """All of them follow the catalogue; what that changes now. Later commands may rest on it."""
    follow_all(
        conn, catalog.version, [(item.item, start.astimezone(UTC)) for *_, start, item in found], at
    )
    return changes(
        conn,
        [
            (scope, account, max(start, item.valid.start).astimezone(UTC), item)
            for scope, account, start, item in found
        ],
    )


def _rented_after(
    conn: Connection, at: datetime, scope: str | None = None
) -> list[tuple[str, str, str, Item]]:
    """Scope, account, zone and item of what is rented after `at`, in one scope or all.

    Locked, as every command does.
    """
    rows = conn.execute(
        """
        SELECT i.scope_id, a.account_id, a.timezone, i.item_id, i.title, i.plan,
               lower(i.valid), upper(i.valid)
        FROM item i JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id)
        WHERE (upper_inf(i.valid) OR upper(i.valid) > %(at)s)
          AND (%(scope)s::text IS NULL OR i.scope_id = %(scope)s)
        ORDER BY i.item_id FOR UPDATE OF i
        """,
        {"scope": scope, "at": at},
    ).fetchall()
    return [
        (scope_id, account, zone, Item(item, title, plan, Span(low, high)))
        for scope_id, account, zone, item, title, plan, low, high in rows
    ]


def _enter(
    conn: Connection, catalog: Catalog, touched: Sequence[Touched], at: datetime, order: Order
) -> Answer:
    """The changes that begin at one instant, as one command."""

    def do(entered: datetime) -> bool:
        reprice(conn, touched, entered)
        return True

    scopes = sorted({one.scope for one in touched})
    content = {"version": catalog.version}
    return enter(conn, order, "catalog apply", content, scopes, touched[0].start, at, do)


def _act(catalog: Catalog, text: str, applied: Applied, at: datetime, account: str = "") -> Act:
    """For the audit trail; ``account`` where it is one customer's contract."""
    what = "contract" if account else "catalog"
    digest = sha256(text.encode()).hexdigest()
    after = {"effective": catalog.effective, "sha256": digest, "items": len(applied.items)}
    return Act(f"{what}.apply", f"{what}/{catalog.version}", account, at, after=after)
