"""Writes down what a gateway says: row, books and a word to the customer in one transaction.

What is written is the state of the object as it was asked for; how often and in which order that
happens changes nothing. The entries are once per reference. Money that comes after an attempt was
given up is booked like any other.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from invoicing.collecting import entries as books
from invoicing.gateways.protocol import (
    Dispute,
    DisputeState,
    Gateway,
    Payment,
    Payout,
    Refund,
    RefundState,
    State,
)
from schemas import events
from sinks.database import Connection
from sinks.journal import hold_account, post
from sinks.outbox import enqueue
from sinks.payment_alerts import payment_alert
from sinks.payment_events import RefundRow, find_refund_row, keep_refund, order_refund
from sinks.payments import Attempt, Found, attempt_of, find_attempt, keep
from sinks.payments_due import due_of
from sinks.receipts import recover

THEIR_TOOLS: Final = "made with the gateway's own tools"
_TOLD: Final = {
    State.PAID: events.PAYMENT_RECEIVED,
    State.DECLINED: events.PAYMENT_FAILED,
    State.ACTION: events.PAYMENT_ACTION,
}


def record_payment(
    conn: Connection, gateway: Gateway, attempt: Attempt, payment: Payment, at: datetime
) -> Attempt:
    """The attempt as it is then."""
    with conn.transaction():
        before = attempt_of(conn, attempt.attempt, lock=True)
        found = Found(
            payment.state, payment.reference, payment.received, payment.fee, payment.reason,
            payment.final, payment.link,
        )  # fmt: skip
        after = keep(conn, attempt.attempt, found, at)
        if after.state != before.state:
            if after.state == State.PAID:
                _book(conn, gateway, after, at)
            if kind := _TOLD.get(State(after.state)):
                amount = after.received if after.received is not None else after.amount
                enqueue(conn, payment_alert(kind, after, at, amount=amount), at)
        if after.state == State.PAID and after.fee:
            post(conn, books.fee(after, after.fee, gateway.clearing, at))
        return after


def _book(conn: Connection, gateway: Gateway, attempt: Attempt, at: datetime) -> None:
    """A payment of what was asked for pays what the invoice owed then, exactly; the rounding is the
    account's, like what was carried to this payment. Another amount, or of an invoice that owes
    something else by now, is the invoice's, whole: what is too much pays the next one.
    """
    hold_account(conn, attempt.account)
    due, received = due_of(conn, attempt.invoice), attempt.received or Decimal(0)
    as_asked = due is not None and due.asked == attempt.owed and received == attempt.amount
    mine = attempt.owed if as_asked else received
    post(conn, books.paid(attempt, gateway.clearing, mine, at))
    recover(conn, [attempt.invoice], at)


def record_canceled(
    conn: Connection, attempt: UUID, reason: str, at: datetime, *, final: bool = False
) -> Attempt:
    """Given up by us; nothing of it was charged. ``final``: nor will this method be again."""
    with conn.transaction():
        return keep(conn, attempt, Found(State.CANCELED, reason=reason, final=final), at)


def record_refund(
    conn: Connection, gateway: Gateway, refund: Refund, at: datetime
) -> RefundRow | None:
    """The refund as it is then; None where it is of no payment of ours."""
    attempt = find_attempt(conn, gateway.name, refund.payment)
    if attempt is None:
        return None
    with conn.transaction():
        row = find_refund_row(conn, refund.reference, refund.refund)
        if row is None:
            row = order_refund(conn, attempt.attempt, refund.amount, THEIR_TOOLS, gateway.name, at)
        after = keep_refund(conn, row.refund, refund.state, refund.reference, at)
        hold_account(conn, attempt.account)
        if after.state == "done":
            post(conn, books.refunded(attempt, refund, gateway.clearing, at))
            alert = payment_alert(
                events.PAYMENT_REFUNDED, attempt, at, amount=refund.amount,
                reference=refund.reference,
            )  # fmt: skip
            enqueue(conn, alert, at)
        if refund.state is RefundState.FAILED and row.state == "done":
            post(conn, books.refund_failed(attempt, refund, gateway.clearing, at))
            recover(conn, [attempt.invoice], at)
        return after


def record_dispute(conn: Connection, gateway: Gateway, dispute: Dispute, at: datetime) -> str:
    """In one word what it is now; empty where it is of no payment of ours."""
    attempt = find_attempt(conn, gateway.name, dispute.payment)
    if attempt is None:
        return ""
    with conn.transaction():
        hold_account(conn, attempt.account)
        if dispute.state is not DisputeState.INQUIRY:
            post(conn, books.charged_back(attempt, dispute, gateway.clearing, at))
        if dispute.fee:
            post(conn, books.dispute_fee(attempt, dispute, gateway.clearing, at))
        if dispute.state is DisputeState.WON:
            post(conn, books.won(attempt, dispute, gateway.clearing, at))
            recover(conn, [attempt.invoice], at)
    return dispute.state


def record_payout(conn: Connection, gateway: Gateway, payout: Payout, at: datetime) -> str:
    """In one word what it is now. One that came back was under way before."""
    if payout.arrived is None:
        return "under way"
    with conn.transaction():
        post(conn, books.paid_out(payout, gateway.clearing, at))
        if not payout.arrived:
            post(conn, books.paid_out(payout, gateway.clearing, at, back=True))
    return "arrived" if payout.arrived else "came back"
