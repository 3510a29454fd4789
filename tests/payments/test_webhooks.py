"""Events of Stripe against a real API process, with the rights of a writer and no others."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import validate

from rackmeter.api.bounds import BODY_BYTES_MAX_AT
from rackmeter.api.payments import PATH
from sinks.database import migrate
from tests.fix_api import Api, api
from tests.payments.stripe_server import CREATE, Fault, forward
from tests.payments.world import GOOD, SEEN, SIGNING, World
from tests.sinks.roles import login_of

D = Decimal


def settings_of(world: World, folder: Path) -> dict[str, str]:
    """Stripe, as an operator sets it up."""
    files = {"secret": "sk_test_12345\n", "signing": f"whsec_older {SIGNING}\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return {
        "RACKMETER_STRIPE_SECRET_FILE": str(folder / "secret"),
        "RACKMETER_STRIPE_WEBHOOK_SECRET_FILE": str(folder / "signing"),
        "RACKMETER_STRIPE_RETURN_URL": "https://portal.example/back",
        "RACKMETER_STRIPE_API": world.stripe.url,
    }


@pytest.fixture
def shop(world: World, bootstrap: str, tmp_path: Path) -> Iterator[Api]:
    migrate(world.url)
    with api(
        login_of(world.url, "writer"), bootstrap, tmp_path, None, **settings_of(world, tmp_path)
    ) as running:
        yield running


def event(kind: str, thing: dict[str, Any], name: str = "") -> bytes:
    body = {
        "id": f"evt_{name or hashlib.sha256(json.dumps(thing).encode()).hexdigest()[:16]}",
        "object": "event", "type": kind, "created": 1, "data": {"object": thing},
    }  # fmt: skip
    return json.dumps(body).encode()


def signature(body: bytes, *, age: int = 0, key: str = SIGNING) -> str:
    at = int(time.time()) - age
    signed = hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def send(shop: Api, body: bytes, sign: str | None = None) -> httpx2.Response:
    headers = {"stripe-signature": signature(body) if sign is None else sign}
    return shop.post(PATH, content=body, headers=headers)


def waiting(world: World) -> dict[str, Any]:
    """A payment that the customer has finished and nobody here knows of."""
    number = world.bill(world.account(card=SEEN), "119.00", number="RM-1")
    world.collect()
    world.authenticate(number)
    return {"id": world.attempt(number).reference, "object": "payment_intent"}


def events(world: World) -> list[tuple[str, bool, str]]:
    return world.conn.execute(
        "SELECT kind, handled_at IS NOT NULL, outcome FROM payment_event ORDER BY received_at"
    ).fetchall()


def test_what_changed_is_asked_for_and_booked_once(world: World, shop: Api) -> None:
    body = event("payment_intent.succeeded", waiting(world))
    assert send(shop, body).json() == {"outcome": "paid"}
    assert world.status("RM-1") == "paid"
    asked = len(world.stripe.calls)
    # Replayed: answered from the ledger.
    assert send(shop, body).json() == {"outcome": "told before"}
    assert len(world.stripe.calls) == asked
    assert world.balances()["clearing:stripe"] == D("116.97")


def test_events_out_of_order_say_what_is_so_now(world: World, shop: Api) -> None:
    """`failed` and `processing` come after `succeeded`: the object is paid all the same."""
    thing = waiting(world)
    for number, kind in enumerate(("succeeded", "payment_failed", "processing", "created")):
        body = event(f"payment_intent.{kind}", {**thing, "status": "whatever"}, str(number))
        assert send(shop, body).json() == {"outcome": "paid"}
    assert world.status("RM-1") == "paid"
    assert world.balances()["clearing:stripe"] == D("116.97")


FORGED: dict[str, Callable[[bytes], str]] = {
    "unsigned": lambda body: "",
    "nonsense": lambda body: "t=1,v1=00",
    "another's key": lambda body: signature(body, key="whsec_another"),
    "replayed after five minutes": lambda body: signature(body, age=301),
    "another body": lambda body: signature(body + b" "),
}


def test_what_is_forged_changes_nothing(world: World, shop: Api) -> None:
    body = event("payment_intent.succeeded", waiting(world))
    for why, sign in FORGED.items():
        answer = send(shop, body, sign(body))
        assert (answer.status_code, events(world)) == (400, []), why
    assert world.status("RM-1") == "open"


def test_signed_nonsense_and_long_bodies_are_refused(world: World, shop: Api) -> None:
    for body in (b"{}", b"[]", b'"x"', b"\xff", b'{"id": 1, "type": "x", "data": []}'):
        assert send(shop, body).status_code == 400, body
    long = event("x", {"id": "x" * BODY_BYTES_MAX_AT[PATH]})
    assert send(shop, long).status_code == 413
    assert send(shop, event("x", {"id": "x" * 100_000})).status_code == 200


def test_what_is_not_ours_is_kept_and_left_alone(world: World, shop: Api) -> None:
    foreign = forward(world.stripe.backend, "POST", CREATE, {"amount": "500", "currency": "eur"})
    thing = json.loads(foreign[1])
    assert send(shop, event("payment_intent.created", thing)).status_code == 200
    assert send(shop, event("invoice.paid", {"id": "in_1"})).status_code == 200
    assert send(shop, event("payment_intent.succeeded", {"id": "pi_gone"})).status_code == 200
    assert [done for _, done, _ in events(world)] == [True] * 3
    assert world.balances() == {}


def test_a_gateway_that_is_silent_is_asked_again(world: World, shop: Api) -> None:
    thing = waiting(world)
    body = event("payment_intent.succeeded", thing)
    path = f"/v1/payment_intents/{thing['id']}"
    world.stripe.faults = [Fault("500", path, method="GET")]
    assert send(shop, body).status_code == 503
    assert events(world) == [("payment_intent.succeeded", False, "")]
    # Whoever is first: Stripe, which sends it again, or the next run.
    world.collect()
    assert events(world)[0][1:] == (True, "paid")
    assert send(shop, body).json() == {"outcome": "told before"}


def test_refunds_charge_backs_and_pay_outs_balance(world: World, shop: Api) -> None:
    """Made with Stripe's own tools, or by a customer's bank; also when only the end is told."""
    number = world.bill(world.account(card=GOOD), "119.00")
    world.collect()
    intent = world.attempt(number).reference
    form = {"payment_intent": str(intent), "amount": "1900"}
    made = json.loads(forward(world.stripe.backend, "POST", "/v1/refunds", form)[1])
    world.stripe.objects[f"/v1/refunds/{made['id']}"] = {**made, "payment_intent": intent}
    assert send(shop, event("refund.created", made)).json() == {"outcome": "done"}
    assert world.balances()["clearing:stripe"] == D("97.97")

    dispute = {
        "id": "dp_1", "object": "dispute", "payment_intent": intent, "amount": 10000,
        "currency": "eur", "status": "needs_response",
        "balance_transactions": [{"amount": -10000, "fee": 2000, "currency": "eur"}],
    }  # fmt: skip
    world.stripe.objects["/v1/disputes/dp_1"] = dispute
    body = event("charge.dispute.created", dispute, "1")
    assert send(shop, body).json() == {"outcome": "taken"}
    assert world.status(number) == "charged back"
    assert world.balances()["clearing:stripe"] == D("-22.03")
    world.stripe.objects["/v1/disputes/dp_1"] = {**dispute, "status": "won"}
    body = event("charge.dispute.closed", dispute, "2")
    assert send(shop, body).json() == {"outcome": "won"}
    assert world.balances()["clearing:stripe"] == D("77.97")
    assert world.status(number) != "charged back"

    payout = {"id": "po_1", "object": "payout", "amount": 7797, "currency": "eur",
              "status": "paid"}  # fmt: skip
    world.stripe.objects["/v1/payouts/po_1"] = payout
    assert send(shop, event("payout.paid", payout, "3")).json() == {"outcome": "arrived"}
    assert world.balances().get("clearing:stripe", D(0)) == 0
    world.stripe.objects["/v1/payouts/po_1"] = {**payout, "status": "failed"}
    assert send(shop, event("payout.failed", payout, "4")).json() == {"outcome": "came back"}
    assert world.balances()["clearing:stripe"] == D("77.97")
    # Nobody asks for it again but a person.
    world.now += timedelta(days=30)
    assert world.collect().collected == []


def test_a_saved_card_is_known_as_soon_as_it_is_saved(world: World, shop: Api) -> None:
    world.account()
    row = world.conn.execute("SELECT customer FROM payment_customer").fetchone()
    assert row is not None
    world.conn.execute("DELETE FROM payment_method")
    thing = {"id": "cs_1", "object": "checkout.session", "customer": row[0]}
    assert send(shop, event("checkout.session.completed", thing)).json() == {
        "outcome": "methods saved: 1"
    }
    label = world.conn.execute("SELECT label FROM payment_method").fetchone()
    assert label == ("visa •••• 4242, 12/2034",)


def test_it_is_documented(shop: Api) -> None:
    document = shop.get("/openapi.json").json()
    validate(document)
    assert set(document["paths"][PATH]["post"]["responses"]) >= {"200", "400", "404", "413", "503"}


def test_without_stripe_there_is_nobody_to_tell(
    billing_url: str, bootstrap: str, tmp_path: Path
) -> None:
    with api(billing_url, bootstrap, tmp_path) as bare:
        assert send(bare, b"{}").status_code == 404
