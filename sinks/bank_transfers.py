"""Transfers that are expected on our bank account, and those that a person has to send back."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from schemas.errors import RefusedError
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Transfer:
    """One that is expected, and what came."""

    attempt: UUID
    reference: str
    account: str
    currency: str
    amount: Decimal
    received: Decimal | None
    received_at: datetime | None
    canceled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SentBack:
    """A refund; a person sends it, then says so."""

    refund: UUID
    reference: str
    amount: Decimal
    sent_at: datetime | None


_ROW = """
    SELECT attempt_id, reference, account_id, currency, amount, received, received_at, canceled_at
    FROM bank_transfer
"""
_BACK = "SELECT refund_id, reference, amount, sent_at FROM bank_transfer_back"


def expect(conn: Connection, transfer: Transfer) -> Transfer:
    """From now on it is expected; what this attempt expected before stays."""
    conn.execute(
        """
        INSERT INTO bank_transfer (attempt_id, reference, account_id, currency, amount)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (attempt_id) DO NOTHING
        """,
        (
            transfer.attempt, transfer.reference, transfer.account, transfer.currency,
            transfer.amount,
        ),
    )  # fmt: skip
    found = by_attempt(conn, transfer.attempt)
    assert found is not None, "it was written above"
    return found


def by_attempt(conn: Connection, attempt: UUID) -> Transfer | None:
    """What an attempt expects."""
    row = conn.execute(f"{_ROW} WHERE attempt_id = %s", (attempt,)).fetchone()
    return None if row is None else Transfer(*row)


def by_reference(conn: Connection, reference: str) -> Transfer:
    """Raises RefusedError where no transfer has it."""
    row = conn.execute(f"{_ROW} WHERE reference = %s", (reference,)).fetchone()
    if row is None:
        raise RefusedError(f"No transfer is expected under {reference}.")
    return Transfer(*row)


def arrived(conn: Connection, reference: str, amount: Decimal, at: datetime) -> Transfer:
    """It is on our account; also where another amount came, or it was not expected any more.

    Raises RefusedError where it has arrived before.
    """
    with conn.transaction():
        conn.execute("SELECT FROM bank_transfer WHERE reference = %s FOR UPDATE", (reference,))
        found = by_reference(conn, reference)
        if found.received is not None:
            raise RefusedError(
                f"{reference} arrived {found.received_at:%Y-%m-%d} with {found.received}"
                f" {found.currency}; enter another payment with `rackmeter journal receive`."
            )
        conn.execute(
            "UPDATE bank_transfer SET received = %s, received_at = %s WHERE reference = %s",
            (amount, at, reference),
        )
        return by_reference(conn, reference)


def cancel(conn: Connection, reference: str, at: datetime) -> Transfer:
    """It is not expected any more, unless it has come."""
    conn.execute(
        """
        UPDATE bank_transfer SET canceled_at = %s
        WHERE reference = %s AND received IS NULL AND canceled_at IS NULL
        """,
        (at, reference),
    )
    return by_reference(conn, reference)


def send_back(conn: Connection, refund: UUID, reference: str, amount: Decimal) -> SentBack:
    """A person is to send it; once a refund."""
    conn.execute(
        "INSERT INTO bank_transfer_back VALUES (%s, %s, %s) ON CONFLICT (refund_id) DO NOTHING",
        (refund, reference, amount),
    )
    found = back(conn, refund)
    assert found is not None, "it was written above"
    return found


def back(conn: Connection, refund: UUID) -> SentBack | None:
    """What is sent back for a refund."""
    row = conn.execute(f"{_BACK} WHERE refund_id = %s", (refund,)).fetchone()
    return None if row is None else SentBack(*row)


def sent(conn: Connection, refund: UUID, at: datetime) -> None:
    """A person has sent it."""
    conn.execute(
        "UPDATE bank_transfer_back SET sent_at = coalesce(sent_at, %s) WHERE refund_id = %s",
        (at, refund),
    )
