"""Looks at the budgets of one account: what is reached, what is lifted, and what has to be said.

Figures come from accruals that were committed before. Who looks holds the account's lock, then
reads: of two ratings of different scopes the later one sees both, so no sum is missed, and none is
told twice. A crash between a rating and the look is found by the sweep: what was seen is noted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from psycopg.types.json import Jsonb

from pipeline.budgets import (
    Because,
    Budget,
    Come,
    Counted,
    Lifted,
    Mark,
    Reached,
    Said,
    come,
    forecast,
    lifted,
    reached,
    remember,
)
from pipeline.periods import closed, month
from pipeline.rating.figures import Figure
from schemas.serial import from_json, instant_text
from sinks.budget_alerts import Looked, told
from sinks.budgets import in_force
from sinks.caps import holding, lift, suspend
from sinks.commands import lock
from sinks.database import Connection
from sinks.outbox import Alert, enqueue
from sinks.said import past_caps, said_of

_SEEN = """
    SELECT a.account_id, a.timezone, w.marks, w.seen IS DISTINCT FROM s.seen, s.seen
    FROM (SELECT account_id FROM budget WHERE ended_at IS NULL
          UNION SELECT account_id FROM budget_watch) b
    JOIN account a USING (account_id)
    LEFT JOIN budget_watch w USING (account_id)
    CROSS JOIN LATERAL (SELECT concat_ws(' ',
        date_trunc('month', %(now)s AT TIME ZONE a.timezone)::date,
        (SELECT string_agg(budget_id::text, ',' ORDER BY budget_id) FROM budget i
         WHERE i.account_id = a.account_id AND i.ended_at IS NULL),
        (SELECT sum(r.revision) FROM rating_scope c JOIN accrual r USING (scope_id)
         WHERE c.account_id = a.account_id AND r.period_start <= %(now)s AND r.period_end > %(now)s)
    )) s (seen)
"""


def due_accounts(
    conn: Connection, now: datetime, accounts: Sequence[str] | None = None
) -> list[str]:
    """Accounts, of those given, with budgets that nobody has looked at since something changed."""
    wanted = None if accounts is None else list(accounts)
    rows = conn.execute(
        f"{_SEEN} WHERE %(of)s::text[] IS NULL OR a.account_id = ANY(%(of)s) ORDER BY 1",
        {"now": now, "of": wanted},
    ).fetchall()
    return [account for account, _, _, due, _ in rows if due]


def look(conn: Connection, account: str, now: datetime, sampled_at: datetime) -> tuple[Alert, ...]:
    """What was said now for the first time; () where the account has no budget.

    1. Take the account's lock, then read. A crash here changes nothing.
    2. Enter what is reached and what is lifted, with its commands.
    3. Note what was seen, commit. A crash before it leaves nothing; looking again finds the same.
    """
    with conn.transaction():
        lock(conn, account)
        row = conn.execute(
            f"{_SEEN} WHERE a.account_id = %(account)s", {"now": now, "account": account}
        ).fetchone()
        if row is None or not row[3]:
            return ()
        period = month(now, row[1])
        figures = _figures(conn, account, period.start)
        budgets = [entry.budget for entry in in_force(conn, account)]
        came = {budget.budget: come(budget, figures) for budget in budgets}
        stands = {budget: one.stands for budget, one in came.items()}
        looked = Looked(account, period, now, sampled_at, stands)
        marks = _marks(row[2] or {}, looked)
        entered = [*_enter(conn, looked, budgets, came, marks)]
        _note(conn, looked, row[4], came, marks)
    return tuple(entered)


def _figures(conn: Connection, account: str, start: datetime) -> list[Counted]:
    """Of all of the account's scopes, in the period from ``start`` on."""
    rows = conn.execute(
        """
        SELECT f FROM accrual a JOIN rating_scope s USING (scope_id)
        CROSS JOIN LATERAL jsonb_array_elements(a.figures) f
        WHERE s.account_id = %s AND a.period_start = %s
        """,
        (account, start),
    ).fetchall()
    return [_counted(dict(row[0])) for row in rows]


def _counted(stored: dict[str, Any]) -> Counted:
    """As ``accrual_work`` writes them."""
    used, net, pace = (stored.pop(name, None) for name in ("certain", "certain_net", "pace"))
    stands = certain = from_json(Figure, stored)
    if used is not None:
        certain = replace(certain, used=int(used))
    if net is not None:
        certain = replace(certain, net=Decimal(net))
    return Counted(stands, certain, paced=pace is None)


def _reached(
    looked: Looked,
    budgets: list[Budget],
    came: dict[int, Come],
    marks: dict[int, tuple[Mark, ...]],
    said: Mapping[str, Said],
) -> Iterator[Reached]:
    for budget in budgets:
        now, first = came[budget.budget], marks.get(budget.budget, (None,))[0]
        yield from reached(budget, now.amount, said)
        mark, besides = Mark(looked.now, now.paced), now.amount - now.paced
        ahead = forecast(budget, mark, first, closed(looked.period), besides)
        if ahead is not None:
            yield ahead


def _enter(
    conn: Connection,
    looked: Looked,
    budgets: list[Budget],
    came: dict[int, Come],
    marks: dict[int, tuple[Mark, ...]],
) -> Iterator[Alert]:
    """Crossings, then what they suspend, then what is lifted: what another cap holds stays so."""
    before = said_of(conn, looked.account, looked.period.start)
    for found in _reached(looked, budgets, came, marks, _only_said(before)):
        alert = told(found, looked)
        if enqueue(conn, alert, looked.now):
            yield alert
    said = said_of(conn, looked.account, looked.period.start)
    amounts = {budget: one.amount for budget, one in came.items()}
    down = lifted(budgets, amounts, _only_said(said))
    fallen = {one.threshold for one in down}
    standing = [said[name][1] for name in said if said[name][0].crossed and name not in fallen]
    caps = holding(conn, looked, standing)
    yield from suspend(conn, looked, caps)
    for one in down:
        yield from lift(conn, looked, one, said[one.threshold][1], caps)
    for alert in past_caps(conn, looked.account, looked.period.start):
        yield from lift(conn, looked, Lifted(alert.threshold, Because.MONTH), alert, caps)


def _only_said(told: Mapping[str, tuple[Said, Alert]]) -> dict[str, Said]:
    return {name: said for name, (said, _) in told.items()}


def _marks(stored: dict[str, Any], looked: Looked) -> dict[int, tuple[Mark, ...]]:
    """Those of this period; what was before its start says nothing about it."""
    found: dict[int, tuple[Mark, ...]] = {}
    for budget, marks in stored.items():
        read = (Mark(datetime.fromisoformat(at), Fraction(text)) for at, text in marks)
        found[int(budget)] = tuple(mark for mark in read if mark.at >= looked.period.start)
    return {budget: marks for budget, marks in found.items() if marks}


def _note(
    conn: Connection,
    looked: Looked,
    seen: str,
    came: dict[int, Come],
    marks: dict[int, tuple[Mark, ...]],
) -> None:
    kept = {
        str(budget): [
            (instant_text(mark.at), str(mark.amount))
            for mark in remember(marks.get(budget, ()), Mark(looked.now, now.paced))
        ]
        for budget, now in came.items()
    }
    conn.execute(
        """
        INSERT INTO budget_watch (account_id, seen, marks) VALUES (%s, %s, %s)
        ON CONFLICT (account_id) DO UPDATE SET seen = excluded.seen, marks = excluded.marks
        """,
        (looked.account, seen, Jsonb(kept)),
    )
