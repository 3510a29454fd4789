"""What one payment, refund or event cannot do keeps nobody else's from being done."""

from datetime import timedelta
from decimal import Decimal

import pytest

from invoicing.collecting.attempt import till_of
from invoicing.collecting.record import record_refund
from invoicing.collecting.refund import refund
from invoicing.collecting.standing import see_accounts
from invoicing.collecting.transfer import transfer_arrived
from invoicing.gateways.protocol import Refund, RefundState
from invoicing.gateways.transfer_gateway import TransferGateway
from schemas.errors import RefusedError
from sinks.payment_events import Told, order_refund, receive
from tests.payments.stripe_server import CONFIRM, Fault
from tests.payments.world import NOW, World

D = Decimal


@pytest.mark.parametrize(("amount", "currency"), [("1.005", "EUR"), ("10.5", "JPY")])
def test_a_refund_that_cannot_be_moved_is_refused_before_it_is_ordered(
    world: World, amount: str, currency: str
) -> None:
    world.account(currency=currency)
    number = world.bill("acme", "100", currency=currency)
    world.collect()
    with pytest.raises(RefusedError, match="no multiple"):
        refund(world.till(), world.attempt(number), D(amount), "goodwill", "operator")
    assert world.conn.execute("SELECT FROM payment_refund").fetchall() == []
    assert world.collect().exit_code == 0


def test_an_event_that_cannot_be_booked_stops_no_other(world: World) -> None:
    """More was sent back with their tools than we know of as received."""
    number = world.bill(world.account(), "10.00")
    world.collect()
    intent = world.attempt(number).reference
    over = {"id": "re_over", "object": "refund", "payment_intent": intent, "amount": 2000,
            "currency": "eur", "status": "succeeded"}  # fmt: skip
    world.stripe.objects["/v1/refunds/re_over"] = over
    payout = {"id": "po_1", "object": "payout", "amount": 700, "currency": "eur", "status": "paid"}
    world.stripe.objects["/v1/payouts/po_1"] = payout
    for at, about in enumerate(("refund/re_over", "payout/po_1")):
        told = Told("stripe", f"evt_{at}", "x", about, "d", NOW + timedelta(seconds=at), None, "")
        receive(world.conn, told)
    other = world.bill(world.account("bolt"), "20.00")
    report = world.collect()
    assert world.status(other) == "paid"
    assert report.exit_code != 0
    assert any("cannot be sent back" in one for one in report.unknown)
    assert world.conn.execute(
        "SELECT event_id, handled_at IS NOT NULL FROM payment_event ORDER BY 1"
    ).fetchall() == [("evt_0", False), ("evt_1", True)]


def test_a_confirmation_that_is_refused_ends_its_attempt_alone(world: World) -> None:
    """As where the saved method was taken away between opening and confirming."""
    first = world.bill(world.account("acme"), "10.00", due_at=NOW - timedelta(days=1))
    second = world.bill(world.account("bolt"), "20.00")
    world.stripe.faults = [Fault("400", CONFIRM)]
    world.collect()
    assert world.status(second) == "paid"
    ((state, why),) = world.attempts(first)
    assert (state, "No." in why) == ("canceled", True)
    assert world.collect().exit_code == 0


def test_what_is_carried_is_asked_for_once(world: World) -> None:
    """Two payments under way at once: the rest of an earlier invoice is in one of them alone."""
    world.account()
    world.bill("acme", "0.30", due_at=NOW - timedelta(days=1))
    world.collect()
    world.conn.execute("UPDATE payment_method SET removed_at = now()")
    world.transfers("acme")
    numbers = [world.bill("acme", gross) for gross in ("100.00", "50.00")]
    world.collect()
    asked = world.conn.execute("SELECT reference, amount FROM bank_transfer").fetchall()
    assert sorted(amount for _, amount in asked) in ([D("50.00"), D("100.30")],
                                                     [D("50.30"), D("100.00")])  # fmt: skip
    world.collect()  # nothing has changed: both are still expected
    assert [state for n in numbers for state, _ in world.attempts(n)] == ["action"] * 2
    for reference, amount in asked:
        world.conn.execute(
            "UPDATE bank_transfer SET received = %s, received_at = %s WHERE reference = %s",
            (amount, world.now, reference),
        )
    world.collect()
    assert [world.status(number) for number in numbers] == ["paid", "paid"]
    assert "receivable" not in world.balances()


def test_who_pays_while_others_are_looked_at_is_not_suspended(world: World) -> None:
    """Their invoices are looked at again before a step is taken."""
    for name in ("acme", "bolt"):
        world.account(name, card=None)
    numbers = [world.bill(name, "10.00", due_at=NOW) for name in ("acme", "bolt")]
    seen = see_accounts(world.conn, world.policy, NOW + timedelta(days=2))
    assert next(seen).account == "acme"
    world.settle(numbers[1])
    assert list(seen) == []


def test_a_refund_that_failed_stays_so_whatever_an_older_answer_says(world: World) -> None:
    """Two events at once: who asked first may be the last to write down what he heard."""
    number = world.bill(world.account(), "100.00")
    world.collect()
    attempt, before = world.attempt(number), world.balances()
    row = order_refund(world.conn, attempt.attempt, D("5.00"), "goodwill", "ann", world.now)
    for state in (RefundState.FAILED, RefundState.DONE):
        said = Refund("re_1", str(row.refund), str(attempt.reference), D("5.00"), state)
        record_refund(world.conn, world.gateway, said, world.now)
    assert world.balances() == before


def test_a_transfer_finer_than_its_currency_is_refused(world: World) -> None:
    world.account(card=None)
    world.transfers("acme")
    world.bill("acme", "10.00")
    world.collect()
    (reference,) = world.conn.execute("SELECT reference FROM bank_transfer").fetchone() or ("",)
    till = till_of(world.conn, TransferGateway(world.conn, world.clock))
    with pytest.raises(RefusedError, match="no multiple"):
        transfer_arrived(till, reference, D("10.001"), world.now)
    assert "bank" not in world.balances()
