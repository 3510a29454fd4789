"""Alerts for people: what was told to whom, what is parked, and sending one again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sinks.audit import Act, record
from sinks.commands import PROVISIONING, tell_now
from sinks.database import Connection
from sinks.outbox import Channel


class State(StrEnum):
    """What has become of a row."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"
    """Given up: it is sent again when a person says so."""
    REPLACED = "replaced"
    """A command that others followed: what held when it was to be sent again was told instead."""


_STATE: Final = f"""
    CASE WHEN delivered_at IS NOT NULL THEN '{State.DELIVERED}'
         WHEN starts_with(failed, '{State.REPLACED}') THEN '{State.REPLACED}'
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


@dataclass(frozen=True, slots=True)
class Resent:
    """What is due now, and commands in whose place some of it is."""

    due: list[Row]
    replaced: list[Row]


def resend(conn: Connection, wanted: Wanted, now: datetime) -> Resent:
    """Makes the rows due at once, under their id and with all tries before them.

    A command that another one has followed would undo that: in its place provisioning is told how
    the items that it names stand now.
    """
    with conn.transaction():
        found = _rows(conn, wanted)
        commands = [row for row in found if row.channel == Channel.COMMAND]
        followed = {row.account for row in commands if _is_followed(conn, row)}
        replaced = [row for row in commands if row.account in followed]
        again = [row.alert for row in found if row not in replaced]
        for account in sorted(followed):
            again += _replace(conn, account, [r for r in replaced if r.account == account], now)
        conn.execute(
            """
            UPDATE alert_outbox SET attempts = 0, next_try_at = %s, delivered_at = NULL,
                                    failed = NULL, last_error = NULL
            WHERE alert_id = ANY(%s)
            """,
            (now, again),
        )
        subject = found[0].alert if len(found) == 1 else "*"
        if found:
            said = {"alerts": again, "replaced": [row.alert for row in replaced]}
            record(conn, Act("alert.resend", f"alert/{subject}", wanted.account or "", now,
                             after=said))  # fmt: skip
        return Resent(_rows(conn, Wanted(ids=again)) if again else [], replaced)


def _replace(conn: Connection, account: str, rows: list[Row], now: datetime) -> list[str]:
    """The commands in their place; none where nothing that they name is rented any more."""
    items = {item for row in rows for item in row.body["data"]["items"]}
    told = [one.id_for(PROVISIONING[0]) for one in tell_now(conn, account, sorted(items), now)]
    why = f" by {', '.join(told)}" if told else ": nothing that it names is rented any more"
    conn.execute(
        "UPDATE alert_outbox SET failed = %s WHERE alert_id = ANY(%s) AND delivered_at IS NULL",
        (f"{State.REPLACED}{why}", [row.alert for row in rows]),
    )
    return told


def _is_followed(conn: Connection, row: Row) -> bool:
    later = conn.execute(
        "SELECT FROM alert_outbox WHERE account_id = %s AND channel = 'command' AND number > %s"
        " LIMIT 1",
        (row.account, row.number),
    ).fetchone()
    return later is not None


def _rows(conn: Connection, wanted: Wanted) -> list[Row]:
    rows = conn.execute(
        f"SELECT * FROM ({_SELECT}) a WHERE {_WHERE} ORDER BY number",  # noqa: S608 - constants
        _values(wanted),
    ).fetchall()
    return [Row(*row) for row in rows]


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
