"""Time of an item that counts otherwise: trial, suspension, exclusion, maintenance.

Commands as in sinks.timelines. What such time costs is said by each charge (`free` of
schemas.prices.Charge), and a close takes it as the reason why a server was silent. Its rows are
what all commands so far come to, in whatever order they were given (pipeline.told).
"""

from collections.abc import Sequence
from datetime import datetime

from pipeline.told import Told, in_force
from schemas.billing import Span
from schemas.errors import RefusedError
from schemas.prices import IntervalKind
from sinks.changes import NOBODY, Answer, Order, enter, scopes_of, utc
from sinks.database import Connection
from sinks.timeline_rows import lock_item, refuse_outside


def suspend(
    conn: Connection,
    item: str,
    *,
    at: datetime,
    entered_at: datetime | None,
    until: datetime | None = None,
    kind: IntervalKind = IntervalKind.SUSPENSION,
    order: Order = NOBODY,
) -> Answer:
    """The item's time counts as `kind` from `at` until `until`, or until it is resumed.

    False inside what is in force; what it overlaps, it prolongs.
    """
    span = Span(utc(at), None if until is None else utc(until))
    if span.end is not None and span.end <= span.start:
        raise RefusedError(
            f"It would begin at {span.start.isoformat()} and end at {span.end.isoformat()}:"
            " give an end that is later."
        )

    def do(entered: datetime) -> bool | None:
        refuse_outside(lock_item(conn, item), span.start)
        told = _told(conn, item, kind)
        new = Told(span.start, begins=True, until=span.end, why=order.why)
        if new.again(told):
            return False
        return _tell(conn, item, kind, [*told, new], entered)

    content = {
        "item": item, "kind": kind, "until": None if span.end is None else span.end.isoformat(),
    }  # fmt: skip
    return enter(conn, order, "suspend", content, scopes_of(conn, [item]), at, entered_at, do)


def resume(
    conn: Connection,
    item: str,
    *,
    at: datetime,
    entered_at: datetime | None,
    kind: IntervalKind = IntervalKind.SUSPENSION,
    order: Order = NOBODY,
) -> Answer:
    """The item's suspension, or interval of another kind, ends at `at`.

    One that begins there is taken back. False where one ended there, or was taken back.
    """
    now = utc(at)

    def do(entered: datetime) -> bool | None:
        lock_item(conn, item)
        told = _told(conn, item, kind)
        new = Told(now, begins=False)
        if new.again(told):
            return False
        before = [span for span, _ in in_force(told)]
        if not any(span.holds(now) or span.end == now for span in before):
            raise RefusedError(f"Item {item} has no {kind} at {now.isoformat()}.")
        return _tell(conn, item, kind, [*told, new], entered)

    content = {"item": item, "kind": kind}
    return enter(conn, order, "resume", content, scopes_of(conn, [item]), at, entered_at, do)


def interval_at(conn: Connection, item: str, kind: IntervalKind, at: datetime) -> Span | None:
    """The interval of that kind in which an instant lies."""
    row = conn.execute(
        "SELECT lower(valid), upper(valid) FROM item_interval"
        " WHERE item_id = %s AND kind = %s AND valid @> %s",
        (item, kind, at),
    ).fetchone()
    return None if row is None else Span(*row)


def _told(conn: Connection, item: str, kind: IntervalKind) -> list[Told]:
    """What was said of this kind of the item's intervals, in the order in which it was given.

    Commands, after rows that no command wrote and that none but commands have changed.
    """
    wanted = {"scopes": scopes_of(conn, [item]), "item": item, "kind": kind}
    rows = conn.execute(
        """
        SELECT lower(valid), true, upper(valid), reason, 0 AS number FROM item_interval
        WHERE item_id = %(item)s AND kind = %(kind)s AND change_id IS NULL
        UNION ALL
        SELECT lower(valid), true, upper(valid), reason, 0 FROM item_interval_past
        WHERE item_id = %(item)s AND kind = %(kind)s AND change_id IS NULL
          AND superseded_by IS NOT NULL
        UNION ALL
        SELECT at, command = 'suspend', (content ->> 'until')::timestamptz, reason, change_id
        FROM timeline_change
        WHERE scopes && %(scopes)s AND command IN ('suspend', 'resume')
          AND content ->> 'item' = %(item)s AND content ->> 'kind' = %(kind)s
        ORDER BY number
        """,
        wanted,
    ).fetchall()
    return [Told(*row) for *row, _ in rows]


def _tell(
    conn: Connection, item: str, kind: IntervalKind, told: Sequence[Told], entered: datetime
) -> bool | None:
    """The rows become what was told comes to; None where it came to that before."""
    wanted = in_force(told)
    starts, ends = [span.start for span, _ in wanted], [span.end for span, _ in wanted]
    gone = conn.execute(
        """
        DELETE FROM item_interval i WHERE item_id = %s AND kind = %s AND NOT EXISTS (
            SELECT FROM unnest(%s::timestamptz[], %s::timestamptz[]) AS w (low, high)
            WHERE i.valid = tstzrange(low, high, '[)'))
        """,
        (item, kind, starts, ends),
    ).rowcount
    come = conn.execute(
        """
        INSERT INTO item_interval (item_id, kind, valid, reason, entered_at)
        SELECT %s, %s, tstzrange(low, high, '[)'), why, %s
        FROM unnest(%s::timestamptz[], %s::timestamptz[], %s::text[]) AS w (low, high, why)
        ON CONFLICT DO NOTHING
        """,
        (item, kind, entered, starts, ends, [why for _, why in wanted]),
    ).rowcount
    return True if gone or come else None
