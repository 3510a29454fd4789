"""What gateways call our accounts and their saved ways to pay. No number of a card or bank account
ever comes here: a label that could hold one is refused by the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A way to pay that an account has saved at a gateway."""

    gateway: str
    token: str
    account: str
    kind: str
    label: str
    added_at: datetime
    removed_at: datetime | None


_ROW = """
    SELECT gateway, token, account_id, kind, label, added_at, removed_at FROM payment_method
"""


def customer_of(conn: Connection, account: str, gateway: str) -> str | None:
    """What the gateway calls the account."""
    row = conn.execute(
        "SELECT customer FROM payment_customer WHERE account_id = %s AND gateway = %s",
        (account, gateway),
    ).fetchone()
    return None if row is None else str(row[0])


def account_of(conn: Connection, gateway: str, customer: str) -> str | None:
    """The account that a gateway calls so."""
    row = conn.execute(
        "SELECT account_id FROM payment_customer WHERE gateway = %s AND customer = %s",
        (gateway, customer),
    ).fetchone()
    return None if row is None else str(row[0])


def keep_customer(conn: Connection, account: str, gateway: str, customer: str) -> str:
    """What it is called from now on: the first one wins."""
    conn.execute(
        "INSERT INTO payment_customer VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (account, gateway, customer),
    )
    found = customer_of(conn, account, gateway)
    assert found is not None, "it was written above"
    return found


def keep_methods(
    conn: Connection,
    account: str,
    gateway: str,
    found: Sequence[tuple[str, str, str]],
    at: datetime,
) -> None:
    """What is saved there now: (token, kind, label), the newest first. Others are removed.

    Of several that are seen at once each was added a microsecond before the next newer one, so that
    the newest is in force. One that was removed and is back was added now.
    """
    with conn.transaction():
        conn.execute(
            """
            UPDATE payment_method SET removed_at = %s
            WHERE account_id = %s AND gateway = %s AND removed_at IS NULL AND token <> ALL (%s)
            """,
            (at, account, gateway, [token for token, _, _ in found]),
        )
        for older, (token, kind, label) in enumerate(found):
            conn.execute(
                """
                INSERT INTO payment_method VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (gateway, token)
                DO UPDATE SET label = excluded.label, removed_at = NULL,
                    added_at = CASE WHEN payment_method.removed_at IS NULL
                                    THEN payment_method.added_at ELSE excluded.added_at END
                """,
                (gateway, token, account, kind, label, at - timedelta(microseconds=older)),
            )


def method_in_force(conn: Connection, account: str) -> SavedMethod | None:
    """The one that is charged: saved last."""
    row = conn.execute(
        f"{_ROW} WHERE account_id = %s AND removed_at IS NULL"
        " ORDER BY added_at DESC, token LIMIT 1",
        (account,),
    ).fetchone()
    return None if row is None else SavedMethod(*row)


def methods_of(conn: Connection, account: str) -> list[SavedMethod]:
    """All that an account ever saved, the newest first."""
    rows = conn.execute(
        f"{_ROW} WHERE account_id = %s ORDER BY removed_at DESC NULLS FIRST, added_at DESC, token",
        (account,),
    ).fetchall()
    return [SavedMethod(*row) for row in rows]
