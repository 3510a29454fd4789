"""What is left over: rests that are carried twice, money that comes late, losses that are none,
money that went back in part, and accounts that owe a few cents.
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from invoicing.collecting.attempt import till_of
from invoicing.collecting.dunning import Policy
from invoicing.collecting.events import handle
from invoicing.collecting.record import record_canceled
from invoicing.collecting.refund import refund
from invoicing.collecting.transfer import transfer_arrived
from invoicing.gateways.transfer_gateway import TransferGateway
from schemas.errors import RefusedError
from sinks.database import connect
from sinks.payment_events import Told, receive
from sinks.payment_methods import keep_methods, method_in_force
from sinks.receipts import receive as enter
from sinks.receipts import standing, write_off
from tests.payments.world import NOW, SEEN, World

D = Decimal
DAY = timedelta(days=1)


def expected(world: World) -> list[tuple[str, str, bool]]:
    """(reference, amount, is it still) of the transfers."""
    return [
        (reference, str(amount), canceled is None)
        for reference, amount, canceled in world.conn.execute(
            "SELECT reference, amount, canceled_at FROM bank_transfer ORDER BY attempt_id"
        ).fetchall()
    ]


def test_an_invoice_carries_a_rest_more_than_once(world: World) -> None:
    world.account()
    number = world.bill("acme", "100.00")
    world.receive(number, "99.90")
    assert [one.why[:7] for one in world.collect().collected] == ["carried"]
    # A payment that came was another's: part of it is open again.
    for amount, carried in (("-0.10", "0.20"), ("-0.20", "0.40")):
        world.receive(number, amount)
        assert world.collect().exit_code == 0
        assert world.status(number) == "paid"
        assert world.balances()["receivable"] == D(carried)


def test_a_transfer_that_is_awaited_stays_so_when_the_carried_rest_changes(world: World) -> None:
    """0.30 are asked for with it; then 0.20 more are carried, for another payment."""
    world.account()
    world.bill("acme", "0.30")
    world.collect()
    world.now += timedelta(minutes=1)
    world.transfers("acme")
    number = world.bill("acme", "100.00")
    world.collect()
    before = expected(world)
    assert [amount for _, amount, _ in before] == ["100.30"]
    world.now += timedelta(minutes=1)
    world.conn.execute("UPDATE payment_method SET added_at = %s WHERE gateway = 'stripe'",
                       (world.now,))  # fmt: skip
    small = world.bill("acme", "0.20")
    world.collect()
    assert world.status(small) == "paid"
    world.collect()
    assert expected(world) == before
    assert world.attempts(number) == [("action", "")]


def test_a_transfer_that_comes_after_it_was_given_up_is_booked(world: World) -> None:
    world.account(card=None)
    world.transfers("acme")
    number = world.bill("acme", "100.00")
    world.collect()
    ((reference, _, _),) = expected(world)
    world.receive(number, "40.00")
    world.collect()
    world.collect()
    assert [state for state, _ in world.attempts(number)] == ["canceled", "action"]
    till = till_of(world.conn, TransferGateway(world.conn, world.clock))
    found = transfer_arrived(till, reference, D("100.00"), world.now)
    assert (found.state, found.received) == ("paid", D("100.00"))
    assert world.status(number) == "over-paid"
    with pytest.raises(RefusedError, match="arrived"):
        transfer_arrived(till, reference, D("100.00"), world.now)
    # It pays the next one, and nobody is asked for this one any more.
    world.bill("acme", "60.00", "RM-2")
    world.collect()
    world.collect()
    assert world.status("RM-2") == "partly paid"
    assert [state for state, _ in world.attempts(number)] == ["paid", "canceled"]


def test_a_card_that_was_charged_after_all_is_booked_by_its_event(world: World) -> None:
    """The attempt was given up here, and the customer passed 3-D Secure there."""
    world.account(card=SEEN)
    number = world.bill("acme", "100.00")
    world.collect()
    attempt = world.attempt(number)
    record_canceled(world.conn, attempt.attempt, "abandoned", world.now)
    world.authenticate(number)
    told = Told("stripe", "evt_1", "payment_intent.succeeded", f"payment/{attempt.reference}", "d",
                world.now, None, "")  # fmt: skip
    receive(world.conn, told)
    for _ in range(2):
        assert handle(world.till(), told) == "paid"
    assert world.status(number) == "paid"
    # 1.5 % and 25 cents, and it can be sent back like any other.
    assert world.balances()["clearing:stripe"] == D("98.25")
    paid = world.attempt(number)
    assert refund(world.till(), paid, D("10.00"), "asked", "ann").state == "done"


@pytest.mark.parametrize("how", ["credit", "money", "both"])
def test_what_was_lost_and_covered_after_all_is_no_loss(world: World, how: str) -> None:
    world.account(card=None)
    number = world.bill("acme", "119.00")
    write_off(world.conn, world.now, D("100.00"), number, "ann")
    assert world.balances()["bad_debt"] == D("100.00")
    if how != "money":
        world.credit(number, "69.00")
        assert (world.status(number), world.balances()["bad_debt"]) == ("written off", D("50.00"))
    if how != "credit":
        now = standing(world.conn, number)
        amount = "119.00" if how == "money" else "50.00"
        assert enter(world.conn, "17/4", world.now, D(amount), now, "ann")
        assert world.status(number) == "paid"
        assert "bad_debt" not in world.balances()
    assert world.open(number) == 0


def test_an_invoice_is_written_off_in_parts(world: World) -> None:
    """The same amount twice is two losses; more than is open is none."""
    world.account(card=None)
    number = world.bill("acme", "100.00")
    for _ in range(2):
        write_off(world.conn, world.now, D("50.00"), number, "ann")
    assert world.balances()["bad_debt"] == D("100.00")
    with pytest.raises(RefusedError, match=r"with 0\.00 EUR open"):
        write_off(world.conn, world.now, D("50.00"), number, "ann")


def test_a_loss_is_what_is_open_when_it_is_entered(world: World) -> None:
    """Money that comes between the question and the entry is no loss."""
    world.account(card=None)
    number = world.bill("acme", "100.00")
    with connect(world.url, autocommit=True) as other:
        assert standing(other, number).balance == 100
        world.receive(number, "60.00")
        with pytest.raises(RefusedError, match=r"with 40\.00 EUR open"):
            write_off(other, world.now, D("100.00"), number, "ann")
    assert "bad_debt" not in world.balances()


def test_what_was_refunded_is_not_asked_for_again_but_the_rest_is(world: World) -> None:
    world.account(card=None)
    world.transfers("acme")
    number = world.bill("acme", "100.00", due_at=NOW - 2 * DAY)
    world.collect()
    ((reference, _, _),) = expected(world)
    till = till_of(world.conn, TransferGateway(world.conn, world.clock))
    paid = transfer_arrived(till, reference, D("60.00"), world.now)
    refund(till, paid, D("20.00"), "goodwill", "ann")
    world.conn.execute("UPDATE bank_transfer_back SET sent_at = %s", (world.now,))
    world.now += timedelta(minutes=1)
    world.collect()
    world.collect()
    assert str(world.open(number)) == "60.00"
    assert str(world.attempt(number).amount) == "40.00"
    # A credit note says why the 20 went back, and nothing else changes.
    world.credit(number, "20.00")
    world.collect()
    assert [str(world.attempt(number).amount), world.attempt(number).state] == ["40.00", "action"]


def test_the_rest_of_a_refunded_invoice_is_dunned(world: World) -> None:
    world.account()
    number = world.bill("acme", "100.00", due_at=NOW - 2 * DAY)
    world.collect()
    refund(world.till(), world.attempt(number), D("30.00"), "goodwill", "ann")
    assert world.collect().moved == []
    world.receive(number, "-50.00")  # a payment that was another's
    world.conn.execute("UPDATE payment_method SET removed_at = now()")
    assert [moved.what for moved in world.collect().moved] == ["current → overdue"]


def test_of_two_cards_the_newest_is_charged(world: World) -> None:
    world.account(card=None)
    for tokens in (["pm_b", "pm_a"], ["pm_y", "pm_z", "pm_x"]):
        found = [(token, "card", token) for token in tokens]
        keep_methods(world.conn, "acme", "stripe", found, world.now)
        method = method_in_force(world.conn, "acme")
        assert method is not None
        assert (method.token, method.added_at) == (tokens[0], world.now)
        world.now += DAY
    # One that was removed and is back was saved last.
    keep_methods(world.conn, "acme", "stripe", [("pm_z", "card", "z")], world.now)
    world.now += DAY
    found = [("pm_b", "card", "b"), ("pm_z", "card", "z")]
    keep_methods(world.conn, "acme", "stripe", found, world.now)
    method = method_in_force(world.conn, "acme")
    assert method is not None
    assert method.token == "pm_b"


@pytest.mark.parametrize(
    ("gross", "currency", "minimum", "moved"),
    [
        ("0.30", "EUR", {}, 0), ("0.50", "EUR", {}, 1), ("49", "JPY", {}, 0), ("50", "JPY", {}, 1),
        ("4.99", "EUR", {"EUR": D("5.00")}, 0), ("5.00", "EUR", {"EUR": D("5.00")}, 1),
        ("1.00", "USD", {"EUR": D("5.00")}, 1),
    ],
)  # fmt: skip
def test_nobody_is_dunned_for_a_few_cents(
    world: World, gross: str, currency: str, minimum: dict[str, Decimal], moved: int
) -> None:
    world.account(card=None, currency=currency)
    world.policy = Policy(minimum=minimum)
    world.bill("acme", gross, currency=currency, due_at=NOW - 60 * DAY)
    assert len(world.collect().moved) == moved
