"""Attempts to have invoices paid, as rows: committed before a gateway hears of them.

No gateway is called from here. An invoice has one attempt under way at most, which the database
sees to. One that was paid stays so; one that was given up is paid when money comes all the same.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from psycopg import errors

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection

ENDS: Final = ("paid", "canceled")
STATES: Final = ("intended", "open", "processing", "action", "declined", *ENDS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row, with the number of its invoice. ``state`` is a gateway's, or ``intended``."""

    attempt: UUID
    invoice_id: UUID
    number: int
    account: str
    gateway: str
    customer: str
    token: str
    currency: str
    amount: Decimal
    owed: Decimal
    """What of the amount the invoice owed; the rest was carried to it."""
    state: str
    reference: str | None
    received: Decimal | None
    fee: Decimal | None
    reason: str
    final: bool
    link: str
    intended_at: datetime
    ended_at: datetime | None
    invoice: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a gateway says of an attempt; None leaves what is known."""

    state: str
    reference: str | None = None
    received: Decimal | None = None
    fee: Decimal | None = None
    reason: str = ""
    final: bool = False
    link: str = ""


_ROW: Final = """
    SELECT a.attempt_id, a.invoice_id, a.number, a.account_id, a.gateway, a.customer, a.token,
           a.currency, a.amount, a.owed, a.state, a.reference, a.received, a.fee, a.reason, a.final,
           a.link, a.intended_at, a.ended_at, i.number
    FROM payment_attempt a JOIN invoice i USING (invoice_id)
"""
assert _ROW.count(",") == len(fields(Attempt)) - 1


def intend(
    conn: Connection,
    *,
    invoice_id: UUID,
    gateway: str,
    token: str,
    amount: Decimal,
    owed: Decimal,
    at: datetime,
) -> Attempt | None:
    """A new attempt, committed; None where another one is under way.

    With the method's customer; the account and the currency are the invoice's.
    """
    attempt = uuid4()
    try:
        with conn.transaction():
            conn.execute(
                """
                INSERT INTO payment_attempt (attempt_id, invoice_id, number, account_id, gateway,
                                             customer, token, currency, amount, owed, intended_at)
                SELECT %s, i.invoice_id,
                       1 + (SELECT count(*) FROM payment_attempt p
                            WHERE p.invoice_id = i.invoice_id),
                       i.account_id, %s, c.customer, %s, i.currency, %s, %s, %s
                FROM invoice i JOIN payment_customer c ON c.account_id = i.account_id
                                                      AND c.gateway = %s
                WHERE i.invoice_id = %s
                """,
                (attempt, gateway, token, amount, owed, at, gateway, invoice_id),
            )
            row = attempt_of(conn, attempt)
            said = {"amount": amount, "currency": row.currency, "gateway": gateway}
            subject = f"invoice/{row.invoice}"
            record(conn, Act("payment.attempt", subject, row.account, at, after=said))
            return row
    except errors.UniqueViolation:
        return None


def keep(conn: Connection, attempt: UUID, found: Found, at: datetime) -> Attempt:
    """Writes down what a gateway said, in the caller's transaction; the row is locked till its end.

    To be paid is for good. What was given up changes only when money has come all the same;
    whatever else comes later, or was seen earlier, changes nothing but the fee.
    """
    before = attempt_of(conn, attempt, lock=True)
    if before.ended_at is None or (before.state, found.state) == ("canceled", "paid"):
        conn.execute(
            """
            UPDATE payment_attempt
            SET state = %(state)s, reference = coalesce(reference, %(reference)s),
                received = %(received)s, fee = coalesce(%(fee)s, fee),
                reason = coalesce(nullif(%(reason)s, ''), reason), final = final OR %(final)s,
                link = %(link)s, ended_at = %(ended_at)s
            WHERE attempt_id = %(attempt)s
            """,
            {
                "attempt": attempt, "state": found.state, "reference": found.reference,
                "received": found.received if found.state == "paid" else None,
                "fee": found.fee, "reason": found.reason, "final": found.final,
                "link": found.link, "ended_at": at if found.state in ENDS else None,
            },
        )  # fmt: skip
    elif found.fee is not None:
        conn.execute(
            "UPDATE payment_attempt SET fee = %s WHERE attempt_id = %s AND fee IS NULL",
            (found.fee, attempt),
        )
    return attempt_of(conn, attempt)


def attempt_of(conn: Connection, attempt: UUID, *, lock: bool = False) -> Attempt:
    """By its id; locked until the caller's transaction ends."""
    held = " FOR UPDATE OF a" if lock else ""
    row = conn.execute(f"{_ROW} WHERE a.attempt_id = %s{held}", (attempt,)).fetchone()
    assert row is not None, attempt
    return Attempt(*row)


def paid_attempt(conn: Connection, invoice: str) -> Attempt:
    """The newest payment of an invoice. Raises RefusedError where there is none."""
    row = conn.execute(
        f"{_ROW} WHERE i.number = %s AND a.state = 'paid' ORDER BY a.number DESC LIMIT 1",
        (invoice,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"{invoice} was not paid through a gateway: `rackmeter journal show`.")
    return Attempt(*row)


def find_attempt(
    conn: Connection, gateway: str, reference: str, attempt: str = ""
) -> Attempt | None:
    """By the gateway's name of the payment, or by our id in its metadata."""
    row = conn.execute(
        f"{_ROW} WHERE a.gateway = %s AND (a.reference = %s OR a.attempt_id::text = %s)",
        (gateway, reference, attempt),
    ).fetchone()
    return None if row is None else Attempt(*row)


def under_way(conn: Connection) -> list[Attempt]:
    """Attempts that have not ended, the oldest first."""
    rows = conn.execute(f"{_ROW} WHERE a.ended_at IS NULL ORDER BY a.intended_at, 1").fetchall()
    return [Attempt(*row) for row in rows]


def without_fee(conn: Connection, since: datetime) -> list[Attempt]:
    """Paid since then, and their gateway had not said what it takes."""
    rows = conn.execute(
        f"{_ROW} WHERE a.state = 'paid' AND a.fee IS NULL AND a.ended_at > %s ORDER BY a.ended_at",
        (since,),
    ).fetchall()
    return [Attempt(*row) for row in rows]


def attempts_of(conn: Connection, invoice_id: UUID) -> list[Attempt]:
    """All of an invoice, in order."""
    rows = conn.execute(f"{_ROW} WHERE a.invoice_id = %s ORDER BY a.number", (invoice_id,))
    return [Attempt(*row) for row in rows.fetchall()]


def newest(conn: Connection, account: str | None, state: str | None, limit: int) -> list[Attempt]:
    """For people."""
    rows = conn.execute(
        f"""
        {_ROW} WHERE (%(account)s::text IS NULL OR a.account_id = %(account)s)
        AND (%(state)s::text IS NULL OR a.state = %(state)s)
        ORDER BY a.intended_at DESC, 1 LIMIT %(limit)s
        """,
        {"account": account, "state": state, "limit": limit},
    ).fetchall()
    return [Attempt(*row) for row in rows]
