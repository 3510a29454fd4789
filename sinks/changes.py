"""A command on the timelines: one transaction, written down with who and why, safe to repeat.

Commands are rare, so one goes at a time; what they change is kept by the database's own triggers
(0009_timelines.sql). Raters of the scopes it touches are made to look again, and sealed periods
that it comes too late for are noted: the next close looks at them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.queries import EPOCH, WIDTH
from sinks.store.marks import marks

LOCK_KEY: Final = 0x7469_6D65_6C69_6E65  # "timeline": the advisory lock of all commands
PRICES: Final = ("catalog apply", "contract apply")
"""Commands about prices; the others are about who had what."""
DUE_SQL: Final = """
    UPDATE accrual SET next_eval_at = least(next_eval_at, %(entered)s)
    WHERE (scope_id, period_start) IN (
        SELECT scope_id, period_start FROM accrual a
        WHERE scope_id = ANY(%(scopes)s) AND period_end > %(at)s
          AND NOT EXISTS (SELECT FROM scope_seal s
                          WHERE s.scope_id = a.scope_id AND s.period_start = a.period_start)
        ORDER BY 1, 2 FOR NO KEY UPDATE)
"""
NEIGHBOURS_SQL: Final = """
    SELECT DISTINCT i.scope_id FROM (
        SELECT server_id, valid FROM assignment WHERE change_id = %(change)s
        UNION ALL
        SELECT server_id, valid FROM assignment_past WHERE superseded_by = %(change)s
    ) c
    JOIN assignment a ON a.server_id = c.server_id AND a.valid && tstzrange(
        date_bin(%(width)s, lower(c.valid), %(epoch)s),
        date_bin(%(width)s, upper(c.valid) - '1us'::interval, %(epoch)s) + %(width)s)
    JOIN item i USING (item_id)
"""
"""Scopes that share a window with what was changed: its division among them changes by a unit."""
LATE_SQL: Final = """
    SELECT scope_id, period_start FROM scope_seal
    WHERE scope_id = ANY(%(scopes)s) AND (period_end > %(at)s OR period_end = %(at)s AND EXISTS (
        SELECT FROM item i JOIN item_price p USING (item_id)
        WHERE i.scope_id = scope_seal.scope_id AND upper(i.valid) = %(at)s
          AND upper(p.valid) = %(at)s AND p.price->'quantity'->>'bill' = 'advance'))
    ORDER BY 1, 2
"""
"""Sealed periods that a command concerns: those that end after it, and where a rental ends with
one, that one's invoice too, which has billed the next fee in advance.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """Who gives a command and why. With a request id it may be given again, whatever happened."""

    by: str = "rackmeter"
    why: str = ""
    request: str | None = None
    now: bool = False
    """Its time was not given: repeating it later is the same command."""


NOBODY: Final = Order()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command did; true when anything changed."""

    changed: bool
    at: datetime
    scopes: tuple[str, ...] = ()
    """Whose figures it may have changed."""
    late: tuple[tuple[str, datetime], ...] = ()
    """Sealed (scope, start of period) that it came too late for."""
    repeated: bool = field(default=False, compare=False)
    """It is the answer that this request id got before."""

    def __bool__(self) -> bool:
        return self.changed


def enter(
    conn: Connection,
    order: Order,
    command: str,
    content: Mapping[str, Any],
    scopes: Sequence[str],
    at: datetime,
    entered_at: datetime | None,
    do: Callable[[datetime], bool | None],
) -> Answer:
    """Runs ``do(entered_at)`` as one command on ``scopes``; without ``entered_at`` it is now.

    1. Wait for the lock of all commands. A crash from here to the end: nothing has happened.
    2. A request id that is known: its answer, if the content is the same, and nothing else.
    3. Lock the scopes, in order: a close of them is finished or has not begun.
    4. ``do``. False means that it was so already; without a request id nothing is kept of that.
       None: it was so already, but is kept, since what is told later may rest on it.
    5. Make the raters look again, note sealed periods, write down the command, for the audit
       trail too: whatever is kept, also where nothing follows from it yet.

    Refuses a time whose windows retention has dropped: they can be given to nobody else any more.
    """
    at = utc(at)
    content = {**content, "at": "now" if order.now else at.isoformat()}
    with conn.transaction():
        lock_commands(conn)
        if order.request is not None:
            known = _answered(conn, order.request, command, content)
            if known is not None:
                return known
        _refuse_dropped(conn, at)
        change, entered = _begin(conn, scopes, entered_at)
        done = do(entered)
        conn.execute("SELECT set_config('rackmeter.change', '', true)")
        asked = tuple(scopes) if done is None else ()
        answer = _finish(conn, change, entered, scopes, at) if done else Answer(False, at, asked)
        kept = done is not False
        if kept or order.request is not None:
            _write(conn, change, order, command, content, entered, answer)
        if kept and "item" in content:  # publishing a price list is told once, by who does it
            record(conn, _act(conn, order, command, content, entered, answer))
    return answer


def lock_commands(conn: Connection) -> None:
    """No other command until the transaction ends."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))


def make_due(conn: Connection, scopes: Sequence[str], at: datetime, entered_at: datetime) -> None:
    """Whoever rates looks again at what is not sealed of these scopes and ends after `at`."""
    conn.execute(DUE_SQL, {"scopes": list(scopes), "at": at, "entered": entered_at})


def scopes_of(conn: Connection, items: Sequence[str]) -> list[str]:
    """The scopes of items, in order; refuses an item that there is not."""
    rows = conn.execute(
        "SELECT item_id, scope_id FROM item WHERE item_id = ANY(%s)", (list(items),)
    ).fetchall()
    found: dict[str, str] = dict(rows)
    for item in items:
        if item not in found:
            raise RefusedError(f"There is no item {item}.")
    return sorted(set(found.values()))


def utc(at: datetime) -> datetime:
    """The same instant in UTC."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC)


def _answered(
    conn: Connection, request: str, command: str, content: Mapping[str, Any]
) -> Answer | None:
    row = conn.execute(
        """
        SELECT command, content = %s, entered_at, entered_by, at, scopes, answer
        FROM timeline_change WHERE request_id = %s
        """,
        (Jsonb(content), request),
    ).fetchone()
    if row is None:
        return None
    before, same, entered_at, by, at, scopes, answer = row
    if before != command or not same:
        raise RefusedError(
            f"Request {request} was `{before}` by {by} at {entered_at.isoformat()}, with other"
            " content: give this one an id of its own."
        )
    late = tuple((scope, datetime.fromisoformat(start)) for scope, start in answer["late"])
    return Answer(answer["changed"], at, tuple(scopes), late, repeated=True)


def _refuse_dropped(conn: Connection, at: datetime) -> None:
    dropped = marks(conn).dropped
    if dropped is not None and at < dropped:
        raise RefusedError(
            f"Windows before {dropped:%Y-%m-%d} were dropped (RACKMETER_KEEP_WINDOWS_DAYS), so"
            " nothing can change hands then: give a time from there on."
        )


def _begin(
    conn: Connection, scopes: Sequence[str], entered_at: datetime | None
) -> tuple[int, datetime]:
    """Locks the scopes; the number of this command and its time, never before the one before it."""
    names = list(scopes)
    conn.execute(
        "SELECT FROM rating_scope WHERE scope_id = ANY(%s) ORDER BY scope_id FOR NO KEY UPDATE",
        (names,),
    )
    conn.execute(
        "UPDATE rating_scope SET revision = revision + 1 WHERE scope_id = ANY(%s)", (names,)
    )
    row = conn.execute(
        """
        SELECT set_config('rackmeter.change', number::text, true),
               set_config('rackmeter.entered_at', entered::text, true), number, entered
        FROM (SELECT nextval('timeline_change_number') AS number,
                     greatest(coalesce(%s, clock_timestamp()), max(entered_at)) AS entered
              FROM timeline_change WHERE scopes && %s) this
        """,
        (entered_at, names),
    ).fetchone()
    assert row is not None
    return row[2], row[3]


def _finish(
    conn: Connection, change: int, entered: datetime, scopes: Sequence[str], at: datetime
) -> Answer:
    near = conn.execute(
        NEIGHBOURS_SQL, {"change": change, "width": WIDTH, "epoch": EPOCH}
    ).fetchall()
    touched = sorted({*scopes, *(row[0] for row in near)})
    make_due(conn, touched, at, entered)
    late = conn.execute(LATE_SQL, {"scopes": touched, "at": at}).fetchall()
    return Answer(True, at, tuple(touched), tuple((scope, start) for scope, start in late))


def _act(
    conn: Connection,
    order: Order,
    command: str,
    content: Mapping[str, Any],
    entered: datetime,
    answer: Answer,
) -> Act:
    row = conn.execute(
        "SELECT account_id FROM rating_scope WHERE scope_id = ANY(%s) LIMIT 1",
        (list(answer.scopes),),
    ).fetchone()
    words = command.replace(" ", "." if "item" not in content else "-", 1).replace(" ", "-")
    action, subject = (
        (f"item.{words}", f"item/{content['item']}") if "item" in content
        else (words, f"scope/{answer.scopes[0]}")
    )  # fmt: skip
    return Act(
        action, subject,
        account=row[0] if row else "", at=entered, reason=order.why,
        actor="" if order.by == NOBODY.by else order.by,
        after={
            **content, "at": answer.at, "late": len(answer.late), "changed": answer.changed,
        },
    )  # fmt: skip


def _write(
    conn: Connection,
    change: int,
    order: Order,
    command: str,
    content: Mapping[str, Any],
    entered: datetime,
    answer: Answer,
) -> None:
    said = {
        "changed": answer.changed,
        "late": [[scope, start.isoformat()] for scope, start in answer.late],
    }
    conn.execute(
        "INSERT INTO timeline_change VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            change, order.request, command, Jsonb(content), answer.at, entered, order.by,
            order.why, list(answer.scopes), Jsonb(said),
        ),
    )  # fmt: skip
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO timeline_late VALUES (%s, %s, %s)",
            [(scope, start, change) for scope, start in answer.late],
        )
        cursor.executemany(
            "INSERT INTO adjust_due (scope_id, period_start, why) VALUES (%s, %s, %s)",
            [(*late, "price" if command in PRICES else "timeline") for late in answer.late],
        )
