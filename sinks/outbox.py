"""The table of events that customers are to be told: entered once, claimed under a lease, recorded.

Nothing is sent from here (sinks.deliver). An event's identity is derived from what it says, so it
is entered once whoever enters it, and the receiver sees one id however often it is sent.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from sinks.database import Connection

LEASE = timedelta(seconds=60)
"""A claimed event belongs to its claimer this long: four times what one try may take."""

CLEARED = "cleared"
"""The kind of event that takes back an announced crossing."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A crossing to be told. `scope` to `kind` are its identity."""

    account: str
    scope: str
    period_start: datetime
    threshold: str
    limit_version: str
    kind: str
    body: dict[str, Any]
    sampled_at: datetime

    @property
    def alert_id(self) -> str:
        """`webhook-id`: the same for the same crossing, even from a rebuilt database."""
        parts = (
            self.threshold,
            self.scope,
            self.period_start.isoformat(),
            self.limit_version,
            self.kind,
        )
        return "msg_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event to be tried now, with the endpoint as it is at this moment."""

    alert_id: str
    account: str
    body: dict[str, Any]
    attempt: int
    url: str | None
    secret: bytes | None
    """As it is stored, encrypted."""


def enqueue(conn: Connection, alert: Alert, now: datetime) -> bool:
    """Enters the event in the caller's transaction; False when it has been entered before."""
    row = conn.execute(
        """
        INSERT INTO alert_outbox (alert_id, account_id, scope_id, period_start, threshold,
                                  limit_version, kind, body, sampled_at, created_at, next_try_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT DO NOTHING RETURNING alert_id
        """,
        (
            alert.alert_id,
            alert.account,
            alert.scope,
            alert.period_start,
            alert.threshold,
            alert.limit_version,
            alert.kind,
            Jsonb(alert.body),
            alert.sampled_at,
            now,
            now,
        ),
    ).fetchone()
    return row is not None


def announcements(conn: Connection, scope: str, period_start: datetime) -> list[Alert]:
    """The crossings of a period that were entered, cleared or not; without the `cleared` ones."""
    rows = conn.execute(
        """
        SELECT account_id, scope_id, period_start, threshold, limit_version, kind, body, sampled_at
        FROM alert_outbox
        WHERE scope_id = %s AND period_start = %s AND kind <> %s ORDER BY created_at, alert_id
        """,
        (scope, period_start, CLEARED),
    ).fetchall()
    return [Alert(*row) for row in rows]


def claim_due(conn: Connection, now: datetime, limit: int = 1) -> tuple[Claimed, ...]:
    """Takes up to `limit` due events, oldest first; nobody else gets them before the lease ends.

    Committed here: the caller sends without a transaction. Claiming counts as an attempt, so an
    event that kills whoever sends it still comes to its end.
    """
    with conn.transaction():
        rows = conn.execute(
            """
            WITH due AS (
                SELECT alert_id FROM alert_outbox
                WHERE delivered_at IS NULL AND failed IS NULL AND next_try_at <= %s
                ORDER BY next_try_at LIMIT %s FOR UPDATE SKIP LOCKED
            )
            UPDATE alert_outbox o SET attempts = attempts + 1, next_try_at = %s
            FROM due, account a
            WHERE o.alert_id = due.alert_id AND a.account_id = o.account_id
            RETURNING o.alert_id, o.account_id, o.body, o.attempts,
                      CASE WHEN a.webhook_disabled_at IS NULL THEN a.webhook_url END,
                      a.webhook_secret
            """,
            (now, limit, now + LEASE),
        ).fetchall()
    return tuple(Claimed(*row) for row in rows)


def record_delivered(conn: Connection, claimed: Claimed, at: datetime) -> None:
    """The receiver has it; true whoever still thinks to hold the lease."""
    with conn.transaction():
        conn.execute(
            """
            UPDATE alert_outbox
            SET delivered_at = coalesce(delivered_at, %s), failed = NULL, last_error = NULL
            WHERE alert_id = %s
            """,
            (at, claimed.alert_id),
        )


def record_retry(conn: Connection, claimed: Claimed, next_try_at: datetime, why: str) -> None:
    """This try failed. Says nothing when the lease was lost: somebody else is trying."""
    with conn.transaction():
        conn.execute(
            """
            UPDATE alert_outbox SET next_try_at = %s, last_error = %s
            WHERE alert_id = %s AND attempts = %s AND delivered_at IS NULL
            """,
            (next_try_at, why, claimed.alert_id, claimed.attempt),
        )


def record_failed(conn: Connection, claimed: Claimed, why: str) -> None:
    """Given up for good, with the reason an operator reads."""
    with conn.transaction():
        conn.execute(
            """
            UPDATE alert_outbox SET failed = %s
            WHERE alert_id = %s AND attempts = %s AND delivered_at IS NULL
            """,
            (why, claimed.alert_id, claimed.attempt),
        )


def disable_endpoint(conn: Connection, claimed: Claimed, at: datetime) -> None:
    """The receiver said 410: send it nothing until the account gets a webhook again."""
    with conn.transaction():
        conn.execute(
            """
            UPDATE account SET webhook_disabled_at = %s
            WHERE account_id = %s AND webhook_url = %s AND webhook_disabled_at IS NULL
            """,
            (at, claimed.account, claimed.url),
        )


def waiting(conn: Connection) -> tuple[int, datetime | None]:
    """Events that are neither delivered nor given up, and when the first of them is due."""
    row = conn.execute(
        "SELECT count(*), min(next_try_at) FROM alert_outbox"
        " WHERE delivered_at IS NULL AND failed IS NULL"
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


def latencies(conn: Connection, since: datetime | None = None) -> list[int]:
    """Milliseconds from the reading that crossed to its delivery, ascending."""
    rows = conn.execute(
        """
        SELECT (extract(epoch FROM delivered_at - sampled_at) * 1000)::bigint AS latency_ms
        FROM alert_outbox
        WHERE delivered_at IS NOT NULL AND (%s::timestamptz IS NULL OR created_at >= %s)
        ORDER BY latency_ms
        """,
        (since, since),
    ).fetchall()
    return [int(row[0]) for row in rows]
