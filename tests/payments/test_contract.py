"""What every gateway must do, run on each of them; and Stripe's own rules for our requests.

stripe-mock refuses a parameter or a type that is not in Stripe's OpenAPI document. It keeps no
state: what becomes of a request is for localstripe.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from invoicing.gateways.protocol import (
    Gateway,
    Intent,
    Payer,
    Payment,
    RefundOrder,
    RefundState,
    State,
)
from invoicing.gateways.stripe_amounts import from_wire, to_wire
from invoicing.gateways.stripe_gateway import StripeGateway
from invoicing.gateways.stripe_invoicing import StripeInvoiceGateway
from invoicing.gateways.stripe_sheet import Sheet, SheetLine
from invoicing.gateways.transfer_gateway import (
    TransferGateway,
)
from pipeline.money import MINOR_UNITS
from sinks.bank_transfers import arrived, sent
from tests.fix_api import free_port
from tests.payments.test_stripe_invoicing import pay_page
from tests.payments.world import GOOD, NOW, World, gateway_of

MOCK = shutil.which("stripe-mock") or str(Path(sys.executable).parents[1] / "tools/stripe-mock")
DUE = Decimal("119.00")


@dataclass
class Case:
    """A gateway with a customer of its own, and what the world outside does for it."""

    gateway: Gateway
    customer: str
    token: str
    pay: Callable[[str], object]
    send: Callable[[str], object]

    def intent(self) -> Intent:
        return Intent(
            str(uuid4()), "RM-DE-2026-000005", "acme", self.customer, self.token, DUE, "EUR", NOW
        )

    def paid(self, intent: Intent) -> Payment:
        made = self.gateway.open(intent)
        self.gateway.confirm(intent, made.reference)
        self.pay(made.reference)
        return self.gateway.payment(made.reference)


@pytest.fixture(params=["stripe", "stripe-invoice", "transfer"])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    """Each gateway that there is."""
    if request.param == "stripe":
        world.account("acme", GOOD)
        row = world.conn.execute("SELECT customer, token FROM payment_customer, payment_method")
        customer, token = row.fetchone() or ("", "")
        return Case(world.gateway, customer, token, str, str)
    if request.param == "stripe-invoice":
        hosted = StripeInvoiceGateway(world.gateway, a_sheet)
        customer = hosted.customer(Payer("acme", f"Acme {uuid4()}"))
        rows = world.stripe.invoices.rows
        return Case(
            hosted, customer, hosted.methods(customer)[0].token,
            lambda reference: pay_page(world, rows[reference]), str,
        )  # fmt: skip
    world.account("acme", None)
    gateway = TransferGateway(world.conn, world.clock)
    customer = gateway.customer(Payer("acme", "Acme"))
    return Case(
        gateway, customer, gateway.methods(customer)[0].token,
        lambda reference: arrived(world.conn, reference, DUE, NOW),
        lambda refund: sent(world.conn, UUID(refund), NOW),
    )  # fmt: skip


def test_to_open_moves_no_money_and_is_once_an_attempt(case: Case) -> None:
    intent = case.intent()
    assert case.gateway.find(intent) is None
    made = case.gateway.open(intent)
    assert made.state in (State.OPEN, State.ACTION)
    assert (made.attempt, made.received, made.currency) == (intent.attempt, Decimal(0), "EUR")
    assert case.gateway.open(intent).reference == made.reference
    found = case.gateway.find(intent)
    assert found is not None
    assert found.reference == made.reference
    assert case.gateway.find(case.intent()) is None


def test_to_confirm_twice_is_to_pay_once(case: Case) -> None:
    intent = case.intent()
    paid = case.paid(intent)
    assert (paid.state, paid.received) == (State.PAID, DUE)
    again = case.gateway.confirm(intent, paid.reference)
    assert (again.state, again.received) == (State.PAID, DUE)
    assert paid.fee is not None


def test_what_is_canceled_cannot_be_paid_and_what_is_paid_not_canceled(case: Case) -> None:
    intent = case.intent()
    made = case.gateway.open(intent)
    assert case.gateway.cancel(made.reference).state is State.CANCELED
    assert case.gateway.confirm(intent, made.reference).state is State.CANCELED
    assert case.gateway.cancel(made.reference).state is State.CANCELED
    paid = case.paid(case.intent())
    assert case.gateway.cancel(paid.reference).state is State.PAID


def test_a_refund_is_once_an_order(case: Case) -> None:
    paid = case.paid(case.intent())
    order = RefundOrder(str(uuid4()), paid.reference, Decimal("19.00"), "EUR")
    assert case.gateway.find_refund(order) is None
    made = case.gateway.refund(order)
    assert case.gateway.refund(order).reference == made.reference
    case.send(order.refund)
    found = case.gateway.find_refund(order)
    assert found is not None
    assert (found.refund, found.payment, found.amount, found.state) == (
        order.refund, paid.reference, Decimal("19.00"), RefundState.DONE,
    )  # fmt: skip


def test_steps_are_positive_and_no_less_than_the_least(case: Case) -> None:
    for currency in MINOR_UNITS:
        assert 0 < case.gateway.step(currency) <= case.gateway.least(currency)


# -- Stripe's own rules ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mock() -> Iterator[StripeGateway]:
    """A gateway whose every request is checked against Stripe's OpenAPI document."""
    if not os.access(MOCK, os.X_OK):
        why = "no stripe-mock: make stripe-mock, with Go"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    port = free_port()
    process = subprocess.Popen(
        [MOCK, "-http-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until_it_answers(port)
    yield StripeGateway(gateway_of(f"http://127.0.0.1:{port}").keys)
    process.kill()
    process.wait()


def until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        conn = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            conn.request("GET", "/v1/balance", headers={"authorization": "Bearer sk_test_1"})
            conn.getresponse().read()
            return
        except OSError:
            assert time.monotonic() < deadline, "stripe-mock does not answer"
            time.sleep(0.05)
        finally:
            conn.close()


CALLS: dict[str, Callable[[StripeGateway, Intent], object]] = {
    "customer": lambda g, i: g.customer(Payer("acme", "Acme GmbH", "billing@acme.example")),
    "method_link": lambda g, i: g.method_link(i.customer, i.currency),
    "methods": lambda g, i: g.methods(i.customer),
    "open": lambda g, i: g.open(i),
    "confirm": lambda g, i: g.confirm(i, "pi_1"),
    "find": lambda g, i: g.find(i),
    "payment": lambda g, i: g.payment("pi_1"),
    "cancel": lambda g, i: g.cancel("pi_1"),
    "refund": lambda g, i: g.refund(RefundOrder(str(uuid4()), "pi_1", Decimal("1.00"), "EUR")),
    "find_refund": lambda g, i: g.find_refund(
        RefundOrder(str(uuid4()), "pi_1", Decimal("1.00"), "EUR")
    ),
    "refund_of": lambda g, i: g.refund_of("re_1"),
    "dispute": lambda g, i: g.dispute("dp_1"),
    "payout": lambda g, i: g.payout("po_1"),
}


HOSTED: dict[str, Callable[[StripeInvoiceGateway, Intent], object]] = {
    "open": lambda g, i: g.open(i),
    "confirm": lambda g, i: g.confirm(i, "in_1"),
    "fill": lambda g, i: g._fill(i, "in_1", a_sheet(i)),
    "number": lambda g, i: g._give_number("in_1", "RM-DE-2026-000005"),
    "find": lambda g, i: g.find(i),
    "payment": lambda g, i: g.payment("in_1"),
    "cancel": lambda g, i: g.cancel("in_1"),
    "void": lambda g, i: g._client.invoices.void_invoice("in_1"),
    "of a payment": lambda g, i: g._invoice_of("pi_1"),
}


def a_sheet(intent: Intent) -> Sheet:
    """Of one line."""
    total = to_wire(intent.amount, intent.currency)
    return Sheet(intent.invoice, "id", "digest", (SheetLine("Rent", total),), total, 14)


@pytest.mark.parametrize("call", HOSTED)
def test_stripes_document_knows_every_request_of_invoicing(mock: StripeGateway, call: str) -> None:
    """stripe-mock's invoice is a draft of 1000 with a line."""
    gateway = StripeInvoiceGateway(mock, a_sheet)
    draft = gateway._get("in_1")
    amount = from_wire(draft["total"], "EUR")
    intent = Intent(str(uuid4()), "RM-1", "acme", "cus_1", "pm_1", amount, "EUR", NOW)
    HOSTED[call](gateway, intent)


def test_every_call_to_stripe_is_here() -> None:
    offered = {name for name in vars(StripeGateway) if not name.startswith("_")}
    assert offered - CALLS.keys() == {
        "name", "clearing", "patience", "early", "step", "least", "event",
    }  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_stripes_document_knows_every_request(mock: StripeGateway, call: str) -> None:
    intent = Intent(str(uuid4()), "RM-1", "acme", "cus_1", "pm_1", DUE, "EUR", NOW)
    CALLS[call](mock, intent)  # raises where a parameter is unknown or wrong


def test_what_their_document_does_not_know_is_noticed(mock: StripeGateway) -> None:
    """That the check checks."""
    from stripe import InvalidRequestError, StripeClient  # noqa: PLC0415

    client = StripeClient("sk_test_1", base_addresses={"api": mock.keys.api or ""})
    with pytest.raises(InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "eur", "colour": "red"})  # type: ignore[typeddict-unknown-key]
