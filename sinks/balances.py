"""What is open of an account, on both sides: invoices that are owed, and what is the customer's."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Open:
    """An invoice with something open. Balances of one currency and legal entity pay each other."""

    number: str
    entity: str
    currency: str
    due_at: datetime
    balance: Decimal
    """Above zero it is owed to us, below zero it is the customer's and free to be used."""
    credited: int
    """Entry that last lowered it: tells which of two credits is older."""


def unsettled(conn: Connection) -> list[str]:
    """Accounts of which one invoice is owed and another one's balance is theirs, or a loss came in
    after all.
    """
    rows = conn.execute(
        """
        SELECT DISTINCT account_id FROM invoice_status WHERE balance <> 0
        GROUP BY account_id, currency, entity
        HAVING bool_or(balance < 0) AND (bool_or(balance > 0) OR bool_or(written_off > 0))
        ORDER BY 1
        """
    ).fetchall()
    return [row[0] for row in rows]


def open_of(conn: Connection, account: str) -> list[Open]:
    """Of one account. What is on its way to or from a gateway is not free: an invoice that is
    being charged is left out, and of a balance what is to be sent back.
    """
    rows = conn.execute(
        """
        SELECT number, entity, currency, due_at, balance + least(leaving, greatest(-balance, 0)),
               (SELECT coalesce(max(entry_id), 0) FROM journal_posting p
                WHERE p.invoice = s.number AND p.invoice <> '' AND p.amount < 0)
        FROM (
            SELECT *, (SELECT coalesce(sum(r.amount), 0)
                       FROM payment_refund r JOIN payment_attempt a USING (attempt_id)
                       WHERE a.invoice_id = i.invoice_id AND r.ended_at IS NULL) AS leaving
            FROM invoice_status i WHERE account_id = %s AND balance <> 0
        ) s
        WHERE NOT EXISTS (
            SELECT FROM payment_attempt a WHERE a.invoice_id = s.invoice_id
            AND a.state IN ('intended', 'open', 'processing', 'declined') AND s.balance > 0)
        ORDER BY due_at, number
        """,
        (account,),
    ).fetchall()
    return [Open(*row) for row in rows]
