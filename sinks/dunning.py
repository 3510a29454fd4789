"""Rows that say how each account stands with its bills, what was announced, and every change."""

from dataclasses import dataclass
from datetime import datetime

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class StandingRow:
    """``cycle``: since when it is not current; the identity of what it is told meanwhile."""

    account: str
    state: str
    since: datetime
    cycle: datetime
    noticed: str | None
    noticed_at: datetime | None


_ROW = "SELECT account_id, state, since, cycle, noticed, noticed_at FROM dunning"


def standing_of(conn: Connection, account: str) -> StandingRow | None:
    """Locked until the transaction ends, also where there is no row yet."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('dunning'), hashtext(%s))", (account,))
    row = conn.execute(f"{_ROW} WHERE account_id = %s", (account,)).fetchone()
    return None if row is None else StandingRow(*row)


def standings(conn: Connection, state: str | None = None) -> list[StandingRow]:
    """Accounts that are not current, or those that stand so."""
    rows = conn.execute(
        f"{_ROW} WHERE state = coalesce(%(state)s, state)"
        " AND (state <> 'current' OR %(state)s IS NOT NULL) ORDER BY since, 1",
        {"state": state},
    ).fetchall()
    return [StandingRow(*row) for row in rows]


def announce(conn: Connection, account: str, stand: str, at: datetime) -> None:
    """The next step was told."""
    conn.execute(
        "UPDATE dunning SET noticed = %s, noticed_at = %s WHERE account_id = %s",
        (stand, at, account),
    )


def change(
    conn: Connection, account: str, before: str, after: str, at: datetime, because: str, by: str
) -> None:
    """The account stands so from now on; the change is kept for good."""
    conn.execute(
        """
        INSERT INTO dunning (account_id, state, since, cycle)
        VALUES (%(a)s, %(after)s, %(at)s, %(at)s)
        ON CONFLICT (account_id) DO UPDATE
        SET state = excluded.state, since = excluded.since, noticed = NULL, noticed_at = NULL,
            cycle = CASE WHEN dunning.state = 'current' THEN excluded.cycle ELSE dunning.cycle END
        """,
        {"a": account, "after": after, "at": at},
    )
    conn.execute(
        """
        INSERT INTO dunning_change (account_id, at, before, after, because, by)
        VALUES (%s, %s, %s, %s, %s, %s)
        """,
        (account, at, before, after, because, by),
    )


def changes(conn: Connection, account: str) -> list[tuple[datetime, str, str, str, str]]:
    """(when, before, after, because, by), the newest first."""
    return conn.execute(
        "SELECT at, before, after, because, by FROM dunning_change WHERE account_id = %s"
        " ORDER BY number DESC",
        (account,),
    ).fetchall()


def is_held(conn: Connection, account: str) -> bool:
    """Suspended or terminated for what it owes: nothing else resumes its items."""
    row = conn.execute(
        "SELECT FROM dunning WHERE account_id = %s AND state IN ('suspended', 'terminated')",
        (account,),
    ).fetchone()
    return row is not None


def items_of(conn: Connection, account: str, now: datetime) -> list[str]:
    """What it rents now."""
    rows = conn.execute(
        "SELECT item_id FROM item JOIN rating_scope USING (scope_id)"
        " WHERE account_id = %s AND valid @> %s ORDER BY 1",
        (account, now),
    ).fetchall()
    return [row[0] for row in rows]


def items_capped(conn: Connection, account: str, items: list[str]) -> set[str]:
    """Those that a budget's cap holds suspended."""
    rows = conn.execute(
        """
        SELECT item FROM (
            SELECT DISTINCT ON (period_start, threshold) kind, body -> 'data' ->> 'item' AS item
            FROM alert_outbox
            WHERE account_id = %s AND scope_id IS NULL AND copy = 0
            AND kind IN ('crossed', 'cleared') AND threshold LIKE 'budget/cap/%%/100\\%%'
            ORDER BY period_start, threshold, number DESC
        ) last WHERE kind = 'crossed'
        """,
        (account,),
    ).fetchall()
    held = {row[0] for row in rows}
    return set(items) if "" in held else held & set(items)
