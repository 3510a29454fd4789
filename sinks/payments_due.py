"""What is to be paid, from the journal alone (view ``invoice_status``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Due:
    """An invoice, and how it stands."""

    invoice_id: UUID
    number: str
    account: str
    currency: str
    due_at: datetime
    balance: Decimal
    asked: Decimal
    """What may be asked for. Where money went back, by a refund or a charge-back, nobody but a
    person asks for that part again.
    """
    status: str
    applied: Decimal
    """What balances of other invoices have paid of it; below zero, what its own paid of others."""


_ROW: Final = """
    SELECT invoice_id, number, account_id, currency, due_at, balance, asked, status, applied
    FROM invoice_status s
"""
_IDLE: Final = """NOT EXISTS (
    SELECT FROM payment_attempt a WHERE a.invoice_id = s.invoice_id AND a.ended_at IS NULL)
"""


def due_invoices(conn: Connection, now: datetime, early: Sequence[str] = ()) -> list[Due]:
    """Something is to be asked for and due, the oldest first, with nothing under way. Who pays by
    one of the gateways ``early`` is asked before it is due.
    """
    rows = conn.execute(
        f"""
        {_ROW} WHERE balance > 0 AND asked > 0
        AND (due_at <= %s OR EXISTS (
            SELECT FROM payment_method m
            WHERE m.account_id = s.account_id AND gateway = ANY (%s) AND removed_at IS NULL))
        AND {_IDLE} ORDER BY due_at, number
        """,
        (now, list(early)),
    ).fetchall()
    return [Due(*row) for row in rows]


def due_of(conn: Connection, number: str) -> Due | None:
    """One invoice, whether it is due or not; None where there is none."""
    row = conn.execute(f"{_ROW} WHERE number = %s", (number,)).fetchone()
    return None if row is None else Due(*row)


def carried(conn: Connection, account: str, currency: str) -> Decimal:
    """What no payment could move until now: of the account, and of no invoice."""
    row = conn.execute(
        """
        SELECT coalesce(sum(p.amount), 0)
        FROM journal_entry e JOIN journal_posting p USING (entry_id)
        WHERE e.account_id = %s AND e.currency = %s AND p.ledger = 'receivable' AND p.invoice = ''
        """,
        (account, currency),
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return Decimal(row[0])


def to_carry(conn: Connection, account: str, currency: str) -> Decimal:
    """What is carried and a new payment asks for: nothing while another one is under way, which may
    have asked for it.
    """
    busy = conn.execute(
        "SELECT FROM payment_attempt"
        " WHERE account_id = %s AND currency = %s AND ended_at IS NULL LIMIT 1",
        (account, currency),
    ).fetchone()
    return Decimal(0) if busy is not None else carried(conn, account, currency)


@dataclass(frozen=True, slots=True)
class Unpaid:
    """What an account owes a legal entity in a currency, and nobody is paying."""

    account: str
    currency: str
    owed: Decimal
    """Less what is open in its favour."""
    due_at: datetime
    """Of its oldest invoice."""
    number: str


def unpaid(conn: Connection, account: str | None = None) -> list[Unpaid]:
    """Of all accounts or of one, the oldest first. An invoice whose money is under way is being
    paid, one that waits for the customer is not; what was refunded nobody owes.
    """
    rows = conn.execute(
        """
        SELECT account_id, currency, sum(CASE WHEN balance < 0 THEN balance ELSE unpaid END),
               min(due_at) FILTER (WHERE unpaid > 0),
               (array_agg(number ORDER BY due_at, number) FILTER (WHERE unpaid > 0))[1]
        FROM invoice_status s
        WHERE balance <> 0 AND (%(account)s::text IS NULL OR account_id = %(account)s)
        AND (balance < 0 OR unpaid > 0 AND NOT EXISTS (
            SELECT FROM payment_attempt a
            WHERE a.invoice_id = s.invoice_id AND a.state = 'processing'))
        GROUP BY account_id, currency, entity HAVING bool_or(unpaid > 0)
        ORDER BY 4, 5
        """,
        {"account": account},
    ).fetchall()
    return [Unpaid(*row) for row in rows]
