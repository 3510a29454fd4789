"""Budgets as they are set, listed and ended. A row is never changed: it ends and another begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipeline.budgets import Action, Budget
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection

MS = timedelta(milliseconds=1)

_SELECT = """
    SELECT b.budget_id, b.account_id, coalesce(b.item_id, ''), coalesce(b.charge, ''), b.most,
           coalesce(b.unit, a.currency), coalesce(b.unit_size, 1)::bigint, b.percents,
           b.ahead_ms, b.action, b.set_at, b.set_by, b.ended_at, b.ended_by
    FROM budget b JOIN account a USING (account_id)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A budget with who set it when, and who ended it."""

    budget: Budget
    set_at: datetime
    set_by: str
    ended_at: datetime | None
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person writes: of what, how much, and what is to happen."""

    account: str
    item: str
    charge: str
    most: Decimal
    unit: str
    """Of the quantity; of money nothing or the account's currency."""
    percents: tuple[int, ...]
    ahead: timedelta | None
    action: Action


def in_force(conn: Connection, account: str | None = None) -> list[Entry]:
    """Budgets of one account, or of all, in the order in which they were set."""
    return _entries(conn, "b.ended_at IS NULL AND (%(of)s::text IS NULL OR b.account_id = %(of)s)",
                    account)  # fmt: skip


def history(conn: Connection, account: str | None = None) -> list[Entry]:
    """The same with those that ended."""
    return _entries(conn, "%(of)s::text IS NULL OR b.account_id = %(of)s", account)


def set_budget(conn: Connection, terms: Terms, by: str, now: datetime) -> tuple[Entry, bool]:
    """The budget in force from now on; False when the same one was in force already.

    Takes the place of one for the same thing with the same action.
    """
    with conn.transaction():
        unit, size = _unit(conn, terms)
        before = _same_thing(conn, terms)
        if before is not None and _says(before.budget, terms, unit, size):
            return before, False
        if before is not None:
            _end(conn, before.budget.budget, by, now)
        row = conn.execute(
            """
            INSERT INTO budget (account_id, item_id, charge, most, unit, unit_size, percents,
                                ahead_ms, action, set_at, set_by)
            VALUES (%s, nullif(%s, ''), nullif(%s, ''), %s, %s, %s, %s, %s, %s, %s, %s)
            RETURNING budget_id
            """,
            (
                terms.account,
                terms.item,
                terms.charge,
                terms.most,
                unit or None,
                size,
                list(terms.percents),
                None if terms.ahead is None else terms.ahead // MS,
                terms.action,
                now,
                by,
            ),
        ).fetchone()
        assert row is not None, "RETURNING has a row"
        (entry,) = _entries(conn, "b.budget_id = %(of)s::bigint", str(row[0]))
        record(
            conn,
            Act("budget.set", f"budget/{row[0]}", terms.account, now, actor=by,
                before=_said(before), after=_said(entry)),
        )  # fmt: skip
    return entry, True


def drop_budget(conn: Connection, budget: int, by: str, now: datetime) -> Entry:
    """Ends a budget; what it had suspended is lifted when the account is looked at next."""
    with conn.transaction():
        found = _entries(conn, "b.budget_id = %(of)s::bigint", str(budget))
        if not found:
            raise RefusedError(f"There is no budget {budget}: `rackmeter account budget list`.")
        if found[0].ended_at is not None:
            raise RefusedError(f"Budget {budget} ended at {found[0].ended_at.isoformat()}.")
        _end(conn, budget, by, now)
        record(
            conn,
            Act("budget.drop", f"budget/{budget}", found[0].budget.account, now, actor=by,
                before=_said(found[0])),
        )  # fmt: skip
    return found[0]


def _said(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    b = entry.budget
    return {
        "item": b.item, "charge": b.charge, "limit": f"{b.most} {b.unit}", "at": b.percents,
        "ahead": None if b.ahead is None else str(b.ahead), "action": b.action,
    }  # fmt: skip


def _end(conn: Connection, budget: int, by: str, now: datetime) -> None:
    conn.execute(
        "UPDATE budget SET ended_at = %s, ended_by = %s WHERE budget_id = %s AND ended_at IS NULL",
        (now, by, budget),
    )


def _same_thing(conn: Connection, terms: Terms) -> Entry | None:
    """The one in force for it; locked, so that of two who change it one comes after the other."""
    conn.execute("SELECT FROM account WHERE account_id = %s FOR NO KEY UPDATE", (terms.account,))
    key = terms.item, terms.charge, terms.action
    return next(
        (entry for entry in in_force(conn, terms.account)
         if (entry.budget.item, entry.budget.charge, entry.budget.action) == key), None,
    )  # fmt: skip


def _says(budget: Budget, terms: Terms, unit: str, size: int | None) -> bool:
    asked = (terms.most, terms.percents, terms.ahead)
    if (budget.most, budget.percents, budget.ahead) != asked:
        return False
    return not terms.charge or (budget.unit, budget.unit_size) == (unit, size)


def _unit(conn: Connection, terms: Terms) -> tuple[str, int | None]:
    """Of the item's newest price of the charge, with its size; refuses what is not the account's.

    Money has none: it is in the account's currency.
    """
    row = conn.execute(
        "SELECT currency FROM account WHERE account_id = %s", (terms.account,)
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {terms.account}.")
    if terms.item and not _rents(conn, terms):
        raise RefusedError(f"{terms.account} rents no item {terms.item}.")
    if not terms.charge:
        if terms.unit not in ("", row[0]):
            raise RefusedError(f"{terms.account} pays in {row[0]}, not in {terms.unit}.")
        return "", None
    price = conn.execute(
        """
        SELECT price->'quantity'->'unit'->>'name', (price->'quantity'->'unit'->>'is')::bigint
        FROM item_price WHERE item_id = %s AND charge = %s ORDER BY lower(valid) DESC LIMIT 1
        """,
        (terms.item, terms.charge),
    ).fetchone()
    if price is None or price[0] is None:
        raise RefusedError(f"{terms.item} has no charge {terms.charge} by quantity.")
    if price[0] != terms.unit:
        raise RefusedError(f"{terms.item}/{terms.charge} is billed in {price[0]}: write that.")
    return str(price[0]), int(price[1])


def _rents(conn: Connection, terms: Terms) -> bool:
    row = conn.execute(
        "SELECT FROM item JOIN rating_scope USING (scope_id)"
        " WHERE item_id = %s AND account_id = %s",
        (terms.item, terms.account),
    ).fetchone()
    return row is not None


def _entries(conn: Connection, where: str, of: str | None) -> list[Entry]:
    query = f"{_SELECT} WHERE {where} ORDER BY b.budget_id"
    return [_entry(row) for row in conn.execute(query, {"of": of}).fetchall()]


def _entry(row: tuple[Any, ...]) -> Entry:
    percents, ahead_ms, action = row[7:10]
    ahead = None if ahead_ms is None else ahead_ms * MS
    more: Sequence[Any] = (tuple(percents), ahead, Action(action))
    return Entry(Budget(*[*row[:7], *more]), *row[10:])
