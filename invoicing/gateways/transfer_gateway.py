"""Bank transfer: the gateway without a network. A person says what has arrived and what was sent.

The reference is a creditor reference of ISO 11649, which customers' banks check before they send
and our statement shows: RF, two check digits, the end of the invoice's number and of the attempt.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from invoicing.gateways.protocol import (
    Intent,
    Method,
    Payer,
    Payment,
    Refund,
    RefundOrder,
    RefundState,
    State,
)
from pipeline.money import minor_units
from sinks import bank_transfers as rows
from sinks.bank_transfers import SentBack, Transfer
from sinks.database import Connection

_NUMBER: Final = 15
_ATTEMPT: Final = 6
"""21 characters after the check digits are what the standard allows."""


class TransferGateway:
    """A `Gateway`. Every call is a transaction of its own."""

    name = "transfer"
    clearing = "bank"
    patience = None
    early = False

    def __init__(self, conn: Connection, clock: Callable[[], datetime]) -> None:
        assert conn.autocommit, "what a gateway did is done, whatever becomes of who asked"
        self._conn = conn
        self._clock = clock

    def step(self, currency: str) -> Decimal:
        return Decimal(1).scaleb(-minor_units(currency))

    def least(self, currency: str) -> Decimal:
        return self.step(currency)

    def customer(self, payer: Payer) -> str:
        return payer.account

    def method_link(self, customer: str, currency: str) -> str:
        return ""

    def methods(self, customer: str) -> tuple[Method, ...]:
        return (Method(f"transfer/{customer}", "transfer", "bank transfer"),)

    def open(self, intent: Intent) -> Payment:
        reference = creditor_reference(intent.invoice, intent.attempt)
        wanted = Transfer(
            UUID(intent.attempt), reference, intent.account, intent.currency, intent.amount,
            None, None, None,
        )  # fmt: skip
        return _payment(rows.expect(self._conn, wanted))

    def confirm(self, intent: Intent, reference: str) -> Payment:
        return self.payment(reference)

    def find(self, intent: Intent) -> Payment | None:
        found = rows.by_attempt(self._conn, UUID(intent.attempt))
        return None if found is None else _payment(found)

    def payment(self, reference: str) -> Payment:
        return _payment(rows.by_reference(self._conn, reference))

    def cancel(self, reference: str) -> Payment:
        return _payment(rows.cancel(self._conn, reference, self._clock()))

    def refund(self, order: RefundOrder) -> Refund:
        found = rows.send_back(self._conn, UUID(order.refund), order.payment, order.amount)
        return _refund(found)

    def find_refund(self, order: RefundOrder) -> Refund | None:
        found = rows.back(self._conn, UUID(order.refund))
        return None if found is None else _refund(found)


def _payment(found: Transfer) -> Payment:
    state = State.ACTION
    if found.received is not None:
        state = State.PAID
    elif found.canceled_at is not None:
        state = State.CANCELED
    return Payment(
        found.reference, str(found.attempt), state, found.currency,
        received=found.received or Decimal(0), fee=Decimal(0),
    )  # fmt: skip


def _refund(found: SentBack) -> Refund:
    state = RefundState.PENDING if found.sent_at is None else RefundState.DONE
    return Refund(str(found.refund), str(found.refund), found.reference, found.amount, state)


def creditor_reference(invoice: str, attempt: str) -> str:
    """RF18…: the same for the same attempt; one digit or letter that is mistyped is noticed."""
    letters = "".join(c for c in invoice.upper() if c.isascii() and c.isalnum())
    body = letters[-_NUMBER:] + attempt.replace("-", "").upper()[:_ATTEMPT]
    return f"RF{98 - _mod97(body + 'RF00'):02}{body}"


def is_creditor_reference(text: str) -> bool:
    """Whether its check digits are right."""
    return text.startswith("RF") and text.isalnum() and _mod97(text[4:] + text[:4]) == 1


def _mod97(text: str) -> int:
    return int("".join(str(int(c, 36)) for c in text)) % 97
