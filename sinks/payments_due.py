"""What is to be paid, from the journal alone (view ``invoice_status``)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Due:
    """An invoice of which something is open."""

    invoice_id: UUID
    number: str
    account: str
    currency: str
    due_at: datetime
    balance: Decimal


_ROW = "SELECT invoice_id, number, account_id, currency, due_at, balance FROM invoice_status"


def due_invoices(conn: Connection, now: datetime) -> list[Due]:
    """Unpaid and due, the oldest first, with nothing under way.

    Where money went back, by a refund or a charge-back, nobody but a person asks for it again.
    """
    rows = conn.execute(
        f"""
        {_ROW} s WHERE balance > 0 AND due_at <= %s AND refunded = 0 AND charged_back = 0
        AND NOT EXISTS (SELECT FROM payment_attempt a
                        WHERE a.invoice_id = s.invoice_id AND a.ended_at IS NULL)
        ORDER BY due_at, number
        """,
        (now,),
    ).fetchall()
    return [Due(*row) for row in rows]


def due_of(conn: Connection, number: str) -> Due | None:
    """One invoice, whether it is due or not; None where there is none."""
    row = conn.execute(f"{_ROW} WHERE number = %s", (number,)).fetchone()
    return None if row is None else Due(*row)


def hold_carried(conn: Connection, account: str) -> None:
    """Until the transaction ends nobody else asks for, books or adds to what is carried."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('carry'), hashtext(%s))", (account,))


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


def oldest_unpaid(conn: Connection, account: str | None = None) -> dict[str, tuple[datetime, str]]:
    """Account → due date and number of its oldest invoice that nobody is paying; of all or of one.

    One whose money is under way is being paid; one that waits for the customer is not.
    """
    rows = conn.execute(
        """
        SELECT DISTINCT ON (account_id) account_id, due_at, number
        FROM invoice_status s WHERE balance > 0 AND refunded = 0
        AND (%(account)s::text IS NULL OR account_id = %(account)s)
        AND NOT EXISTS (SELECT FROM payment_attempt a
                        WHERE a.invoice_id = s.invoice_id AND a.state = 'processing')
        ORDER BY account_id, due_at, number
        """,
        {"account": account},
    ).fetchall()
    return {account: (due_at, number) for account, due_at, number in rows}
