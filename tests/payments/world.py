"""A ledger with customers, cards at Stripe and invoices that are due; and a clock that is set."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from invoicing.collecting.attempt import Till
from invoicing.collecting.collect import collect
from invoicing.collecting.dunning import Policy
from invoicing.collecting.report import CollectReport
from invoicing.gateways.protocol import Gateway, Payer
from invoicing.gateways.stripe_gateway import StripeGateway, StripeKeys
from invoicing.gateways.transfer_gateway import TransferGateway
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, post, trial_balance
from sinks.payment_methods import keep_customer, keep_methods
from sinks.payments import Attempt, attempts_of
from sinks.payments_due import due_of
from sinks.receipts import recover
from sinks.timelines import add_account
from tests.payments.stripe_server import StripeState, forward

NOW = datetime.now(UTC).replace(microsecond=0)
"""localstripe dates what it makes by the real clock."""
DUE = NOW - timedelta(minutes=1)
SIGNING = "whsec_dGVzdCBvZiBwYXltZW50cywgbm90IG9mIGFueW9uZSE="
GOOD = "4242424242424242"
DECLINED = "4000000000000341"
SEEN = "4000002760003184"
"""A card whose bank wants to see the customer each time."""


def gateway_of(url: str) -> StripeGateway:
    """A client that does not wait long."""
    keys = StripeKeys("sk_test_12345", (SIGNING,), "https://portal.example/back", url)
    return StripeGateway(keys, timeout_s=(1.0, 0.7))


@dataclass
class World:
    """What a test works with."""

    url: str
    conn: Connection
    stripe: StripeState
    now: datetime = NOW
    slept: list[float] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.gateway = gateway_of(self.stripe.url)
        self.stripe.clock = lambda: self.clock().timestamp()

    def clock(self) -> datetime:
        return self.now

    def gateways(self, conn: Connection) -> list[Gateway]:
        return [self.gateway, TransferGateway(conn, self.clock)]

    def collect(self, **rest: Any) -> CollectReport:
        return collect(
            self.url, self.gateways, self.policy, clock=self.clock, sleep=self.slept.append, **rest
        )

    def till(self) -> Till:
        return Till(self.conn, self.gateway, self.clock, self.slept.append, lambda _: None)

    def account(self, name: str = "acme", card: str | None = GOOD, currency: str = "EUR") -> str:
        add_account(
            self.conn, account=name, name=f"{name.title()} GmbH", country="DE", currency=currency,
            timezone="UTC",
        )  # fmt: skip
        if card is not None:
            self.pays_by(name, card)
        return name

    def pays_by(self, name: str, card: str) -> None:
        """Known to Stripe, with a card."""
        customer = self.gateway.customer(Payer(name, f"{name} {uuid4()}"))
        keep_customer(self.conn, name, "stripe", customer)
        self.save(name, customer, card)

    def save(self, name: str, customer: str, card: str) -> str:
        """A card, as their page would save it."""
        form = {
            "type": "card", "card[number]": card, "card[exp_month]": "12",
            "card[exp_year]": "2034", "card[cvc]": "123",
        }  # fmt: skip
        port = self.stripe.backend
        made = json.loads(forward(port, "POST", "/v1/payment_methods", form)[1])["id"]
        attach = f"/v1/payment_methods/{made}/attach"
        assert forward(port, "POST", attach, {"customer": customer})[0] == 200
        label = f"visa •••• {card[-4:]}, 12/2034"
        keep_methods(self.conn, name, "stripe", [(made, "card", label)], self.now)
        return str(made)

    def transfers(self, name: str) -> None:
        """The account pays by bank transfer."""
        keep_customer(self.conn, name, "transfer", name)
        row = (f"transfer/{name}", "transfer", "bank transfer")
        keep_methods(self.conn, name, "transfer", [row], self.now)

    def bill(
        self,
        account: str,
        gross: str,
        number: str = "",
        due_at: datetime = DUE,
        currency: str = "EUR",
        entity: str = "test",
    ) -> str:
        """An invoice as it is once it is issued: its row, and what it is in the books."""
        number = number or f"RM-{uuid4().hex[:8].upper()}"
        amount = Decimal(gross)
        with self.conn.transaction():
            self.conn.execute(
                """
                INSERT INTO invoice (invoice_id, number, entity, account_id, period_start,
                    period_end, currency, net, tax, gross, issued_at, document, digest, due, due_at)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s, '{}', 'd', %s, %s)
                """,
                (uuid4(), number, entity, account, due_at, due_at, currency, amount, amount,
                 due_at - timedelta(days=14), amount, due_at),
            )  # fmt: skip
            sides = (Posting("receivable", amount, invoice=number), Posting("revenue", -amount))
            post(self.conn, Entry(Kind.INVOICE, number, due_at, account, currency, sides))
        return number

    def status(self, number: str) -> str:
        row = self.conn.execute(
            "SELECT status FROM invoice_status WHERE number = %s", (number,)
        ).fetchone()
        assert row is not None
        return str(row[0])

    def balances(self, currency: str = "EUR") -> dict[str, Decimal]:
        """What each ledger comes to; always zero in all."""
        found = {b.ledger: b.amount for b in trial_balance(self.conn) if b.currency == currency}
        assert sum(found.values()) == 0
        return {ledger: amount for ledger, amount in found.items() if amount}

    def attempts(self, number: str) -> list[tuple[str, str]]:
        """(state, reason) of an invoice's attempts, in order."""
        return self.conn.execute(
            "SELECT a.state, a.reason FROM payment_attempt a JOIN invoice i USING (invoice_id)"
            " WHERE i.number = %s ORDER BY a.number",
            (number,),
        ).fetchall()

    def attempt(self, number: str) -> Attempt:
        """The newest one of an invoice."""
        due = due_of(self.conn, number)
        assert due is not None
        return attempts_of(self.conn, due.invoice_id)[-1]

    def receive(self, number: str, amount: str) -> None:
        """Money that came another way."""
        due, paid = due_of(self.conn, number), Decimal(amount)
        assert due is not None
        sides = (Posting("bank", paid), Posting("receivable", -paid, invoice=number))
        entry = Entry(Kind.PAYMENT, str(uuid4()), self.now, due.account, due.currency, sides)
        with self.conn.transaction():
            post(self.conn, entry)

    def credit(self, number: str, amount: str) -> None:
        """A credit note for an invoice, as a close books it."""
        due, less = due_of(self.conn, number), Decimal(amount)
        assert due is not None
        sides = (Posting("revenue", less), Posting("receivable", -less, invoice=number))
        entry = Entry(Kind.CREDIT_NOTE, str(uuid4()), self.now, due.account, due.currency, sides)
        with self.conn.transaction():
            post(self.conn, entry)
            recover(self.conn, [number], self.now)

    def open(self, number: str) -> Decimal:
        """What is open of an invoice; below zero it is the customer's."""
        due = due_of(self.conn, number)
        assert due is not None
        return due.balance

    def settle(self, number: str) -> None:
        """All of it came another way."""
        due = due_of(self.conn, number)
        assert due is not None
        self.receive(number, str(due.balance))

    def authenticate(self, number: str) -> None:
        """The customer passes 3-D Secure."""
        intent = self.attempt(number).reference
        port = self.stripe.backend
        found = json.loads(forward(port, "GET", f"/v1/payment_intents/{intent}", {})[1])
        form = {"client_secret": found["client_secret"], "success": "true"}
        path = f"/v1/payment_intents/{intent}/_authenticate"
        assert forward(port, "POST", path, form)[0] == 200

    def paid_at_stripe(self, number: str) -> list[dict[str, Any]]:
        """Payments of an invoice that succeeded there."""
        return [
            one for one in self.stripe.intents()
            if one["status"] == "succeeded" and one["metadata"].get("rackmeter_invoice") == number
        ]  # fmt: skip

    def told(self) -> list[tuple[str, str]]:
        """(channel, type) of what lies in the outbox, in order."""
        return self.conn.execute(
            "SELECT channel, body ->> 'type' FROM alert_outbox WHERE copy = 0 ORDER BY number"
        ).fetchall()
