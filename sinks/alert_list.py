"""Alerts for people: what was told to whom, what is parked, and sending one again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection


class State(StrEnum):
    """What has become of a row."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"
    """Given up: it is sent again when a person says so."""


_STATE: Final = f"""
    CASE WHEN delivered_at IS NOT NULL THEN '{State.DELIVERED}'
         WHEN failed IS NOT NULL THEN '{State.PARKED}' ELSE '{State.WAITING}' END
"""
_SELECT: Final = f"""
    SELECT number, alert_id, account_id, channel, recipient, kind, threshold, created_at, attempts,
           {_STATE} AS state, coalesce(failed, last_error, '') AS why, sampled_at, next_try_at,
           delivered_at, body
    FROM alert_outbox
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows; None and () are all."""

    account: str | None = None
    channel: str | None = None
    state: State | None = None
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """An alert to one recipient."""

    number: int
    alert: str
    account: str
    channel: str
    recipient: str
    kind: str
    threshold: str
    entered_at: datetime
    attempts: int
    state: str
    why: str
    sampled_at: datetime
    next_try_at: datetime
    delivered_at: datetime | None
    body: dict[str, Any]


def newest(conn: Connection, wanted: Wanted, limit: int, before: int | None = None) -> list[Row]:
    """The newest rows first; `before` is the number that the page before ended with."""
    rows = conn.execute(
        f"SELECT * FROM ({_SELECT}) a WHERE {_WHERE}"  # noqa: S608 - constants
        " AND (%(before)s::bigint IS NULL OR number < %(before)s)"
        " ORDER BY number DESC LIMIT %(limit)s",
        {**_values(wanted), "before": before, "limit": limit},
    ).fetchall()
    return [Row(*row) for row in rows]


def resend(conn: Connection, wanted: Wanted, now: datetime) -> list[Row]:
    """Makes the rows due at once, under their id and with all tries before them.

    A command is not sent again once another one has followed it: it would undo that.
    """
    with conn.transaction():
        rows = conn.execute(
            f"SELECT * FROM ({_SELECT}) a WHERE {_WHERE} ORDER BY number",  # noqa: S608 - constants
            _values(wanted),
        ).fetchall()
        found = [Row(*row) for row in rows]
        for row in found:
            _still_true(conn, row)
        conn.execute(
            """
            UPDATE alert_outbox SET attempts = 0, next_try_at = %s, delivered_at = NULL,
                                    failed = NULL, last_error = NULL
            WHERE alert_id = ANY(%s)
            """,
            (now, [row.alert for row in found]),
        )
        subject = found[0].alert if len(found) == 1 else "*"
        if found:
            record(conn, Act("alert.resend", f"alert/{subject}", wanted.account or "", now,
                             after={"alerts": [row.alert for row in found]}))  # fmt: skip
    return found


def _still_true(conn: Connection, row: Row) -> None:
    if row.channel != "command":
        return
    later = conn.execute(
        "SELECT alert_id FROM alert_outbox WHERE account_id = %s AND channel = 'command'"
        " AND number > %s ORDER BY number LIMIT 1",
        (row.account, row.number),
    ).fetchone()
    if later is not None:
        raise RefusedError(f"Command {row.alert} was followed by {later[0]}: send that again.")


_WHERE: Final = """
    (%(account)s::text IS NULL OR account_id = %(account)s)
    AND (%(channel)s::text IS NULL OR channel = %(channel)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(ids)s::text[] = '{}' OR alert_id = ANY(%(ids)s))
"""


def _values(wanted: Wanted) -> dict[str, Any]:
    return {
        "account": wanted.account,
        "channel": wanted.channel,
        "state": wanted.state,
        "ids": list(wanted.ids),
    }
