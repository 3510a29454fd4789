"""Stripe, through its own client: pinned version, bounded time, no retries but ours.

A look-up lists a customer's payments and reads their metadata: lists are as of now, their search
is up to an hour behind. Their idempotency keys are forgotten after 24 hours and replay the first
answer until then, failures of theirs included (docs.stripe.com/api/idempotent_requests).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import stripe
from stripe.params import CustomerCreateParams, PaymentIntentConfirmParams

from invoicing.gateways import stripe_read as read
from invoicing.gateways.protocol import (
    Dispute,
    Event,
    ForgedEventError,
    GatewayBusyError,
    GatewayRefusedError,
    GatewayUnknownError,
    Intent,
    Method,
    Payer,
    Payment,
    Payout,
    Refund,
    RefundOrder,
    State,
)
from invoicing.gateways.stripe_amounts import least, to_wire, wire
from schemas.errors import ConfigError

VERSION: Final = "2026-10-28.endive"
"""What the answers are read as; raised together with the client, never by their dashboard."""
CONNECT_S: Final = 5.0
ANSWER_S: Final = 30.0
"""Card networks answer within 20 s or not at all."""
TOLERANCE_S: Final = 300
"""An event that was signed longer ago is a replay."""
PATIENCE: Final = timedelta(days=3)
SKEW: Final = timedelta(hours=1)
"""How far their clock may be behind ours when we look for what we made."""
_PAYMENT: Final = ["latest_charge.balance_transaction"]
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class StripeKeys:
    """``secret`` is a restricted key; of ``signing`` secrets one may replace another."""

    secret: str
    signing: tuple[str, ...]
    return_url: str
    """Where customers come back to from pages of theirs."""
    api: str | None = None
    """Another address than theirs, for tests."""


class StripeGateway:
    """A `Teller`."""

    name = "stripe"
    clearing = "clearing:stripe"
    patience: timedelta | None = PATIENCE
    early = False

    def __init__(
        self, keys: StripeKeys, timeout_s: tuple[float, float] = (CONNECT_S, ANSWER_S)
    ) -> None:
        self.keys = keys
        self.client = stripe.StripeClient(
            keys.secret,
            stripe_version=VERSION,
            base_addresses={"api": keys.api} if keys.api else {},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout_s),
        ).v1

    def step(self, currency: str) -> Decimal:
        return wire(currency).step

    def least(self, currency: str) -> Decimal:
        return least(currency)

    def customer(self, payer: Payer) -> str:
        """Without a key: one that is made and forgotten has no card and costs nothing."""
        wanted: CustomerCreateParams = {
            "name": payer.name,
            "metadata": {"rackmeter_account": payer.account},
        }
        if payer.mail:
            wanted["email"] = payer.mail
        with said():
            return self.client.customers.create(wanted).id

    def method_link(self, customer: str, currency: str) -> str:
        with said():
            session = self.client.checkout.sessions.create(
                {
                    "mode": "setup",
                    "currency": currency.lower(),
                    "customer": customer,
                    "success_url": self.keys.return_url,
                    "cancel_url": self.keys.return_url,
                }
            )
        return session.url or ""

    def methods(self, customer: str) -> tuple[Method, ...]:
        with said():
            found = self.client.payment_methods.list({"customer": customer, "limit": _PAGE})
        rows = sorted((row.to_dict() for row in found.data), key=lambda r: -r.get("created", 0))
        return tuple(read.method(row) for row in rows)

    def open(self, intent: Intent) -> Payment:
        with said():
            found = self.client.payment_intents.create(
                {
                    "amount": to_wire(intent.amount, intent.currency),
                    "currency": intent.currency.lower(),
                    "customer": intent.customer,
                    "payment_method": intent.token,
                    "description": intent.invoice,
                    "metadata": {
                        read.ATTEMPT: intent.attempt,
                        "rackmeter_account": intent.account,
                        "rackmeter_invoice": intent.invoice,
                    },
                },
                {"idempotency_key": intent.attempt},
            )
        return read.payment(found.to_dict())

    def confirm(self, intent: Intent, reference: str) -> Payment:
        """Off-session; where the bank wants to see the customer, once more with him."""
        back = self.keys.return_url
        found = self._confirm(reference, {"off_session": True, "return_url": back})
        if found.state is State.DECLINED and found.reason == read.AUTHENTICATE:
            there: PaymentIntentConfirmParams = {"payment_method": intent.token, "return_url": back}
            found = self._confirm(reference, there)
        return found

    def _confirm(self, reference: str, how: PaymentIntentConfirmParams) -> Payment:
        try:
            with said():
                found = self.client.payment_intents.confirm(reference, {**how, "expand": _PAYMENT})
            return read.payment(found.to_dict())
        except (stripe.CardError, GatewayRefusedError):
            # Declined; or it is past confirming, as somebody has: either way it knows.
            found_now = self.payment(reference)
            if found_now.state is State.OPEN:
                raise
            return found_now

    def find(self, intent: Intent) -> Payment | None:
        reference = made_for(intent, self.client.payment_intents.list, read.payment)
        return None if reference is None else self.payment(reference)

    def payment(self, reference: str) -> Payment:
        with said():
            found = self.client.payment_intents.retrieve(reference, {"expand": _PAYMENT})
        return read.payment(found.to_dict())

    def cancel(self, reference: str) -> Payment:
        try:
            with said():
                return read.payment(self.client.payment_intents.cancel(reference).to_dict())
        except GatewayRefusedError:
            found = self.payment(reference)
            if found.state not in (State.PAID, State.CANCELED, State.PROCESSING):
                raise
            return found

    def refund(self, order: RefundOrder) -> Refund:
        with said():
            found = self.client.refunds.create(
                {
                    "payment_intent": order.payment,
                    "amount": to_wire(order.amount, order.currency),
                    "metadata": {read.REFUND: order.refund},
                },
                {"idempotency_key": order.refund},
            )
        return read.refund(found.to_dict())

    def find_refund(self, order: RefundOrder) -> Refund | None:
        with said():
            page = self.client.refunds.list({"payment_intent": order.payment, "limit": _PAGE})
            for row in page.auto_paging_iter():
                found = read.refund(row.to_dict())
                if found.refund == order.refund:
                    return found
        return None

    def event(self, body: bytes, signature: str) -> Event:
        for secret in self.keys.signing:
            try:
                stripe.WebhookSignature.verify_header(body.decode(), signature, secret, TOLERANCE_S)
                return read.event(json.loads(body))
            except stripe.SignatureVerificationError:
                continue
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ForgedEventError("the body is no event") from None
        raise ForgedEventError("no signing secret of ours fits")

    def refund_of(self, reference: str) -> Refund:
        with said():
            return read.refund(self.client.refunds.retrieve(reference).to_dict())

    def dispute(self, reference: str) -> Dispute:
        with said():
            return read.dispute(self.client.disputes.retrieve(reference).to_dict())

    def payout(self, reference: str) -> Payout:
        with said():
            return read.payout(self.client.payouts.retrieve(reference).to_dict())


def made_for(
    intent: Intent,
    listed: Callable[..., stripe.ListObject[Any]],
    read_one: Callable[[dict[str, Any]], Payment],
) -> str | None:
    """The reference of what an attempt made: that of the customer's whose metadata name it."""
    since = int((intent.intended_at - SKEW).timestamp())
    with said():
        page = listed({"customer": intent.customer, "created": {"gte": since}, "limit": _PAGE})
        for row in page.auto_paging_iter():
            found = read_one(row.to_dict())
            if found.attempt == intent.attempt:
                return found.reference
    return None


@contextmanager
def said() -> Iterator[None]:
    """Their client's errors in the protocol's words; a declined card stays what it is."""
    try:
        yield
    except stripe.CardError:
        raise
    except stripe.RateLimitError as error:
        raise GatewayBusyError(_why(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise ConfigError(
            f"Stripe refuses the key ({_why(error)}): RACKMETER_STRIPE_SECRET_FILE must hold one"
            " that may write customers, payments and refunds, and read disputes and payouts."
        ) from error
    except stripe.InvalidRequestError as error:
        if error.http_status in (409, 429):
            raise GatewayBusyError(_why(error)) from error
        raise GatewayRefusedError(_why(error)) from error
    except stripe.IdempotencyError as error:
        raise GatewayRefusedError(_why(error)) from error
    except stripe.StripeError as error:
        headers = {name.lower(): text for name, text in (error.headers or {}).items()}
        replayed = headers.get("idempotent-replayed") == "true"
        raise GatewayUnknownError(_why(error), replayed=replayed) from error


def _why(error: stripe.StripeError) -> str:
    """One line without what was sent."""
    said = (error.user_message or type(error).__name__).strip().partition("\n")[0]
    return f"Stripe, {error.http_status or 'no answer'}: {said}"
