"""The table of what is to be told: alerts are entered once, and counted.

Whoever sends them claims and records them (sinks.claims, sinks.deliver). An alert has a row for
each recipient, and each row is delivered by itself. Its identity is derived from what it says and
to whom, so it is entered once whoever enters it, and the receiver sees one id however often it is
sent.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from sinks.database import Connection

CLEARED = "cleared"
"""The kind of event that takes back an announced crossing."""


class Channel(StrEnum):
    """How an alert goes out."""

    WEBHOOK = "webhook"
    """To the address that the account has at the time of sending."""
    MAIL = "mail"
    COMMAND = "command"
    """To the provider's own provisioning, never to a customer."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """`address` is a mail's; the other two channels have one receiver each."""

    channel: Channel
    address: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A crossing to be told. `scope` to `kind` are its identity."""

    account: str
    scope: str
    """Empty for a budget of the whole account."""
    period_start: datetime
    threshold: str
    limit_version: str
    kind: str
    body: dict[str, Any]
    sampled_at: datetime

    @property
    def alert_id(self) -> str:
        """`webhook-id`: the same for the same crossing, even from a rebuilt database."""
        return self.id_for(Recipient(Channel.WEBHOOK))

    def id_for(self, recipient: Recipient) -> str:
        """Each recipient's delivery has an id of its own."""
        parts = [
            self.threshold,
            self.scope,
            self.period_start.isoformat(),
            self.limit_version,
            self.kind,
        ]
        if recipient.channel is not Channel.WEBHOOK:
            parts += [recipient.channel, recipient.address]
        return "msg_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def customers(conn: Connection, accounts: Iterable[str]) -> dict[str, list[Recipient]]:
    """Who hears of each account's alerts. Without any the webhook is named, so that it shows."""
    rows = conn.execute(
        "SELECT account_id, webhook_url IS NOT NULL, mail_to FROM account"
        " WHERE account_id = ANY(%s)",
        (sorted(set(accounts)),),
    ).fetchall()
    return {account: _recipients(webhook, mails) for account, webhook, mails in rows}


def _recipients(webhook: bool, mails: Sequence[str]) -> list[Recipient]:
    told = [Recipient(Channel.MAIL, address) for address in mails]
    return [Recipient(Channel.WEBHOOK), *told] if webhook or not told else told


def enqueue(
    conn: Connection, alert: Alert, now: datetime, recipients: Sequence[Recipient] | None = None
) -> bool:
    """As ``enqueue_all`` one alert; False when it has been entered before.

    To the account's own recipients where none are given.
    """
    told = customers(conn, [alert.account])[alert.account] if recipients is None else recipients
    return bool(_enter_all(conn, [(alert, told)], now))


def enqueue_all(conn: Connection, alerts: Sequence[Alert], now: datetime) -> set[str]:
    """Enters alerts in the caller's transaction; the ids of those not entered before.

    In their order, each to all of its account's recipients. Copy 0 is unique for the crossing: who
    finds it there enters none of the others, even where the account has new recipients since.
    """
    if not alerts:
        return set()
    told = customers(conn, (alert.account for alert in alerts))
    return _enter_all(conn, [(alert, told[alert.account]) for alert in alerts], now)


def _enter_all(
    conn: Connection, alerts: Sequence[tuple[Alert, Sequence[Recipient]]], now: datetime
) -> set[str]:
    first = {alert.id_for(told[0]): (alert, told) for alert, told in alerts if told}
    fresh = _insert(conn, [(alert, told[0], 0) for alert, told in first.values()], now)
    entered = [first[one] for one in first if one in fresh]
    _insert(
        conn,
        [(alert, to, n) for alert, told in entered for n, to in enumerate(told) if n],
        now,
    )
    return {alert.alert_id for alert, _ in entered}


def _insert(
    conn: Connection, rows: Sequence[tuple[Alert, Recipient, int]], now: datetime
) -> set[str]:
    """Alert, recipient and number of the copy; returns the ids that were not there."""
    if not rows:
        return set()
    found = conn.execute(
        """
        INSERT INTO alert_outbox (alert_id, account_id, scope_id, period_start, threshold,
                                  limit_version, kind, body, sampled_at, created_at, next_try_at,
                                  channel, recipient, copy)
        SELECT id, account, nullif(scope, ''), start, threshold, version, kind,
               %(bodies)s::jsonb -> place, sampled_at, %(now)s, %(now)s, channel, recipient, copy
        FROM unnest(%(id)s::text[], %(account)s::text[], %(scope)s::text[],
                    %(start)s::timestamptz[], %(threshold)s::text[], %(version)s::text[],
                    %(kind)s::text[], %(sampled_at)s::timestamptz[], %(channel)s::text[],
                    %(recipient)s::text[], %(copy)s::int[], %(places)s::int[])
             AS w (id, account, scope, start, threshold, version, kind, sampled_at, channel,
                   recipient, copy, place)
        ORDER BY place ON CONFLICT DO NOTHING RETURNING alert_id
        """,
        {
            "now": now,
            "id": [alert.id_for(to) for alert, to, _ in rows],
            "account": [alert.account for alert, _, _ in rows],
            "scope": [alert.scope for alert, _, _ in rows],
            "start": [alert.period_start for alert, _, _ in rows],
            "threshold": [alert.threshold for alert, _, _ in rows],
            "version": [alert.limit_version for alert, _, _ in rows],
            "kind": [alert.kind for alert, _, _ in rows],
            "bodies": Jsonb([alert.body for alert, _, _ in rows]),
            "places": list(range(len(rows))),
            "sampled_at": [alert.sampled_at for alert, _, _ in rows],
            "channel": [to.channel.value for _, to, _ in rows],
            "recipient": [to.address for _, to, _ in rows],
            "copy": [copy for _, _, copy in rows],
        },
    )  # fmt: skip
    return {alert_id for (alert_id,) in found.fetchall()}


def announcements(
    conn: Connection, keys: Sequence[tuple[str, datetime]]
) -> dict[tuple[str, datetime], tuple[Alert, ...]]:
    """What was last said of each threshold of scopes' periods: crossed, or cleared again.

    ``keys`` are scopes and starts of periods; nothing was said of one that is left out.
    """
    rows = conn.execute(
        """
        SELECT DISTINCT ON (o.scope_id, o.period_start, o.threshold) o.account_id, o.scope_id,
               o.period_start, o.threshold, o.limit_version, o.kind, o.body, o.sampled_at
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, start)
        JOIN alert_outbox o ON o.scope_id = w.scope_id AND o.period_start = w.start AND o.copy = 0
        ORDER BY o.scope_id, o.period_start, o.threshold, o.number DESC
        """,
        ([scope for scope, _ in keys], [start for _, start in keys]),
    ).fetchall()
    found: dict[tuple[str, datetime], list[Alert]] = {}
    for row in rows:
        found.setdefault((row[1], row[2]), []).append(Alert(*row))
    return {key: tuple(alerts) for key, alerts in found.items()}


def waiting(conn: Connection) -> tuple[int, datetime | None]:
    """Rows that are neither delivered nor given up, and when the first of them is due."""
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
