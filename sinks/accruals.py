"""The rater's transaction: what a scope's open period has come to, and who is to be told.

An accrual stores pricing inputs; beside them, as of the same instant, what they come to, for
display only. Two raters of one scope cannot mix: each reads and
writes in one snapshot, and of two that overlap the later writer starts again with what the other
has left. A crossing is entered once, whoever finds it and however often.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import errors
from psycopg.types.json import Jsonb

from pipeline.certain import certain
from pipeline.periods import closed, month, previous
from pipeline.rating.figures import figures
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from pipeline.thresholds import Crossing, crossings
from schemas.billing import Inputs, Scope, Span
from schemas.errors import RefusedError
from schemas.serial import from_json, to_json
from sinks.alerts import cleared, crossed
from sinks.database import Connection
from sinks.outbox import Alert, announcements, enqueue
from sinks.queries import usage_inputs
from sinks.scopes import load_scope

ATTEMPTS = 8
"""Each lost race means that somebody else has finished; eight in a row mean something is wrong."""
HINT_HORIZON = timedelta(days=62)
"""Servers' scopes of this long ago still get hints: the open month and the one before it."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A period as it was rated; `entered` are the events that this rating was the first to find."""

    scope: Scope
    inputs: Inputs
    as_of: datetime
    crossings: tuple[Crossing, ...]
    entered: tuple[Alert, ...]
    next_eval_at: datetime | None
    revision: int


def rate_open(
    conn: Connection, scope_id: str, now: datetime, sampled_at: datetime
) -> tuple[Rated, ...]:
    """Rates what is not sealed, oldest first: usage may still come for the month before."""
    with conn.transaction():
        periods = open_periods(conn, scope_id, now)
    return tuple(
        rated
        for period in periods
        if (rated := rate_scope(conn, scope_id, now, sampled_at, period=period)) is not None
    )


def open_periods(conn: Connection, scope_id: str, now: datetime) -> list[Span]:
    """Where something was rented and nothing is sealed: the current month and the one before.

    A month before those comes along once more when its last rating was before its end, or when a
    command has changed its timelines.
    """
    scope = load_scope(conn, scope_id)
    current = month(now, scope.timezone)
    before = previous(current, scope.timezone)
    sealed = conn.execute(
        "SELECT period_start FROM scope_seal WHERE scope_id = %s", (scope_id,)
    ).fetchall()
    unfinished = conn.execute(
        """
        SELECT period_start, period_end FROM accrual
        WHERE scope_id = %s AND period_end <= %s
          AND (as_of < period_end OR next_eval_at <= %s) ORDER BY period_start
        """,
        (scope_id, before.start, now),
    ).fetchall()
    return [
        period
        for period in (*(Span(*row) for row in unfinished), before, current)
        if (period.start,) not in sealed
        and any(item.valid.clip(period.start, closed(period)) for item in scope.items)
    ]


def rate_scope(
    conn: Connection,
    scope_id: str,
    now: datetime,
    sampled_at: datetime,
    *,
    period: Span | None = None,
) -> Rated | None:
    """Rates one period (the month of `now` when none is given); None when it is sealed.

    Begins with no transaction open and leaves none. One snapshot and one commit:

    1. Read the accrual's revision, the timelines and the ledger. A crash here changes nothing.
    2. Write the accrual where its revision is still the one read. Another rater that has written
       since our snapshot makes this fail, and everything starts again from 1.
    3. Enter the crossings. One that stands there already stays as it is.
    4. Commit. A crash before it leaves neither accrual nor event, after it both. When its answer
       is lost, rating again finds the same crossings under the same identity.
    """
    for _ in range(ATTEMPTS):
        try:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return _rate(conn, scope_id, now, sampled_at, period)
        except (errors.SerializationFailure, errors.DeadlockDetected, _RaceLostError):
            continue
    raise RefusedError(f"Scope {scope_id} is being rated by others all the time: try again.")


class _RaceLostError(Exception):
    """The revision is no longer the one read."""


def _rate(
    conn: Connection, scope_id: str, now: datetime, sampled_at: datetime, wanted: Span | None
) -> Rated | None:
    scope = load_scope(conn, scope_id)
    period = wanted or month(now, scope.timezone)
    stored = conn.execute(
        """
        SELECT revision, as_of,
               EXISTS (SELECT FROM scope_seal s
                       WHERE s.scope_id = %(scope)s AND s.period_start = %(start)s)
        FROM (VALUES (1)) one LEFT JOIN accrual a
          ON a.scope_id = %(scope)s AND a.period_start = %(start)s
        """,
        {"scope": scope_id, "start": period.start},
    ).fetchone()
    revision, stored_as_of, sealed = stored or (None, None, False)
    if sealed:
        return None
    # Clocks differ between machines; an accrual never goes back in time.
    as_of = min(max(now, stored_as_of or now), closed(period))
    inputs = usage_inputs(conn, scope, period, as_of)
    due = next_eval_at(scope, inputs, as_of) if as_of < closed(period) else None
    written = _write(conn, scope, inputs, as_of, due, revision)
    found = crossings(scope, inputs, as_of)
    announced = announcements(conn, scope_id, period.start)
    alerts = [crossed(scope, period, crossing, sampled_at) for crossing in found]
    alerts += cleared(announced, found, sampled_at)
    entered = tuple(alert for alert in alerts if enqueue(conn, alert, now))
    return Rated(scope, inputs, as_of, found, entered, due, written)


def _write(
    conn: Connection,
    scope: Scope,
    inputs: Inputs,
    as_of: datetime,
    due: datetime | None,
    revision: int | None,
) -> int:
    """Compare-and-swap; a first writer that is not the first hits the primary key.

    A command makes the accruals that there are due again. So a first one is written while commands
    on the scope wait, and fails here when one was given since its snapshot.
    """
    values = {
        "scope": scope.scope,
        "start": inputs.period.start,
        "end": inputs.period.end,
        "as_of": as_of,
        "inputs": Jsonb(to_json(inputs)),
        "figures": Jsonb(_figures(scope, inputs, as_of)),
        "due": due,
        "revision": revision,
    }
    if revision is None:
        conn.execute("SELECT FROM rating_scope WHERE scope_id = %s FOR SHARE", (scope.scope,))
        row = conn.execute(
            """
            INSERT INTO accrual
                (scope_id, period_start, period_end, as_of, inputs, figures, next_eval_at)
            VALUES (%(scope)s, %(start)s, %(end)s, %(as_of)s, %(inputs)s, %(figures)s, %(due)s)
            ON CONFLICT DO NOTHING RETURNING revision
            """,
            values,
        ).fetchone()
    else:
        row = conn.execute(
            """
            UPDATE accrual SET as_of = %(as_of)s, inputs = %(inputs)s, figures = %(figures)s,
                               next_eval_at = %(due)s, revision = revision + 1
            WHERE scope_id = %(scope)s AND period_start = %(start)s AND revision = %(revision)s
            RETURNING revision
            """,
            values,
        ).fetchone()
    if row is None:
        raise _RaceLostError
    return int(row[0])


def _figures(scope: Scope, inputs: Inputs, as_of: datetime) -> list[dict[str, str]]:
    """What each charge has come to; of a percentile also what is certain."""
    sure = certain(scope, inputs)
    return [
        to_json(figure) | ({"certain": str(sure[key])} if key in sure else {})
        for figure in figures(scope, price(scope, inputs, as_of))
        for key in ((figure.item, figure.charge),)
    ]


def due_scopes(conn: Connection, now: datetime, limit: int) -> list[str]:
    """Scopes to be rated without a hint, the longest waiting first.

    Those whose price time alone has changed, and those with a rented item and no accrual of a
    period that reaches beyond `now`: a silent server's new month, or one that never reported.
    """
    rows = conn.execute(
        """
        SELECT scope_id FROM (
            SELECT a.scope_id, a.next_eval_at AS due FROM accrual a
            WHERE a.next_eval_at <= %(now)s AND NOT EXISTS (
                SELECT FROM scope_seal s
                WHERE s.scope_id = a.scope_id AND s.period_start = a.period_start)
            UNION ALL
            SELECT i.scope_id, lower(i.valid) FROM item i
            WHERE i.valid @> %(now)s AND NOT EXISTS (
                SELECT FROM accrual a
                WHERE a.scope_id = i.scope_id AND a.period_end > %(now)s)
        ) due GROUP BY scope_id ORDER BY min(due), scope_id LIMIT %(limit)s
        """,
        {"now": now, "limit": limit},
    ).fetchall()
    return [row[0] for row in rows]


def load_accrual(
    conn: Connection, scope_id: str, period_start: datetime
) -> tuple[Inputs, datetime] | None:
    """The stored inputs of a period and their `as_of`, or None when it was never rated."""
    row = conn.execute(
        "SELECT inputs, as_of FROM accrual WHERE scope_id = %s AND period_start = %s",
        (scope_id, period_start),
    ).fetchone()
    return None if row is None else (from_json(Inputs, row[0]), row[1])
