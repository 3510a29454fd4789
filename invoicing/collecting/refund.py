"""Sends money back: the order's row first, then the call, then what came of it.

An answer that is lost is looked up by the order's id; what is not there is asked for again with the
same key. That key may be forgotten after a day, hence always the look-up first.
"""

from decimal import Decimal

from invoicing.collecting.attempt import Till
from invoicing.collecting.plan import require_step
from invoicing.collecting.record import record_refund
from invoicing.gateways.protocol import GatewayRefusedError, RefundOrder
from pipeline.money import EXACT
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.payment_events import (
    RefundRow,
    keep_refund,
    order_refund,
    refund_row,
    refunds_of,
    refunds_under_way,
)
from sinks.payments import Attempt, attempt_of


def refund(till: Till, attempt: Attempt, amount: Decimal, reason: str, by: str) -> RefundRow:
    """The refund as it is then. Raises RefusedError for more than is left of the payment, and for
    what the gateway cannot move: its order would never come to an end.
    """
    require_step(amount, till.gateway.step(attempt.currency), attempt.currency)
    row = order_refund(till.conn, attempt.attempt, amount, reason, by, till.clock())
    return _send(till, attempt, row, fresh=True)


def left_of(conn: Connection, attempt: Attempt) -> Decimal:
    """What was received and not sent back."""
    gone = sum(row.amount for row in refunds_of(conn, attempt.attempt) if row.state != "failed")
    return EXACT.subtract(attempt.received or Decimal(0), Decimal(gone))


def finish_refunds(till: Till) -> None:
    """Those that have no end yet."""
    for row in refunds_under_way(till.conn):
        attempt = attempt_of(till.conn, row.attempt)
        if attempt.gateway == till.gateway.name:
            try:
                _send(till, attempt, row)
            except RefusedError:
                continue


def _send(till: Till, attempt: Attempt, row: RefundRow, *, fresh: bool = False) -> RefundRow:
    assert attempt.reference is not None, "it was paid"
    order = RefundOrder(str(row.refund), attempt.reference, row.amount, attempt.currency)
    found = None if fresh else till.ask(lambda: till.gateway.find_refund(order))
    try:
        sent = found or till.ask(lambda: till.gateway.refund(order))
    except GatewayRefusedError as error:
        with till.conn.transaction():
            keep_refund(till.conn, row.refund, "failed", str(row.refund), till.clock())
        raise RefusedError(f"The gateway refuses to send {row.amount} back: {error}.") from error
    record_refund(till.conn, till.gateway, sent, till.clock())
    return refund_row(till.conn, row.refund)
