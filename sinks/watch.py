"""Looks at the budgets of one account: what is reached, what is lifted, and what has to be said.

Figures come from accruals that were committed before. Who looks holds the account's lock, then
reads: of two ratings of different scopes the later one sees both, so no sum is missed, and none is
told twice. A crash between a rating and the look is found by the sweep: what was seen is noted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from psycopg.types.json import Jsonb

from pipeline.budgets import (
    Action,
    Budget,
    Mark,
    Reached,
    Said,
    amount,
    forecast,
    lifted,
    reached,
    remember,
)
from pipeline.periods import closed, month
from pipeline.rating.figures import Figure
from schemas.serial import from_json, instant_text
from sinks.budget_alerts import RESUME, SUSPEND, Looked, command, taken_back, told
from sinks.budgets import in_force
from sinks.database import Connection
from sinks.dunning import is_held
from sinks.outbox import CLEARED, Alert, Channel, Recipient, enqueue

PAST = timedelta(days=62)
"""A cap of the month before is lifted when the new one begins, also after an outage of weeks."""
_PROVISIONING = (Recipient(Channel.COMMAND),)
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
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('budget'), hashtext(%s))", (account,))
        row = conn.execute(
            f"{_SEEN} WHERE a.account_id = %(account)s", {"now": now, "account": account}
        ).fetchone()
        if row is None or not row[3]:
            return ()
        looked = Looked(account, month(now, row[1]), now, sampled_at)
        budgets = [entry.budget for entry in in_force(conn, account)]
        figures = _figures(conn, looked)
        amounts = {budget.budget: amount(budget, figures) for budget in budgets}
        marks = _marks(row[2] or {}, looked)
        found = [*_reached(conn, looked, budgets, amounts, marks)]
        entered = [*_enter(conn, looked, budgets, found, amounts)]
        _note(conn, looked, row[4], amounts, marks)
    return tuple(entered)


def _figures(conn: Connection, looked: Looked) -> list[Figure]:
    """Of all of the account's scopes; of a percentile what is certain."""
    rows = conn.execute(
        """
        SELECT f FROM accrual a JOIN rating_scope s USING (scope_id)
        CROSS JOIN LATERAL jsonb_array_elements(a.figures) f
        WHERE s.account_id = %s AND a.period_start = %s
        """,
        (looked.account, looked.period.start),
    ).fetchall()
    return [_figure(dict(row[0])) for row in rows]


def _figure(stored: dict[str, Any]) -> Figure:
    certain = stored.pop("certain", None)
    figure = from_json(Figure, stored)
    return figure if certain is None else replace(figure, used=int(certain))


def _reached(
    conn: Connection,
    looked: Looked,
    budgets: list[Budget],
    amounts: dict[int, Fraction],
    marks: dict[int, tuple[Mark, ...]],
) -> Iterator[Reached]:
    said = {name: one for name, (one, _) in _said(conn, looked).items()}
    for budget in budgets:
        now = Mark(looked.now, amounts[budget.budget])
        yield from reached(budget, now.amount, said)
        first = marks.get(budget.budget, (None,))[0]
        ahead = forecast(budget, now, first, closed(looked.period))
        if ahead is not None:
            yield ahead


def _enter(
    conn: Connection,
    looked: Looked,
    budgets: list[Budget],
    found: list[Reached],
    amounts: dict[int, Fraction],
) -> Iterator[Alert]:
    """Crossings first, then what is lifted: an item that another cap holds stays suspended."""
    items = _items(conn, looked)
    for one in found:
        alert = told(one, looked)
        if not enqueue(conn, alert, looked.now):
            continue
        yield alert
        if alert.body["data"]["suspends"]:
            order = command(alert, SUSPEND, _of(one.budget.item, items), looked.now)
            enqueue(conn, order, looked.now, _PROVISIONING)
            yield order
    said = _said(conn, looked)
    down = lifted(budgets, amounts, {name: one for name, (one, _) in said.items()})
    past = _past_caps(conn, looked)
    held = {
        item
        for name, (one, alert) in said.items()
        if one.crossed and name not in down and alert.body["data"]["suspends"]
        for item in _of(alert.body["data"]["item"], items)
    }
    if is_held(conn, looked.account):
        held |= set(items)
    for alert in [*(said[name][1] for name in down), *past]:
        back = taken_back(alert, looked)
        if not enqueue(conn, back, looked.now):
            continue
        yield back
        free = [i for i in _of(alert.body["data"]["item"], items) if i not in held]
        if alert.body["data"]["suspends"] and free:
            order = command(back, RESUME, free, looked.now)
            enqueue(conn, order, looked.now, _PROVISIONING)
            yield order


def _of(item: str, items: list[str]) -> list[str]:
    """The item of a budget, or all of the account's."""
    return [item] if item else items


def _items(conn: Connection, looked: Looked) -> list[str]:
    rows = conn.execute(
        "SELECT item_id FROM item JOIN rating_scope USING (scope_id)"
        " WHERE account_id = %s AND valid @> %s ORDER BY 1",
        (looked.account, looked.now),
    ).fetchall()
    return [row[0] for row in rows]


def _said(conn: Connection, looked: Looked) -> dict[str, tuple[Said, Alert]]:
    """What was last said of each threshold in this period, and how often it was taken back."""
    rows = conn.execute(
        """
        SELECT DISTINCT ON (threshold) account_id, '', period_start, threshold, limit_version,
               kind, body, sampled_at,
               count(*) FILTER (WHERE kind = %(cleared)s) OVER (PARTITION BY threshold)
        FROM alert_outbox
        WHERE account_id = %(account)s AND scope_id IS NULL AND copy = 0
        AND kind IN ('crossed', 'forecast', %(cleared)s) AND period_start = %(start)s
        ORDER BY threshold, number DESC
        """,
        {"account": looked.account, "start": looked.period.start, "cleared": CLEARED},
    ).fetchall()
    alerts = [(Alert(*row[:8]), row[8]) for row in rows]
    return {
        alert.threshold: (Said(alert.kind != CLEARED, alert.limit_version, times), alert)
        for alert, times in alerts
    }


def _past_caps(conn: Connection, looked: Looked) -> list[Alert]:
    """Caps of months before that still hold: a new month begins at zero."""
    rows = conn.execute(
        """
        SELECT DISTINCT ON (period_start, threshold) account_id, '', period_start, threshold,
               limit_version, kind, body, sampled_at
        FROM alert_outbox
        WHERE account_id = %s AND scope_id IS NULL AND copy = 0 AND kind IN ('crossed', %s)
        AND threshold LIKE %s AND period_start < %s AND period_start > %s
        ORDER BY period_start, threshold, number DESC
        """,
        (looked.account, CLEARED, f"budget/{Action.CAP}/%/100\\%", looked.period.start,
         looked.period.start - PAST),
    ).fetchall()  # fmt: skip
    return [alert for alert in (Alert(*row) for row in rows) if alert.kind != CLEARED]


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
    amounts: dict[int, Fraction],
    marks: dict[int, tuple[Mark, ...]],
) -> None:
    kept = {
        str(budget): [
            (instant_text(mark.at), str(mark.amount))
            for mark in remember(marks.get(budget, ()), Mark(looked.now, now))
        ]
        for budget, now in amounts.items()
    }
    conn.execute(
        """
        INSERT INTO budget_watch (account_id, seen, marks) VALUES (%s, %s, %s)
        ON CONFLICT (account_id) DO UPDATE SET seen = excluded.seen, marks = excluded.marks
        """,
        (looked.account, seen, Jsonb(kept)),
    )
