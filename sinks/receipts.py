"""Money that a person enters, as journal entries: transfers, losses, rests that no gateway can
move. Builders are pure; ``sinks.journal.post`` enters what they return.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final

from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting

RECEIVABLE: Final = "receivable"
BANK: Final = "bank"


def received(
    reference: str, at: datetime, account: str, currency: str, amount: Decimal, invoice: str = ""
) -> Entry:
    """A transfer into our bank for an invoice, or for the account where none is named."""
    sides = Posting(BANK, amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.PAYMENT, reference, at, account, currency, sides)


def write_off(at: datetime, account: str, currency: str, amount: Decimal, invoice: str) -> Entry:
    """What nobody will pay any more of an invoice: a loss. Once an invoice."""
    sides = Posting("bad_debt", amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.WRITE_OFF, invoice, at, account, currency, sides)


def carry(at: datetime, account: str, currency: str, amount: Decimal, invoice: str) -> Entry:
    """The rest of an invoice that is less than a gateway's step goes on to the account; a negative
    one where the step was rounded up. Once an invoice.
    """
    sides = Posting(RECEIVABLE, amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.CARRY, invoice, at, account, currency, sides)


def on_account(conn: Connection, account: str, currency: str) -> Decimal:
    """What the account owes besides its invoices: rests carried, less what it paid for none."""
    row = conn.execute(
        """
        SELECT coalesce(sum(p.amount), 0)
        FROM journal_entry e JOIN journal_posting p USING (entry_id)
        WHERE e.account_id = %s AND e.currency = %s AND p.ledger = 'receivable' AND p.invoice = ''
        """,
        (account, currency),
    ).fetchone()
    assert row is not None
    return Decimal(row[0])
