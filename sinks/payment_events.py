"""What gateways told us, each event once, and refunds that were asked for. Rows only."""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.journal import hold_account


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was received."""

    gateway: str
    event: str
    kind: str
    object: str
    digest: str
    received_at: datetime
    handled_at: datetime | None
    outcome: str


@dataclass(frozen=True, slots=True)
class RefundRow:
    """Money that goes back, of one attempt."""

    refund: UUID
    attempt: UUID
    amount: Decimal
    state: str
    reference: str | None
    reason: str
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None


_TOLD: Final = (
    "SELECT gateway, event_id, kind, object, digest, received_at, handled_at, outcome"
    " FROM payment_event"
)
_REFUND: Final = (
    "SELECT refund_id, attempt_id, amount, state, reference, reason, asked_by, asked_at, ended_at"
    " FROM payment_refund"
)
assert _TOLD.count(",") == len(fields(Told)) - 1
assert _REFUND.count(",") == len(fields(RefundRow)) - 1


def receive(conn: Connection, told: Told) -> Told:
    """The event as it was received first: with its outcome where it was handled before."""
    conn.execute(
        """
        INSERT INTO payment_event (gateway, event_id, kind, object, digest, received_at)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (told.gateway, told.event, told.kind, told.object, told.digest, told.received_at),
    )
    row = conn.execute(
        f"{_TOLD} WHERE gateway = %s AND event_id = %s", (told.gateway, told.event)
    ).fetchone()
    assert row is not None, "it was written above"
    return Told(*row)


def handled(conn: Connection, told: Told, outcome: str, at: datetime) -> None:
    """It was looked into; what came of it."""
    conn.execute(
        """
        UPDATE payment_event SET handled_at = %s, outcome = %s
        WHERE gateway = %s AND event_id = %s AND handled_at IS NULL
        """,
        (at, outcome, told.gateway, told.event),
    )


def waiting_events(conn: Connection, gateway: str) -> list[Told]:
    """Received and not handled, as where the gateway could not be asked; the oldest first."""
    rows = conn.execute(
        f"{_TOLD} WHERE handled_at IS NULL AND gateway = %s ORDER BY received_at LIMIT 1000",
        (gateway,),
    ).fetchall()
    return [Told(*row) for row in rows]


def order_refund(
    conn: Connection, attempt: UUID, amount: Decimal, reason: str, by: str, at: datetime
) -> RefundRow:
    """Money is to go back; the row comes before the call. Never more than was received."""
    with conn.transaction():
        row = conn.execute(
            """
            SELECT received - (SELECT coalesce(sum(amount), 0) FROM payment_refund r
                               WHERE r.attempt_id = a.attempt_id AND state <> 'failed'),
                   currency, account_id
            FROM payment_attempt a
            WHERE attempt_id = %s AND state = 'paid' FOR UPDATE
            """,
            (attempt,),
        ).fetchone()
        left, currency, account = row or (Decimal(0), "", "")
        if not 0 < amount <= left:
            raise RefusedError(
                f"{amount} cannot be sent back: {left} {currency} of that payment is left."
            )
        hold_account(conn, account)
        refund = uuid4()
        conn.execute(
            """
            INSERT INTO payment_refund (refund_id, attempt_id, amount, reason, asked_by, asked_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            (refund, attempt, amount, reason, by, at),
        )
        said = {"amount": amount, "currency": currency, "refund": str(refund)}
        act = Act("payment.refund", f"payment/{attempt}", account, at, reason, by, after=said)
        record(conn, act)
        return refund_row(conn, refund)


def keep_refund(
    conn: Connection, refund: UUID, state: str, reference: str, at: datetime
) -> RefundRow:
    """What the gateway said; one that has failed after it was done is failed."""
    conn.execute(
        """
        UPDATE payment_refund SET state = %s, reference = coalesce(reference, %s), ended_at = %s
        WHERE refund_id = %s AND state <> 'failed'
        """,
        (state, reference, at if state in ("done", "failed") else None, refund),
    )
    return refund_row(conn, refund)


def refund_row(conn: Connection, refund: UUID) -> RefundRow:
    """By its id."""
    row = conn.execute(f"{_REFUND} WHERE refund_id = %s", (refund,)).fetchone()
    assert row is not None, refund
    return RefundRow(*row)


def find_refund_row(conn: Connection, reference: str, refund: str) -> RefundRow | None:
    """By the gateway's name of it, or by our id in its metadata; locked."""
    row = conn.execute(
        f"{_REFUND} WHERE reference = %s OR refund_id::text = %s FOR UPDATE", (reference, refund)
    ).fetchone()
    return None if row is None else RefundRow(*row)


def refunds_of(conn: Connection, attempt: UUID) -> list[RefundRow]:
    """All of an attempt, in order."""
    rows = conn.execute(f"{_REFUND} WHERE attempt_id = %s ORDER BY asked_at, 1", (attempt,))
    return [RefundRow(*row) for row in rows.fetchall()]


def refunds_under_way(conn: Connection) -> list[RefundRow]:
    """Asked for and not ended, the oldest first."""
    rows = conn.execute(f"{_REFUND} WHERE ended_at IS NULL ORDER BY asked_at, 1").fetchall()
    return [RefundRow(*row) for row in rows]
