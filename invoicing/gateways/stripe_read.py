"""Stripe's objects in the words of the protocol. Pure: plain JSON in, dumb data out."""

from decimal import Decimal
from typing import Any, Final

from invoicing.gateways.protocol import (
    About,
    Dispute,
    DisputeState,
    Event,
    Method,
    Payment,
    Payout,
    Refund,
    RefundState,
    State,
)
from invoicing.gateways.stripe_amounts import from_wire

Json = dict[str, Any]

ATTEMPT: Final = "rackmeter_attempt"
REFUND: Final = "rackmeter_refund"
"""Keys of the metadata by which what we made is found."""
AUTHENTICATE: Final = "authentication_required"

_STATES: Final = {
    "requires_confirmation": State.OPEN,
    "requires_action": State.ACTION,
    "processing": State.PROCESSING,
    "requires_capture": State.PROCESSING,
    "requires_payment_method": State.DECLINED,
    "succeeded": State.PAID,
    "canceled": State.CANCELED,
}
_INVOICES: Final = {"draft": State.OPEN, "paid": State.PAID, "void": State.CANCELED}
"""An open one waits for the customer, and so does one that was given up as uncollectible."""
_HOPELESS: Final = (
    "card_not_supported expired_card fraudulent incorrect_number invalid_account lost_card"
    " merchant_blacklist pickup_card restricted_card revocation_of_all_authorizations"
    " revocation_of_authorization stolen_card stop_payment_order"
)
"""docs.stripe.com/declines/codes: asking again cannot help, and networks fine those who do."""
_REFUNDS: Final = {
    "succeeded": RefundState.DONE,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
_ABOUT: Final = (
    ("payment_intent.", About.PAYMENT, "id"),
    ("charge.dispute.", About.DISPUTE, "id"),
    ("charge.refund.", About.REFUND, "id"),
    ("refund.", About.REFUND, "id"),
    ("charge.", About.PAYMENT, "payment_intent"),
    ("payout.", About.PAYOUT, "id"),
    ("payment_method.", About.METHOD, "customer"),
    ("setup_intent.", About.METHOD, "customer"),
    ("checkout.session.", About.METHOD, "customer"),
)


def payment(intent: Json) -> Payment:
    """Of a PaymentIntent, its ``latest_charge.balance_transaction`` expanded for the fee."""
    currency = str(intent["currency"]).upper()
    state = _STATES.get(intent["status"], State.PROCESSING)
    error = intent.get("last_payment_error") or {}
    reason = error.get("decline_code") or error.get("code") or ""
    if state is State.CANCELED:
        reason = reason or intent.get("cancellation_reason") or ""
    return Payment(
        reference=intent["id"],
        attempt=(intent.get("metadata") or {}).get(ATTEMPT, ""),
        state=state,
        currency=currency,
        received=from_wire(int(intent.get("amount_received") or 0), currency),
        fee=_fee(intent, currency),
        reason=reason if state in (State.DECLINED, State.CANCELED) else "",
        final=reason in _HOPELESS.split() or error.get("advice_code") == "do_not_try_again",
        link=_link(intent) if state is State.ACTION else "",
    )


def _fee(intent: Json, currency: str) -> Decimal | None:
    charge = intent.get("latest_charge")
    booked = charge.get("balance_transaction") if isinstance(charge, dict) else None
    if not isinstance(booked, dict) or str(booked["currency"]).upper() != currency:
        return None
    return from_wire(int(booked["fee"]), currency)


def _link(intent: Json) -> str:
    action = intent.get("next_action") or {}
    return str((action.get("redirect_to_url") or {}).get("url") or "")


def invoice(found: Json) -> Payment:
    """Of an Invoice with its ``payments``. One that is deleted was a draft. One that somebody
    marked as paid outside of Stripe has brought no money there: a person enters what he has.
    """
    if found.get("deleted"):
        return Payment(found["id"], "", State.CANCELED, "", reason="deleted")
    currency, status = str(found["currency"]).upper(), found["status"]
    outside = int(found.get("amount_paid_off_stripe") or 0)
    state = _INVOICES.get(status, State.ACTION)
    if status == "paid" and outside:
        state = State.CANCELED
    return Payment(
        reference=found["id"],
        attempt=(found.get("metadata") or {}).get(ATTEMPT, ""),
        state=state,
        currency=currency,
        received=from_wire(int(found.get("amount_paid") or 0) - outside, currency),
        reason="marked as paid outside of Stripe" if outside else "",
        final=bool(outside),
        link=str(found.get("hosted_invoice_url") or "") if state is State.ACTION else "",
    )


def paid_by(found: Json) -> str:
    """The payment of an Invoice; empty: there is none, or there are several."""
    rows = [
        row["payment"].get("payment_intent")
        for row in (found.get("payments") or {}).get("data") or ()
        if row.get("status") == "paid"
    ]
    return str(rows[0]) if len(rows) == 1 and isinstance(rows[0], str) else ""


def method(found: Json) -> Method:
    """Of a PaymentMethod: brand and last four digits are what may be shown."""
    kind = found["type"]
    about = found.get(kind) or {}
    label = f"{about.get('brand') or kind} •••• {about.get('last4', '')}"
    if "exp_year" in about:
        label += f", {int(about['exp_month']):02}/{about['exp_year']}"
    return Method(found["id"], kind, label)


def refund(found: Json) -> Refund:
    """Of a Refund."""
    currency = str(found["currency"]).upper()
    return Refund(
        found["id"],
        (found.get("metadata") or {}).get(REFUND, ""),
        found.get("payment_intent") or "",
        from_wire(int(found["amount"]), currency),
        _REFUNDS.get(found["status"], RefundState.PENDING),
    )


def dispute(found: Json) -> Dispute:
    """Of a Dispute: money and fee are taken at once, and the money given back when it is won."""
    currency = str(found["currency"]).upper()
    status = str(found["status"])
    state = DisputeState.WON if status == "won" else DisputeState.TAKEN
    if status.startswith("warning_") or status == "prevented":
        state = DisputeState.INQUIRY
    fees = sum(
        int(booked["fee"])
        for booked in found.get("balance_transactions") or ()
        if str(booked["currency"]).upper() == currency and int(booked["amount"]) < 0
    )
    return Dispute(
        found["id"], found.get("payment_intent") or "", from_wire(int(found["amount"]), currency),
        from_wire(fees, currency), currency, state,
    )  # fmt: skip


def payout(found: Json) -> Payout:
    """Of a Payout: also one that is paid may fail for days after."""
    currency = str(found["currency"]).upper()
    arrived = {"paid": True, "failed": False, "canceled": False}.get(found["status"])
    return Payout(found["id"], from_wire(int(found["amount"]), currency), currency, arrived)


def event(found: Json) -> Event:
    """Of a snapshot event: only what it is about is taken from it."""
    kind, thing = str(found["type"]), found["data"]["object"]
    for prefix, about, key in _ABOUT:
        reference = thing.get(key)
        if kind.startswith(prefix) and isinstance(reference, str):
            return Event(str(found["id"]), kind, about, reference)
    return Event(str(found["id"]), kind, About.NOTHING, str(thing.get("id", "")))
