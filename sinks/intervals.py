"""Time of an item that counts otherwise: trial, suspension, exclusion, maintenance.

Commands as in sinks.timelines. What such time costs is said by each charge (`free` of
schemas.prices.Charge), and a close takes it as the reason why a server was silent.
"""

from datetime import datetime

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
    """The item's time counts as `kind` from `at` until `until`, or until it is resumed."""
    span = Span(utc(at), None if until is None else utc(until))
    if span.end is not None and span.end <= span.start:
        raise RefusedError(
            f"It would end at {span.end.isoformat()}, before {span.start.isoformat()}."
        )

    def do(entered: datetime) -> bool:
        refuse_outside(lock_item(conn, item), span.start)
        found = conn.execute(
            """
            SELECT lower(valid), upper(valid) FROM item_interval
            WHERE item_id = %s AND kind = %s AND valid && tstzrange(%s, %s, '[)')
            """,
            (item, kind, span.start, span.end),
        ).fetchone()
        if found == (span.start, span.end):
            return False
        if found is not None:
            low, high = found
            to = "until it is resumed" if high is None else f"to {high.isoformat()}"
            raise RefusedError(f"Item {item} has a {kind} from {low.isoformat()} {to} already.")
        conn.execute(
            "INSERT INTO item_interval (item_id, kind, valid, reason, entered_at)"
            " VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s, %s)",
            (item, kind, span.start, span.end, order.why, entered),
        )
        return True

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
    """The item's suspension, or interval of another kind, ends at `at`."""
    now = utc(at)

    def do(_: datetime) -> bool:
        lock_item(conn, item)
        found = conn.execute(
            """
            SELECT upper(valid) FROM item_interval
            WHERE item_id = %s AND kind = %s AND lower(valid) <= %s
              AND (upper_inf(valid) OR upper(valid) >= %s)
            """,
            (item, kind, now, now),
        ).fetchone()
        if found is None:
            raise RefusedError(f"Item {item} has no {kind} at {now.isoformat()}.")
        if found[0] == now:
            return False
        conn.execute(
            "DELETE FROM item_interval WHERE item_id = %s AND kind = %s AND lower(valid) = %s",
            (item, kind, now),
        )
        conn.execute(
            """
            UPDATE item_interval SET valid = tstzrange(lower(valid), %s, '[)')
            WHERE item_id = %s AND kind = %s AND valid @> %s
            """,
            (now, item, kind, now),
        )
        return True

    content = {"item": item, "kind": kind}
    return enter(conn, order, "resume", content, scopes_of(conn, [item]), at, entered_at, do)
