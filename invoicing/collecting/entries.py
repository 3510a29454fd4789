"""What payments, refunds, charge-backs, fees and pay-outs are in the books. Pure."""

from datetime import datetime
from decimal import Decimal

from invoicing.collecting.applying import Move
from invoicing.gateways.protocol import Dispute, Payout, Refund
from pipeline.money import EXACT
from sinks.journal import Entry, Kind, Posting
from sinks.payments import Attempt
from sinks.payments_due import Due

RECEIVABLE = "receivable"


def paid(attempt: Attempt, clearing: str, mine: Decimal, at: datetime) -> Entry:
    """Of a payment: ``mine`` is the invoice's, the rest of what was received the account's."""
    received = attempt.received or Decimal(0)
    postings = (
        Posting(clearing, received),
        Posting(RECEIVABLE, -mine, invoice=attempt.invoice),
        Posting(RECEIVABLE, EXACT.subtract(mine, received)),
    )
    return _entry(Kind.PAYMENT, str(attempt.attempt), at, attempt, postings)


def fee(attempt: Attempt, amount: Decimal, clearing: str, at: datetime) -> Entry:
    """What the gateway kept of a payment."""
    postings = (Posting("fees", amount), Posting(clearing, -amount))
    return _entry(Kind.FEE, str(attempt.attempt), at, attempt, postings)


def refunded(attempt: Attempt, refund: Refund, clearing: str, at: datetime) -> Entry:
    """Money sent back: the invoice is open again, until a credit note says why."""
    return _back(Kind.REFUND, refund.reference, attempt, refund.amount, clearing, at)


def refund_failed(attempt: Attempt, refund: Refund, clearing: str, at: datetime) -> Entry:
    """It came back to us after all."""
    reference = f"{refund.reference}/failed"
    return _back(Kind.REFUND, reference, attempt, -refund.amount, clearing, at)


def charged_back(attempt: Attempt, dispute: Dispute, clearing: str, at: datetime) -> Entry:
    """The customer's bank took it back."""
    return _back(Kind.CHARGE_BACK, dispute.reference, attempt, dispute.amount, clearing, at)


def won(attempt: Attempt, dispute: Dispute, clearing: str, at: datetime) -> Entry:
    """And gave it to us again."""
    reference = f"{dispute.reference}/won"
    return _back(Kind.CHARGE_BACK, reference, attempt, -dispute.amount, clearing, at)


def dispute_fee(attempt: Attempt, dispute: Dispute, clearing: str, at: datetime) -> Entry:
    """Kept by the gateway, whoever wins."""
    postings = (Posting("fees", dispute.fee), Posting(clearing, -dispute.fee))
    return _entry(Kind.FEE, dispute.reference, at, attempt, postings)


def paid_out(payout: Payout, clearing: str, at: datetime, *, back: bool = False) -> Entry:
    """From the gateway to our bank, or ``back`` where the bank did not take it."""
    amount = -payout.amount if back else payout.amount
    reference = f"{payout.reference}/failed" if back else payout.reference
    postings = (Posting("bank", amount), Posting(clearing, -amount))
    return Entry(Kind.PAYOUT, reference, at, "", payout.currency, postings)


def carry(due: Due, number: int, at: datetime) -> Entry:
    """Too little for any payment: the account's from now on, paid with another invoice. The
    ``number``-th time that this invoice leaves a rest.
    """
    rest = due.asked
    postings = (Posting(RECEIVABLE, -rest, invoice=due.number), Posting(RECEIVABLE, rest))
    reference = f"{due.number}/{number}"
    return Entry(Kind.CARRY, reference, at, due.account, due.currency, postings)


def applied(account: str, move: Move, number: int, at: datetime) -> Entry:
    """A balance in the customer's favour pays another invoice: the ``number``-th move of it."""
    postings = (
        Posting(RECEIVABLE, move.amount, invoice=move.source),
        Posting(RECEIVABLE, -move.amount, invoice=move.target),
    )
    reference = f"{move.source}/{move.target}/{number}"
    return Entry(Kind.APPLY, reference, at, account, move.currency, postings)


def _back(
    kind: Kind, reference: str, attempt: Attempt, amount: Decimal, clearing: str, at: datetime
) -> Entry:
    postings = (Posting(RECEIVABLE, amount, invoice=attempt.invoice), Posting(clearing, -amount))
    return _entry(kind, reference, at, attempt, postings)


def _entry(
    kind: Kind, reference: str, at: datetime, attempt: Attempt, postings: tuple[Posting, ...]
) -> Entry:
    return Entry(kind, reference, at, attempt.account, attempt.currency, postings)
