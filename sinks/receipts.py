"""Money in and out as journal entries: payments, refunds, charge-backs, write-offs, rests. Pure
builders beside the few questions that they need; ``sinks.journal.post`` enters what they return.

``ledger`` is where the money lies: ``bank``, or ``clearing:stripe`` until a pay-out. ``reference``
is the payer's side of it: the bank's line, the gateway's id. All amounts are positive.
"""

from datetime import datetime
from decimal import Decimal

from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting

RECEIVABLE = "receivable"


def payment(
    reference: str, at: datetime, account: str, currency: str, ledger: str, amount: Decimal,
    invoice: str = "",
) -> Entry:  # fmt: skip
    """Money for an invoice, or for the account where none is named."""
    sides = Posting(ledger, amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.PAYMENT, reference, at, account, currency, sides)


def refund(
    reference: str, at: datetime, account: str, currency: str, ledger: str, amount: Decimal,
    invoice: str = "",
) -> Entry:  # fmt: skip
    """Money that we gave back."""
    sides = Posting(RECEIVABLE, amount, invoice=invoice), Posting(ledger, -amount)
    return Entry(Kind.REFUND, reference, at, account, currency, sides)


def charge_back(
    reference: str, at: datetime, account: str, currency: str, ledger: str, amount: Decimal,
    invoice: str = "", *, won: bool = False,
) -> Entry:  # fmt: skip
    """Money that the payer's bank took back; ``won``, that it returned."""
    moved = -amount if won else amount
    sides = Posting(RECEIVABLE, moved, invoice=invoice), Posting(ledger, -moved)
    return Entry(Kind.CHARGE_BACK, reference, at, account, currency, sides)


def write_off(
    reference: str, at: datetime, account: str, currency: str, amount: Decimal, invoice: str
) -> Entry:
    """What nobody will pay any more: a loss."""
    sides = Posting("bad_debt", amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.WRITE_OFF, reference, at, account, currency, sides)


def fee(reference: str, at: datetime, currency: str, ledger: str, amount: Decimal) -> Entry:
    """What a provider keeps."""
    return Entry(
        Kind.FEE, reference, at, "", currency, (Posting("fees", amount), Posting(ledger, -amount))
    )


def payout(reference: str, at: datetime, currency: str, ledger: str, amount: Decimal) -> Entry:
    """What a provider has sent to our bank."""
    sides = Posting("bank", amount), Posting(ledger, -amount)
    return Entry(Kind.PAYOUT, reference, at, "", currency, sides)


def carry(at: datetime, account: str, currency: str, amount: Decimal, invoice: str) -> Entry:
    """The rest of an invoice that is less than a gateway's step goes on to the account; a negative
    one where the step was rounded up.
    """
    sides = Posting(RECEIVABLE, amount), Posting(RECEIVABLE, -amount, invoice=invoice)
    return Entry(Kind.CARRY, invoice, at, account, currency, sides)


def carried(conn: Connection, account: str, currency: str) -> Decimal:
    """What the account owes besides its invoices: rests carried; negative is in its favour."""
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
