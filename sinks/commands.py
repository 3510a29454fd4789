"""Commands to provisioning: what it was told of an account's items, and what holds of them now.

A command says what to do with items; the last one that names an item counts. One that was followed
by others is not repeated, since it would undo them: what holds now is told instead.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from schemas.events import (
    PROVISIONING_RESTRICT,
    PROVISIONING_RESUME,
    PROVISIONING_SUSPEND,
    PROVISIONING_TERMINATE,
)
from schemas.serial import instant_text
from sinks.database import Connection
from sinks.dunning import is_held, items_capped, items_of, standing_of
from sinks.outbox import Alert, Channel, Recipient, enqueue

PROVISIONING: Final = (Recipient(Channel.COMMAND),)


def lock(conn: Connection, account: str) -> None:
    """Until the transaction ends nobody else decides what an account's caps hold."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('budget'), hashtext(%s))", (account,))


def suspended(conn: Connection, account: str) -> set[str]:
    """Items that provisioning was last told to suspend, or to end."""
    rows = conn.execute(
        """
        SELECT item FROM (
            SELECT DISTINCT ON (item) item, body ->> 'type' AS type
            FROM alert_outbox
            CROSS JOIN LATERAL jsonb_array_elements_text(body -> 'data' -> 'items') AS i (item)
            WHERE account_id = %s AND channel = 'command' AND body ->> 'type' <> %s
            ORDER BY item, number DESC
        ) last WHERE type <> %s
        """,
        (account, PROVISIONING_RESTRICT, PROVISIONING_RESUME),
    ).fetchall()
    return {row[0] for row in rows}


def count_because(conn: Connection, alert: Alert) -> int:
    """Commands that an alert has led to."""
    row = conn.execute(
        "SELECT count(*) FROM alert_outbox WHERE account_id = %s AND channel = 'command'"
        " AND body -> 'data' ->> 'because' = %s",
        (alert.account, alert.alert_id),
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def tell_now(conn: Connection, account: str, items: Sequence[str], now: datetime) -> list[Alert]:
    """Commands that say how these of its items stand now; those it rents no longer are left out."""
    lock(conn, account)
    row = standing_of(conn, account)
    state = "current" if row is None else row.state
    wanted = set(items)
    rented = [item for item in items_of(conn, account, now) if item in wanted]
    held = items_capped(conn, account, rented)
    if is_held(conn, account):
        held = set(rented)
    if state == "terminated":
        told = [(PROVISIONING_TERMINATE, rented)]
    else:
        told = [
            (PROVISIONING_RESUME, [item for item in rented if item not in held]),
            (PROVISIONING_RESTRICT, rented if state == "restricted" else []),
            (PROVISIONING_SUSPEND, [item for item in rented if item in held]),
        ]
    alerts = [_alert(account, kind, of, state, now) for kind, of in told if of]
    for alert in alerts:
        enqueue(conn, alert, now, PROVISIONING)
    return alerts


def _alert(account: str, kind: str, items: list[str], state: str, now: datetime) -> Alert:
    at = instant_text(now)
    data = {
        "account": account,
        "items": items,
        "state": state,
        "at": at,
        "text": f"As {account} stands now, {kind.partition('.')[2]}: {', '.join(items)}.",
    }
    body = {"type": kind, "timestamp": at, "data": data}
    return Alert(account, "", now, f"{account}/commands", at, kind, body, now)
