"""The rater's transactions: what open periods have come to, and who is to be told.

An accrual stores pricing inputs; beside them, as of the same instant, what they come to, for
display only. Many scopes are rated together. Two raters of one scope cannot mix: each reads in one
snapshot, and of two that overlap the later writer of a period starts again with what the other has
left, that period alone. A crossing is entered once, whoever finds it and however often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg import errors

from pipeline.periods import month
from pipeline.thresholds import Crossing
from schemas.billing import Inputs, Scope, Span
from schemas.errors import RefusedError
from schemas.serial import from_json
from sinks.accrual_rows import Key, open_spans, standing, write
from sinks.accrual_work import Found, Spans, read, work_out
from sinks.database import Connection
from sinks.outbox import Alert, enqueue_all
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


@dataclass(frozen=True, slots=True)
class Ratings:
    """What became of many scopes. One that fails keeps nobody else from being rated."""

    rated: tuple[Rated, ...]
    failed: Mapping[str, Exception]


def rate_many(conn: Connection, wanted: Mapping[str, datetime], now: datetime) -> Ratings:
    """Rates the open periods of scopes; `wanted` has the time of the newest reading of each.

    Scopes that there are not are left out. Where they cannot be rated together, they are in halves,
    until whoever is to blame is alone. A database that is away raises.
    """
    try:
        return _rate(conn, wanted, now, lambda conn, scopes: open_spans(conn, scopes, now))
    except Exception as error:
        if _away(conn, error):
            raise
        if len(wanted) == 1:
            return Ratings((), dict.fromkeys(wanted, error))
    names = sorted(wanted)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    one, other = (rate_many(conn, {name: wanted[name] for name in half}, now) for half in halves)
    return Ratings(one.rated + other.rated, {**one.failed, **other.failed})


def rate_open(
    conn: Connection, scope_id: str, now: datetime, sampled_at: datetime
) -> tuple[Rated, ...]:
    """Rates what is not sealed, oldest first: usage may still come for the month before."""

    def spans(conn: Connection, scopes: Mapping[str, Scope]) -> list[tuple[Scope, Span]]:
        return open_spans(conn, {scope_id: _existing(scopes, scope_id)}, now)

    return _one(_rate(conn, {scope_id: sampled_at}, now, spans))


def rate_scope(
    conn: Connection,
    scope_id: str,
    now: datetime,
    sampled_at: datetime,
    *,
    period: Span | None = None,
) -> Rated | None:
    """Rates one period (the month of `now` when none is given); None when it is sealed."""

    def span(_conn: Connection, scopes: Mapping[str, Scope]) -> list[tuple[Scope, Span]]:
        scope = _existing(scopes, scope_id)
        return [(scope, period or month(now, scope.timezone))]

    return next(iter(_one(_rate(conn, {scope_id: sampled_at}, now, span))), None)


def _existing(scopes: Mapping[str, Scope], scope_id: str) -> Scope:
    if scope_id not in scopes:
        raise RefusedError(f"There is no rating scope {scope_id}.")
    return scopes[scope_id]


def _one(found: Ratings) -> tuple[Rated, ...]:
    for error in found.failed.values():
        raise error
    return found.rated


def open_periods(conn: Connection, scope_id: str, now: datetime) -> list[Span]:
    """Where something was rented and nothing is sealed, oldest first (accrual_rows.open_spans)."""
    spans = [span for _, span in open_spans(conn, {scope_id: load_scope(conn, scope_id)}, now)]
    found = standing(conn, [(scope_id, span.start) for span in spans])
    return [span for span in spans if not found[scope_id, span.start].sealed]


def _away(conn: Connection, error: Exception) -> bool:
    """The database's affair, whatever scopes are rated. A time-out is not: fewer are faster."""
    away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return conn.closed or conn.broken or (away and not isinstance(error, errors.QueryCanceled))


def _rate(conn: Connection, wanted: Mapping[str, datetime], now: datetime, spans: Spans) -> Ratings:
    """Begins with no transaction open and leaves none.

    1. Read timelines, ledger and accruals in one snapshot. A crash up to 4 changes nothing.
    2. Work out what they come to, with no transaction open.
    3. Write each accrual that is still the one read. What another rater, or a command, has changed
       since is read again from 1, without the others.
    4. Enter the crossings of those written. One that stands there already stays as it is.
    5. Commit. A crash before it leaves neither accruals nor events, after it both. When its answer
       is lost, rating again finds the same crossings under the same identity.
    """
    rated: list[Rated] = []
    lost: set[Key] | None = None
    for _ in range(ATTEMPTS):
        names = sorted(wanted if lost is None else {scope for scope, _ in lost})
        with conn.transaction():  # 1
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            shown = read(conn, names, now, spans, lost)
        found = [work_out(one, wanted[one.scope.scope]) for one in shown]  # 2
        rated += _enter(conn, found, now)  # 3 to 5
        lost = {one.row.key for one in found} - {
            (r.scope.scope, r.inputs.period.start) for r in rated
        }
        if not lost:
            return Ratings(tuple(rated), {})
    return Ratings(
        tuple(rated),
        {
            scope: RefusedError(f"Scope {scope} is being rated by others all the time: try again.")
            for scope, _ in sorted(lost or ())
        },
    )


def _enter(conn: Connection, found: Sequence[Found], now: datetime) -> list[Rated]:
    """Steps 3 to 5; those that were overtaken are left out."""
    if not found:
        return []
    try:
        with conn.transaction():
            revisions = write(conn, [one.row for one in found])
            won = [one for one in found if one.row.key in revisions]
            entered = enqueue_all(conn, [alert for one in won for alert in one.alerts], now)
    except (errors.SerializationFailure, errors.DeadlockDetected):
        return []
    return [
        Rated(
            one.read.scope,
            one.read.inputs,
            one.read.as_of,
            one.crossings,
            tuple(alert for alert in one.alerts if alert.alert_id in entered),
            one.row.next_eval_at,
            revisions[one.row.key],
        )
        for one in won
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
    return load_accruals(conn, [scope_id], period_start).get(scope_id)


def load_accruals(
    conn: Connection, scopes: Sequence[str], period_start: datetime
) -> dict[str, tuple[Inputs, datetime]]:
    """The same of many scopes; those that were never rated are left out."""
    rows = conn.execute(
        "SELECT scope_id, inputs, as_of FROM accrual"
        " WHERE scope_id = ANY(%s) AND period_start = %s",
        (list(scopes), period_start),
    )
    return {scope: (from_json(Inputs, inputs), as_of) for scope, inputs, as_of in rows}
