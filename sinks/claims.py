"""Rows of the outbox as their sender has them: claimed under a lease, then recorded.

On autocommit connections: a statement is a transaction, and whoever sends holds none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sinks.audit import Act, record
from sinks.database import Connection
from sinks.outbox import Channel

LEASE = timedelta(seconds=30)
"""A claimed event belongs to its claimer this long: twice what one try may take. What a crash
interrupted is tried again after it."""
MAIL_LEASE = timedelta(seconds=60)
"""A try of a mail may take longer."""
RECEIVER_MAX: Final = 8
"""Tries of one account's alerts under way at once: a slow receiver holds up itself."""
LOOK_MAX: Final = 1000
"""Due rows among which to look for those of accounts that have room."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row to be tried now, with the endpoint as it is at this moment."""

    alert_id: str
    account: str
    body: dict[str, Any]
    attempt: int
    url: str | None
    secret: bytes | None
    """As it is stored, encrypted."""
    channel: Channel = Channel.WEBHOOK
    address: str = ""
    language: str = "en"
    timezone: str = "UTC"


def claim_due(
    conn: Connection, now: datetime, limit: int = 1, flying: Iterable[Claimed] = ()
) -> tuple[Claimed, ...]:
    """Takes up to `limit` due rows, oldest first; nobody else gets them before the lease ends.

    What is told of a scope's period, or of an account's budgets in it, goes to a receiver one after
    the other, until a first try has failed: what waits to be tried again holds up nothing that
    came later. Of an account's commands
    nothing ever overtakes: to resume waits for to suspend. Claiming counts as an attempt, so an
    event that kills whoever sends it still comes to its end.

    `flying` are the claimer's own, still under way.
    """
    busy = Counter(claimed.account for claimed in flying)
    rows = conn.execute(
        """
        WITH waiting AS (
            SELECT alert_id, account_id, next_try_at, number FROM (
                SELECT alert_id, account_id, next_try_at, number, channel,
                       min(number) FILTER (WHERE last_error IS NULL) OVER (
                           PARTITION BY account_id, channel, scope_id, period_start, recipient
                       ) AS untried,
                       min(number) OVER (PARTITION BY account_id, channel) AS oldest
                FROM alert_outbox WHERE delivered_at IS NULL AND failed IS NULL) o
            WHERE next_try_at <= %(now)s AND account_id <> ALL(%(full)s)
            AND (untried IS NULL OR untried >= number)
            AND (channel <> 'command' OR oldest = number)
            ORDER BY next_try_at, number LIMIT %(look)s
        ), placed AS (
            SELECT w.alert_id, coalesce(b.flying, 0) + row_number() OVER (
                PARTITION BY w.account_id ORDER BY w.next_try_at, w.number) AS place
            FROM waiting w
            LEFT JOIN unnest(%(busy)s::text[], %(counts)s::int[]) AS b (account_id, flying)
            USING (account_id)
        ), due AS (
            SELECT o.alert_id FROM alert_outbox o
            WHERE alert_id = ANY(ARRAY(SELECT alert_id FROM placed WHERE place <= %(most)s))
            AND o.delivered_at IS NULL AND o.failed IS NULL AND o.next_try_at <= %(now)s
            ORDER BY o.next_try_at, o.number LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED
        )
        UPDATE alert_outbox o SET attempts = attempts + 1,
            next_try_at = CASE o.channel WHEN 'mail' THEN %(mail)s ELSE %(until)s END
        FROM due, account a
        WHERE o.alert_id = due.alert_id AND a.account_id = o.account_id
        RETURNING o.alert_id, o.account_id, o.body, o.attempts,
                  CASE WHEN a.webhook_disabled_at IS NULL THEN a.webhook_url END,
                  a.webhook_secret, o.channel, o.recipient, a.language, a.timezone, o.number
        """,
        {
            "now": now,
            "until": now + LEASE,
            "mail": now + MAIL_LEASE,
            "limit": limit,
            "look": LOOK_MAX,
            "most": RECEIVER_MAX,
            "full": [account for account, count in busy.items() if count >= RECEIVER_MAX],
            "busy": list(busy),
            "counts": list(busy.values()),
        },
    ).fetchall()
    rows.sort(key=lambda row: row[-1])
    return tuple(Claimed(*[*row[:6], Channel(row[6]), *row[7:-1]]) for row in rows)


def record_delivered(conn: Connection, done: Sequence[tuple[Claimed, datetime]]) -> None:
    """The receivers have them; true whoever still thinks to hold the lease."""
    conn.execute(
        """
        UPDATE alert_outbox o
        SET delivered_at = coalesce(delivered_at, d.at), failed = NULL, last_error = NULL
        FROM unnest(%s::text[], %s::timestamptz[]) AS d (alert_id, at)
        WHERE o.alert_id = d.alert_id
        """,
        ([claimed.alert_id for claimed, _ in done], [at for _, at in done]),
    )


def record_retry(conn: Connection, claimed: Claimed, next_try_at: datetime, why: str) -> None:
    """This try failed. Says nothing when the lease was lost: somebody else is trying."""
    conn.execute(
        """
        UPDATE alert_outbox SET next_try_at = %s, last_error = %s
        WHERE alert_id = %s AND attempts = %s AND delivered_at IS NULL
        """,
        (next_try_at, why, claimed.alert_id, claimed.attempt),
    )


def record_failed(conn: Connection, claimed: Claimed, why: str) -> None:
    """Given up for good, with the reason an operator reads."""
    conn.execute(
        """
        UPDATE alert_outbox SET failed = %s
        WHERE alert_id = %s AND attempts = %s AND delivered_at IS NULL
        """,
        (why, claimed.alert_id, claimed.attempt),
    )


def disable_endpoint(
    conn: Connection, claimed: Claimed, at: datetime, silent_since: datetime | None = None
) -> bool:
    """Send it nothing until the account gets a webhook again: it said 410, or it is dead.

    Dead is one that took nothing since `silent_since`. False: it goes on.
    """
    with conn.transaction():
        row = conn.execute(
            """
            UPDATE account a SET webhook_disabled_at = %(at)s
            WHERE account_id = %(account)s AND webhook_url = %(url)s AND webhook_disabled_at IS NULL
            AND (%(since)s::timestamptz IS NULL OR NOT EXISTS (
                SELECT FROM alert_outbox o WHERE o.account_id = a.account_id
                AND o.channel = 'webhook' AND o.delivered_at > %(since)s))
            RETURNING 1
            """,
            {"at": at, "account": claimed.account, "url": claimed.url, "since": silent_since},
        ).fetchone()
        if row is not None:
            why = "it answered 410" if silent_since is None else "it took nothing for too long"
            subject = f"account/{claimed.account}"
            record(conn, Act("account.webhook-off", subject, claimed.account, at, why))
    return row is not None
