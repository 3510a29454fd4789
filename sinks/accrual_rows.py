"""Rows of accruals, many in one statement: what is open, what stands, what is written over it.

A row's version is the transaction that wrote it (``xmin``). Whatever changes a row changes that, a
command that makes it due as well as another rater; to lock it does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from pipeline.periods import closed, month, previous
from schemas.billing import Inputs, Scope, Span
from schemas.serial import to_json
from sinks.database import Connection

Key = tuple[str, datetime]
"""Scope and start of the period."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of a scope's period in a snapshot."""

    scope_version: str
    version: str | None
    """None: the period was never rated."""
    as_of: datetime | None
    sealed: bool
    marks: dict[str, Any] | None = None
    """What earlier ratings saw of allowances with a forecast."""


@dataclass(frozen=True, slots=True)
class Row:
    """An accrual as it is to be."""

    scope: str
    inputs: Inputs
    figures: list[dict[str, str]]
    as_of: datetime
    next_eval_at: datetime | None
    standing: Standing
    marks: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.scope, self.inputs.period.start


def open_spans(
    conn: Connection, scopes: Mapping[str, Scope], now: datetime
) -> list[tuple[Scope, Span]]:
    """Where something was rented and nothing is sealed: the current month and the one before.

    A month before those comes along once more when its last rating was before its end, or when a
    command has changed its timelines. Oldest first, by scope.
    """
    recent = {name: _recent(scope, now) for name, scope in scopes.items()}
    rows = conn.execute(
        """
        SELECT a.scope_id, a.period_start, a.period_end
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, start)
        JOIN accrual a ON a.scope_id = w.scope_id AND a.period_end <= w.start
        WHERE a.as_of < a.period_end OR a.next_eval_at <= %s
        """,
        (list(recent), [before.start for before, _ in recent.values()], now),
    ).fetchall()
    spans = {name: list(both) for name, both in recent.items()}
    for name, start, end in rows:
        spans[name].append(Span(start, end))
    return [
        (scopes[name], span)
        for name in sorted(spans)
        for span in sorted(spans[name], key=lambda span: span.start)
        if any(item.valid.clip(span.start, closed(span)) for item in scopes[name].items)
    ]


def _recent(scope: Scope, now: datetime) -> tuple[Span, Span]:
    current = month(now, scope.timezone)
    return previous(current, scope.timezone), current


def standing(conn: Connection, keys: Sequence[Key]) -> dict[Key, Standing]:
    """Of each key whose scope there is."""
    rows = conn.execute(
        """
        SELECT w.scope_id, w.start, c.xmin::text, a.xmin::text, a.as_of, s.scope_id IS NOT NULL,
               a.marks
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, start)
        JOIN rating_scope c USING (scope_id)
        LEFT JOIN accrual a ON a.scope_id = w.scope_id AND a.period_start = w.start
        LEFT JOIN scope_seal s ON s.scope_id = w.scope_id AND s.period_start = w.start
        """,
        _columns(keys),
    )
    return {(scope, start): Standing(*rest) for scope, start, *rest in rows.fetchall()}


def write(conn: Connection, rows: Sequence[Row]) -> dict[Key, int]:
    """Compare-and-swap of each row, in the caller's READ COMMITTED transaction.

    Returns the revisions of those that nobody has changed since their standing was read; these are
    locked from here on, scopes before accruals and each in order, as commands lock them.
    """
    new = [row for row in rows if row.standing.version is None]
    old = [row for row in rows if row.standing.version is not None]
    free = _lock_scopes(conn, new) if new else set()
    held = _lock(conn, old) if old else set()
    written = _update(conn, [row for row in old if row.key in held]) if held else {}
    if free:
        written |= _insert(conn, [row for row in new if row.scope in free])
    return written


def _lock_scopes(conn: Connection, rows: Sequence[Row]) -> set[str]:
    """A command makes the accruals that there are due again; a first one it cannot. So commands on
    the scope wait for it, and it fails where one was given since its snapshot."""
    found = conn.execute(
        """
        SELECT c.scope_id FROM rating_scope c
        JOIN unnest(%s::text[], %s::text[]) AS w (scope_id, version)
          ON w.scope_id = c.scope_id AND w.version = c.xmin::text
        ORDER BY 1 FOR SHARE OF c
        """,
        ([row.scope for row in rows], [row.standing.scope_version for row in rows]),
    )
    return {scope for (scope,) in found.fetchall()}


def _lock(conn: Connection, rows: Sequence[Row]) -> set[Key]:
    found = conn.execute(
        """
        SELECT a.scope_id, a.period_start FROM accrual a
        JOIN unnest(%s::text[], %s::timestamptz[], %s::text[]) AS w (scope_id, start, version)
          ON w.scope_id = a.scope_id AND w.start = a.period_start AND w.version = a.xmin::text
        ORDER BY 1, 2 FOR NO KEY UPDATE OF a
        """,
        (*_columns(row.key for row in rows), [row.standing.version for row in rows]),
    )
    return {(scope, start) for scope, start in found.fetchall()}


def _update(conn: Connection, rows: Sequence[Row]) -> dict[Key, int]:
    found = conn.execute(
        """
        UPDATE accrual a SET as_of = w.as_of, next_eval_at = w.due, revision = a.revision + 1,
                             inputs = %(documents)s::jsonb -> w.place -> 0,
                             figures = %(documents)s::jsonb -> w.place -> 1,
                             marks = %(documents)s::jsonb -> w.place -> 2
        FROM unnest(%(scopes)s::text[], %(starts)s::timestamptz[], %(as_of)s::timestamptz[],
                    %(due)s::timestamptz[], %(places)s::int[])
             AS w (scope_id, start, as_of, due, place)
        WHERE a.scope_id = w.scope_id AND a.period_start = w.start
        RETURNING a.scope_id, a.period_start, a.revision
        """,
        _values(rows),
    )
    return {(scope, start): revision for scope, start, revision in found.fetchall()}


def _insert(conn: Connection, rows: Sequence[Row]) -> dict[Key, int]:
    """A first writer that is not the first finds the primary key taken."""
    found = conn.execute(
        """
        INSERT INTO accrual (scope_id, period_start, period_end, as_of, inputs, figures, marks,
                             next_eval_at)
        SELECT scope_id, start, until, as_of, %(documents)s::jsonb -> place -> 0,
               %(documents)s::jsonb -> place -> 1, %(documents)s::jsonb -> place -> 2, due
        FROM unnest(%(scopes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
                    %(as_of)s::timestamptz[], %(due)s::timestamptz[], %(places)s::int[])
             AS w (scope_id, start, until, as_of, due, place)
        ORDER BY 1, 2 ON CONFLICT DO NOTHING RETURNING scope_id, period_start, revision
        """,
        _values(rows),
    )
    return {(scope, start): revision for scope, start, revision in found.fetchall()}


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[datetime]]:
    pairs = list(keys)
    return [scope for scope, _ in pairs], [start for _, start in pairs]


def _values(rows: Sequence[Row]) -> dict[str, Any]:
    """Inputs and figures as one document: an array of them would be escaped character by
    character, which took longer than to price."""
    scopes, starts = _columns(row.key for row in rows)
    return {
        "scopes": scopes,
        "starts": starts,
        "ends": [row.inputs.period.end for row in rows],
        "as_of": [row.as_of for row in rows],
        "due": [row.next_eval_at for row in rows],
        "places": list(range(len(rows))),
        "documents": Jsonb([(to_json(row.inputs), row.figures, row.marks) for row in rows]),
    }
