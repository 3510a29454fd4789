"""Stripe Invoicing: Stripe hosts a page for our invoice, where the customer pays it as he likes.

Ours stays the only legal invoice: theirs carries its number, id and digest, and is no more than
a request for payment. To open makes a draft; to confirm gives it its lines in one call, compares
its total with ours, and finalises it. That moves no money: the customer does, on their page.
A draft is found by its metadata; what is done is seen in its status, so nothing is done twice.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import stripe

from invoicing.gateways import stripe_read as read
from invoicing.gateways.protocol import (
    About,
    Dispute,
    Event,
    GatewayRefusedError,
    Intent,
    Method,
    Payer,
    Payment,
    Payout,
    Refund,
    RefundOrder,
    State,
)
from invoicing.gateways.stripe_gateway import StripeGateway, made_for, said
from invoicing.gateways.stripe_sheet import Sheet

NUMBER_MAX: Final = 26
"""Of Stripe's own field."""
_EXPAND: Final = ["payments"]
_MISSING: Final = "resource_missing"


class StripeInvoiceGateway:
    """A `Teller`. What concerns a card that paid is Stripe's payment below the invoice."""

    name = "stripe-invoice"
    clearing = "clearing:stripe"
    patience: timedelta | None = None
    early = True

    def __init__(self, card: StripeGateway, sheets: Callable[[Intent], Sheet]) -> None:
        self._card = card
        self._client = card.client
        self._sheets = sheets

    def step(self, currency: str) -> Decimal:
        return self._card.step(currency)

    def least(self, currency: str) -> Decimal:
        return self._card.least(currency)

    def customer(self, payer: Payer) -> str:
        return self._card.customer(payer)

    def method_link(self, customer: str, currency: str) -> str:
        return ""

    def methods(self, customer: str) -> tuple[Method, ...]:
        """A new one each time it is chosen: what was parked is tried again then."""
        return (Method(f"invoice/{uuid4()}", "invoice", "a page of Stripe's"),)

    def open(self, intent: Intent) -> Payment:
        sheet = self._sheets(intent)
        with said():
            found = self._client.invoices.create(
                {
                    "customer": intent.customer,
                    "currency": intent.currency.lower(),
                    "auto_advance": False,
                    "collection_method": "send_invoice",
                    "days_until_due": sheet.days,
                    "pending_invoice_items_behavior": "exclude",
                    "description": f"Invoice {sheet.number}",
                    "custom_fields": [{"name": "Invoice", "value": sheet.number}],
                    "metadata": {
                        read.ATTEMPT: intent.attempt,
                        "rackmeter_account": intent.account,
                        "rackmeter_invoice": sheet.number,
                        "rackmeter_invoice_id": sheet.invoice_id,
                        "rackmeter_digest": sheet.digest,
                    },
                },
                {"idempotency_key": intent.attempt},
            )
        return read.invoice(found.to_dict())

    def confirm(self, intent: Intent, reference: str) -> Payment:
        draft = self._get(reference)
        if draft.get("status") != "draft":
            return self.payment(reference)
        sheet = self._sheets(intent)
        if not draft["lines"]["data"]:
            draft = self._fill(intent, reference, sheet)
        theirs = {"total": draft["total"], "amount due": draft["amount_due"]}
        if wrong := [f"{what} {units}" for what, units in theirs.items() if units != sheet.total]:
            raise GatewayRefusedError(
                f"Stripe's invoice has {' and '.join(wrong)}, ours {sheet.total}: look for taxes,"
                " coupons or a balance of that customer at Stripe",
                final=True,
            )
        self._give_number(reference, sheet.number)
        with said():
            self._client.invoices.finalize_invoice(reference, {"auto_advance": False})
        return self.payment(reference)

    def _fill(self, intent: Intent, reference: str, sheet: Sheet) -> dict[str, Any]:
        """All lines or none: a draft that has some has all."""
        with said():
            found = self._client.invoices.add_lines(
                reference,
                {"lines": [
                    {"description": one.text, "amount": one.units, "discountable": False}
                    for one in sheet.lines
                ]},
                {"idempotency_key": f"{intent.attempt}/lines"},
            )  # fmt: skip
        return found.to_dict()

    def _give_number(self, reference: str, number: str) -> None:
        """Theirs is ours, where it fits and no voided one of theirs has it: else it is said in the
        description and in a field of its own alone.
        """
        if len(number) <= NUMBER_MAX:
            try:
                with said():
                    self._client.invoices.update(reference, {"number": number})
            except GatewayRefusedError:
                return

    def find(self, intent: Intent) -> Payment | None:
        reference = made_for(intent, self._client.invoices.list, read.invoice)
        return None if reference is None else self.payment(reference)

    def payment(self, reference: str) -> Payment:
        invoice = self._get(reference)
        found = read.invoice(invoice)
        paid_by = read.paid_by(invoice)
        if found.state is State.PAID and paid_by:
            found = replace(found, fee=self._card.payment(paid_by).fee)
        return found

    def _get(self, reference: str) -> dict[str, Any]:
        try:
            with said():
                found = self._client.invoices.retrieve(reference, {"expand": _EXPAND})
            return found.to_dict()
        except GatewayRefusedError as error:
            if isinstance(error.__cause__, stripe.StripeError) and error.__cause__.code == _MISSING:
                return {"id": reference, "deleted": True}  # a draft that we gave up
            raise

    def cancel(self, reference: str) -> Payment:
        """A draft is deleted, what the customer may have seen is voided."""
        found = self._get(reference)
        try:
            with said():
                if found.get("status") == "draft":
                    self._client.invoices.delete(reference)
                elif found.get("status") in ("open", "uncollectible"):
                    self._client.invoices.void_invoice(reference)
        except GatewayRefusedError:
            now = self.payment(reference)
            if now.state not in (State.PAID, State.CANCELED):
                raise
        return self.payment(reference)

    def refund(self, order: RefundOrder) -> Refund:
        sent = self._card.refund(replace(order, payment=self._paid_by(order)))
        return replace(sent, payment=order.payment)

    def find_refund(self, order: RefundOrder) -> Refund | None:
        found = self._card.find_refund(replace(order, payment=self._paid_by(order)))
        return None if found is None else replace(found, payment=order.payment)

    def _paid_by(self, order: RefundOrder) -> str:
        paid_by = read.paid_by(self._get(order.payment))
        if not paid_by:
            raise GatewayRefusedError(f"{order.payment} has no single payment at Stripe")
        return paid_by

    def event(self, body: bytes, signature: str) -> Event:
        found = self._card.event(body, signature)
        if found.kind.startswith("invoice.") and found.reference.startswith("in_"):
            return replace(found, about=About.PAYMENT)
        if found.about in (About.REFUND, About.DISPUTE):
            return found
        return replace(found, about=About.NOTHING)

    def refund_of(self, reference: str) -> Refund:
        found = self._card.refund_of(reference)
        return replace(found, payment=self._invoice_of(found.payment))

    def dispute(self, reference: str) -> Dispute:
        found = self._card.dispute(reference)
        return replace(found, payment=self._invoice_of(found.payment))

    def payout(self, reference: str) -> Payout:
        return self._card.payout(reference)

    def _invoice_of(self, payment: str) -> str:
        """The invoice that a payment of theirs paid; empty: none."""
        if not payment:
            return ""
        with said():
            page = self._client.invoice_payments.list(
                {"payment": {"type": "payment_intent", "payment_intent": payment}, "limit": 1}
            )
        invoice = page.data[0].to_dict()["invoice"] if page.data else ""
        return str(invoice["id"] if isinstance(invoice, dict) else invoice)
