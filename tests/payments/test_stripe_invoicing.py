"""Stripe hosts a page for our invoice: it says what ours says, is paid there once, or is parked."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from invoicing.collecting.attempt import Till
from invoicing.collecting.collect import collect
from invoicing.collecting.events import handle
from invoicing.collecting.refund import refund
from invoicing.collecting.report import CollectReport
from invoicing.export import load
from invoicing.gateways.protocol import Gateway, GatewayRefusedError, Payer
from invoicing.gateways.stripe_amounts import to_wire
from invoicing.gateways.stripe_invoicing import StripeInvoiceGateway
from invoicing.gateways.stripe_read import invoice, paid_by
from invoicing.gateways.stripe_sheet import LINES_MAX, sheet
from invoicing.gateways.stripe_sheets import sheet_of
from schemas.terms import TaxMode
from sinks.payment_events import Told, receive
from sinks.payment_methods import keep_customer, keep_methods
from tests.fix_api import Api, api
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of
from tests.payments.stripe_invoices import Json
from tests.payments.stripe_server import Fault, forward
from tests.payments.test_webhooks import event, send, settings_of
from tests.payments.world import GOOD, World

D = Decimal
INVOICES = r"/v1/invoices"
LATER = [timedelta(minutes=5), timedelta(hours=25)]


def pay_page(world: World, theirs: Json) -> str:
    """A customer pays on the page that Stripe hosts; the payment below."""

    def ask(method: str, path: str, form: dict[str, str]) -> Json:
        status, body = forward(world.stripe.backend, method, path, form)
        assert status == 200, body
        found: Json = json.loads(body)
        return found

    form = {"type": "card", "card[number]": GOOD, "card[exp_month]": "12",
            "card[exp_year]": "2034", "card[cvc]": "123"}  # fmt: skip
    card = ask("POST", "/v1/payment_methods", form)["id"]
    ask("POST", f"/v1/payment_methods/{card}/attach", {"customer": theirs["customer"]})
    return world.stripe.invoices.pay(theirs, ask, card)


class Hosted:
    """A sealed invoice of a whole month, and its account, which pays on Stripe's pages."""

    def __init__(self, world: World) -> None:
        self.world = world
        (self.account,) = month_of(world.conn, 1)
        report = close_month(world.url, issued_at=world.now - timedelta(days=14, minutes=1))
        assert report.outcomes[0].number is not None
        self.number = report.outcomes[0].number
        self.gateway = self.gateways(world.conn)[0]
        self.customer = self.gateway.customer(Payer(self.account, self.account))
        keep_customer(world.conn, self.account, "stripe-invoice", self.customer)
        self.choose()

    def gateways(self, conn: Any) -> list[Gateway]:
        return [StripeInvoiceGateway(self.world.gateway, partial(sheet_of, conn))]

    def choose(self) -> None:
        rows = [(m.token, m.kind, m.label) for m in self.gateway.methods(self.customer)]
        keep_methods(self.world.conn, self.account, "stripe-invoice", rows, self.world.now)

    def collect(self) -> CollectReport:
        world = self.world
        return collect(
            world.url, self.gateways, world.policy, clock=world.clock, sleep=world.slept.append
        )

    def theirs(self) -> list[Json]:
        return self.world.stripe.invoices.of(self.number)

    def pay(self) -> str:
        """The customer does, on the page of the newest."""
        return pay_page(self.world, self.theirs()[-1])

    def till(self) -> Till:
        return replace(self.world.till(), gateway=self.gateway)


@pytest.fixture
def hosted(world: World) -> Hosted:
    return Hosted(world)


def test_the_page_says_what_our_document_says_and_is_paid_once(hosted: Hosted) -> None:
    world = hosted.world
    (found,) = hosted.collect().collected
    (theirs,) = hosted.theirs()
    assert (found.state, found.why) == ("action", theirs["hosted_invoice_url"])
    row = world.conn.execute("SELECT invoice_id::text, digest, gross FROM invoice").fetchone()
    assert row is not None
    document, proof = load(world.conn, row[0])
    metadata, form = theirs["metadata"], theirs["form"]
    assert (metadata["rackmeter_invoice_id"], metadata["rackmeter_digest"]) == (row[0], proof)
    assert (theirs["number"], form["auto_advance"], form["custom_fields[0][value]"]) == (
        hosted.number, "false", hosted.number,
    )  # fmt: skip
    assert [one["amount"] for one in theirs["lines"]["data"]] == [
        *(to_wire(line.line.net, "EUR") for line in document.lines),
        *(to_wire(tax.tax, "EUR") for tax in document.taxes),
    ]
    assert theirs["total"] == to_wire(row[2], "EUR")
    assert ("webhook", "payment.action_required") in world.told()
    assert hosted.collect().collected == []
    assert len(hosted.theirs()) == 1

    hosted.pay()
    assert [one.state for one in hosted.collect().collected] == ["paid"]
    assert world.status(hosted.number) == "paid"
    fee = D(theirs["total"] * 15 // 1000 + 25) / 100
    assert world.balances()["clearing:stripe"] == row[2] - fee
    assert hosted.collect().collected == []


def test_it_is_asked_for_when_it_is_issued(hosted: Hosted) -> None:
    """Before it is due: the customer has to do something. A card is charged on the day."""
    hosted.world.now -= timedelta(days=10)
    (found,) = hosted.collect().collected
    assert found.state == "action"
    assert hosted.theirs()[0]["form"]["days_until_due"] == "10"


@pytest.mark.parametrize("later", LATER, ids=["5 min", "25 h"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("path", ["", r"/\w+/add_lines", r"/in_\w+", r"/\w+/finalize"])
def test_an_answer_that_is_lost(hosted: Hosted, path: str, after: bool, later: timedelta) -> None:
    world = hosted.world
    world.stripe.faults = [Fault("silence", INVOICES + path, after=after)]
    hosted.collect()
    assert world.stripe.faults[0].times == 0, "it has happened"
    for _ in range(3):
        world.now += later
        hosted.collect()
    (theirs,) = [one for one in hosted.theirs() if one["status"] != "void"]
    assert theirs["status"] == "open"
    assert len(theirs["lines"]["data"]) == len(
        {one["description"] for one in theirs["lines"]["data"]}
    )
    hosted.pay()
    hosted.collect()
    assert world.status(hosted.number) == "paid"


def test_a_total_that_differs_is_parked_and_never_shown(hosted: Hosted) -> None:
    """Somebody has switched Stripe's own taxes on."""
    world = hosted.world
    world.stripe.invoices.tax = 19
    (found,) = hosted.collect().collected
    assert found.state == "canceled"
    assert "look for taxes" in found.why
    assert hosted.theirs() == []
    world.now += timedelta(days=30)
    assert [one.why[:25] for one in hosted.collect().collected] == []
    assert world.attempts(hosted.number)[-1][0] == "canceled"
    assert len(world.attempts(hosted.number)) == 1
    # A person has looked, and chooses it again.
    world.stripe.invoices.tax = 0
    hosted.choose()
    assert [one.state for one in hosted.collect().collected] == ["action"]
    assert hosted.theirs()[0]["number"] == hosted.number


def test_what_changed_is_voided_and_shown_anew(hosted: Hosted) -> None:
    """Its number is theirs to use once: the second says ours in its own field."""
    world = hosted.world
    hosted.collect()
    world.receive(hosted.number, "10.00")
    for _ in range(2):
        hosted.collect()
    first, second = hosted.theirs()
    assert (first["status"], second["status"]) == ("void", "open")
    assert second["total"] == first["total"] - 1000
    assert second["lines"]["data"][-1] == {
        "amount": -1000, "description": "Paid, credited or carried before",
    }  # fmt: skip
    assert (second["number"] == hosted.number) is False
    assert second["form"]["custom_fields[0][value]"] == hosted.number
    hosted.pay()
    hosted.collect()
    assert world.status(hosted.number) == "paid"


def test_a_draft_whose_end_was_not_written_down_is_over(hosted: Hosted) -> None:
    """Deleted there, and killed before it was said here."""
    hosted.collect()
    hosted.world.stripe.invoices.rows.clear()
    assert hosted.collect().exit_code == 0
    assert hosted.world.attempts(hosted.number)[0][0] == "canceled"


def test_money_goes_back_by_the_payment_below(hosted: Hosted) -> None:
    world = hosted.world
    hosted.collect()
    intent = hosted.pay()
    hosted.collect()
    row = refund(hosted.till(), world.attempt(hosted.number), D("5.00"), "goodwill", "ann")
    assert row.state == "done"
    before = world.balances()["clearing:stripe"]
    # Sent with their tools, and told by an event about the payment.
    made = {"id": "re_9", "object": "refund", "payment_intent": intent, "amount": 700,
            "currency": "eur", "status": "succeeded", "metadata": {}}  # fmt: skip
    world.stripe.objects["/v1/refunds/re_9"] = made
    told = Told(
        "stripe-invoice", "evt_9", "refund.created", "refund/re_9", "d", world.now, None, ""
    )
    receive(world.conn, told)
    assert handle(hosted.till(), told) == "done"
    assert world.balances()["clearing:stripe"] == before - 7


# -- by the same webhook ---------------------------------------------------------------------------


@pytest.fixture
def shop(hosted: Hosted, bootstrap: str, tmp_path: Path) -> Iterator[Api]:
    settings = {**settings_of(hosted.world, tmp_path), "RACKMETER_STRIPE_INVOICING": "true"}
    with api(hosted.world.url, bootstrap, tmp_path, **settings) as served:
        yield served


def test_its_events_come_by_the_same_way_and_are_booked_once(hosted: Hosted, shop: Api) -> None:
    hosted.collect()
    thing = {"id": hosted.theirs()[0]["id"], "object": "invoice"}
    intent = hosted.pay()
    body = event("invoice.paid", thing)
    for outcome in ("paid", "told before"):
        assert send(shop, body).json() == {"outcome": outcome}
    # The payment below has nothing of ours, and is not booked beside it.
    said = send(shop, event("payment_intent.succeeded", {"id": intent, "object": "payment_intent"}))
    assert said.json() == {"outcome": "of nothing that is ours"}
    world = hosted.world
    assert world.status(hosted.number) == "paid"
    rows = world.conn.execute("SELECT count(*) FROM journal_entry WHERE kind = 'payment'")
    assert rows.fetchone() == (1,)


# -- pure ------------------------------------------------------------------------------------------


def test_taxes_coarse_steps_and_long_documents(hosted: Hosted) -> None:
    row = hosted.world.conn.execute("SELECT invoice_id::text FROM invoice").fetchone()
    assert row is not None
    document, proof = load(hosted.world.conn, row[0])
    gross = document.totals.gross
    plain = sheet(document, proof, gross, 14)
    assert sum(one.units for one in plain.lines) == plain.total == to_wire(gross, "EUR")
    # Prices that include tax: it is said, and adds nothing.
    profile = replace(document.profile, mode=TaxMode.INCLUSIVE)
    totals = replace(document.totals, gross=sum((r.line.net for r in document.lines), D(0)))
    within = replace(document, profile=profile, totals=totals)
    shown = sheet(within, proof, totals.gross, 14)
    assert [(one.text[:10], one.units) for one in shown.lines][-1] == ("Of it: Tax", 0)
    # Whole guilders alone: each line is rounded, and the rest is a line.
    coarse = replace(document, currency="UGX")
    rounded = sheet(coarse, proof, D(round(gross)), 0)
    assert sum(one.units for one in rounded.lines) == rounded.total
    assert all(one.units % 100 == 0 for one in rounded.lines)
    # More lines than they take.
    high = document.totals.net * 200 + document.totals.tax
    totals = replace(document.totals, gross=high)
    many = replace(document, lines=document.lines * 200, totals=totals)
    long = sheet(many, proof, many.totals.gross, 0)
    assert len(long.lines) == LINES_MAX
    assert "more lines, as on" in long.lines[-1].text
    assert sum(one.units for one in long.lines) == long.total
    with pytest.raises(GatewayRefusedError, match="invoice verify"):
        sheet(replace(document, lines=document.lines[:1]), proof, gross, 0)


@pytest.mark.parametrize(
    ("more", "state", "final", "received"),
    [
        ({"status": "draft"}, "open", False, "0"),
        ({"status": "open", "hosted_invoice_url": "https://x"}, "action", False, "0"),
        ({"status": "uncollectible"}, "action", False, "0"),
        ({"status": "void"}, "canceled", False, "0"),
        ({"status": "paid", "amount_paid": 500}, "paid", False, "5.00"),
        (
            {"status": "paid", "amount_paid": 500, "amount_paid_off_stripe": 500},
            "canceled", True, "0",
        ),
        ({"deleted": True}, "canceled", False, "0"),
    ],
)  # fmt: skip
def test_their_invoice_is_read(more: Json, state: str, final: bool, received: str) -> None:
    found = invoice({"id": "in_1", "currency": "eur", **more})
    assert (found.state, found.final, found.received) == (state, final, D(received))
    assert (found.link != "") == (state == "action" and "hosted_invoice_url" in more)


def test_one_payment_is_known_and_of_several_none() -> None:
    one = {"status": "paid", "payment": {"payment_intent": "pi_1"}}
    open_ = {"status": "open", "payment": {"payment_intent": "pi_2"}}
    assert paid_by({"payments": {"data": [open_, one]}}) == "pi_1"
    assert paid_by({"payments": {"data": [one, one]}}) == ""
    assert paid_by({}) == ""
