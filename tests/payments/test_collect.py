"""What is collected, when, and what stands in the books: against a Stripe that keeps its state."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from invoicing.collecting.refund import refund
from invoicing.gateways.protocol import GatewayUnknownError
from invoicing.gateways.transfer_gateway import is_creditor_reference
from schemas.errors import RefusedError
from sinks.bank_transfers import arrived
from sinks.database import connect, migrate
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of
from tests.payments.stripe_server import REFUND, Fault
from tests.payments.world import DECLINED, GOOD, NOW, SEEN, World
from tests.sinks.roles import login_of

D = Decimal


def test_a_due_invoice_is_paid_once_and_booked(world: World) -> None:
    world.account()
    number = world.bill("acme", "119.00")
    report = world.collect()
    assert [(c.invoice, c.state) for c in report.collected] == [(number, "paid")]
    assert world.status(number) == "paid"
    # 1.5 % and 25 cents
    assert world.balances() == {
        "clearing:stripe": D("116.97"), "fees": D("2.03"), "revenue": D("-119.00"),
    }  # fmt: skip
    assert world.told() == [("webhook", "payment.received")]
    assert world.collect().collected == []
    assert len(world.paid_at_stripe(number)) == 1


def test_a_declined_card_is_tried_on_its_days_and_never_twice_at_once(world: World) -> None:
    world.account(card=DECLINED)
    number = world.bill("acme", "10.00")
    start = world.now
    for days, tries in ((0, 1), (2, 1), (3, 2), (7, 2), (8, 3), (15, 4), (40, 4)):
        world.now = start + timedelta(days=days)
        world.collect()
        assert len(world.attempts(number)) == tries, days
    assert set(world.attempts(number)) == {("canceled", "card_declined")}
    # What was declined was canceled there as well: nobody can pay it beside the next attempt.
    assert {one["status"] for one in world.stripe.intents()
            if one["metadata"].get("rackmeter_invoice") == number} == {"canceled"}  # fmt: skip
    assert world.status(number) == "open"


def test_another_card_is_tried_at_once(world: World) -> None:
    world.account(card=DECLINED)
    number = world.bill("acme", "10.00")
    world.collect()
    world.now += timedelta(minutes=5)
    row = world.conn.execute("SELECT customer FROM payment_customer").fetchone()
    assert row is not None
    world.save("acme", row[0], GOOD)
    world.collect()
    assert [state for state, _ in world.attempts(number)] == ["canceled", "paid"]


def test_who_has_to_be_seen_gets_a_link_and_pays_by_it(world: World) -> None:
    world.account(card=SEEN)
    number = world.bill("acme", "10.00")
    (found,) = world.collect().collected
    assert (found.state, found.why[:34]) == ("action", "https://hooks.stripe.example/3ds/p")
    assert ("webhook", "payment.action_required") in world.told()
    assert world.collect().collected == []
    world.authenticate(number)
    assert [one.state for one in world.collect().collected] == ["paid"]
    assert world.status(number) == "paid"


def test_who_does_not_come_is_asked_again(world: World) -> None:
    world.account(card=SEEN)
    number = world.bill("acme", "10.00")
    world.collect()
    world.now += timedelta(days=3, minutes=1)
    world.collect()
    assert world.attempts(number) == [("canceled", "abandoned")]
    world.now += timedelta(days=3)
    world.collect()
    assert [state for state, _ in world.attempts(number)] == ["canceled", "action"]


def test_an_invoice_that_changed_meanwhile_is_not_charged_as_it_was(world: World) -> None:
    world.account(card=SEEN)
    number = world.bill("acme", "10.00")
    world.collect()
    world.receive(number, "4.00")
    world.collect()
    assert [state for state, _ in world.attempts(number)] == ["canceled", "action"]
    world.authenticate(number)
    world.collect()
    assert world.status(number) == "paid"
    assert [one["amount"] for one in world.paid_at_stripe(number)] == [600]


@pytest.mark.parametrize(
    ("currency", "bills", "paid", "carried"),
    [
        ("KWD", ["10.004"], [10000], "0.004"),
        ("KWD", ["10.004", "10.004"], [10000, 10010], "-0.002"),
        ("KWD", ["10.006", "10.000"], [10010, 10000], "-0.004"),
        ("MGA", ["1000.40", "1000.40"], [1000, 1001], "-0.20"),
        ("EUR", ["0.30", "0.30"], [60], "0"),  # less than they take: with the next one
    ],
)
def test_what_cannot_be_moved_is_carried(
    world: World, currency: str, bills: list[str], paid: list[int], carried: str
) -> None:
    """Amounts as Stripe writes them; each invoice is paid, the rest is the account's."""
    world.account(currency=currency)
    numbers = []
    for gross in bills:
        numbers.append(world.bill("acme", gross, currency=currency))
        world.collect()
    amounts = [one["amount"] for number in numbers for one in world.paid_at_stripe(number)]
    assert amounts == paid
    assert {world.status(number) for number in numbers} == {"paid"}
    assert world.balances(currency).get("receivable", D(0)) == D(carried)


def test_money_goes_back_once_and_no_more_than_came(world: World) -> None:
    world.account()
    number = world.bill("acme", "119.00")
    world.collect()
    attempt = world.attempt(number)
    row = refund(world.till(), attempt, D("19.00"), "goodwill", "operator")
    assert row.state == "done"
    assert world.balances()["clearing:stripe"] == D("97.97")
    with pytest.raises(RefusedError, match=r"100\.00 EUR of that payment is left"):
        refund(world.till(), attempt, D("100.01"), "more", "operator")
    refund(world.till(), attempt, D("100.00"), "all", "operator")
    assert world.status(number) == "refunded"
    # Nobody asks for it again but a person.
    assert world.collect().collected == []


def test_a_lost_refund_is_looked_up(world: World) -> None:
    world.account()
    number = world.bill("acme", "119.00")
    world.collect()
    for after in (False, True):
        world.stripe.faults = [Fault("reset", REFUND, after=after)]
        with pytest.raises(GatewayUnknownError):
            refund(world.till(), world.attempt(number), D("10.00"), "goodwill", "operator")
        world.now += timedelta(hours=25)
        assert world.collect().exit_code == 0
        assert world.conn.execute("SELECT DISTINCT state FROM payment_refund").fetchall() == [
            ("done",)
        ]
    assert world.balances()["clearing:stripe"] == D("96.97")


def test_a_transfer_is_expected_and_booked_when_it_came(world: World) -> None:
    world.account(card=None)
    world.transfers("acme")
    number = world.bill("acme", "119.00")
    world.collect()
    (reference,) = world.conn.execute("SELECT reference FROM bank_transfer").fetchone() or ("",)
    assert is_creditor_reference(reference)
    assert world.collect().collected == []
    arrived(world.conn, reference, D("100.00"), world.now)
    world.collect()
    assert world.status(number) == "partly paid"
    assert world.balances()["bank"] == D("100.00")
    # The rest is expected under a reference of its own.
    world.now += timedelta(minutes=1)
    world.collect()
    assert world.attempts(number) == [("paid", ""), ("action", "")]


def test_a_dry_run_says_what_it_would_do_and_calls_nobody(world: World) -> None:
    world.account()
    number = world.bill("acme", "119.00")
    before = len(world.stripe.calls)
    (found,) = world.collect(dry_run=True).collected
    assert (found.invoice, found.state, found.why) == (number, "due", "visa •••• 4242, 12/2034")
    assert len(world.stripe.calls) == before
    assert world.attempts(number) == []


def test_the_invoicer_may_collect_and_see_accounts(world: World) -> None:
    """Its grants are enough for every step, refunds and events that wait included."""
    migrate(world.url)
    number = world.bill(world.account(), "119.00")
    late = world.bill(world.account("bolt", DECLINED), "10.00", due_at=NOW - timedelta(days=30))
    world.transfers(world.account("cleo", None))
    world.bill("cleo", "5.00")
    world.bill(world.account("dora", None), "5.00", "RM-D1", due_at=NOW - timedelta(days=1))
    world.receive("RM-D1", "6.00")
    world.bill("dora", "7.00", "RM-D2")
    world.url = login_of(world.url, "invoicer")
    report = world.collect()
    assert (report.exit_code, len(report.applied)) == (0, 1)
    world.now += timedelta(days=8)
    assert world.collect().exit_code == 0
    assert (world.status(number), world.status(late)) == ("paid", "open")
    with connect(world.url, autocommit=True) as conn:
        till = replace(world.till(), conn=conn)
        assert refund(till, world.attempt(number), D("1.00"), "goodwill", "ann").state == "done"


def test_what_the_close_issued_is_collected_when_it_is_due(world: World) -> None:
    """An invoice of a whole month, from usage to money."""
    (account,) = month_of(world.conn, 1)
    report = close_month(world.url, issued_at=world.now - timedelta(days=14))
    (outcome,) = report.outcomes
    assert outcome.number is not None
    assert outcome.gross is not None
    world.pays_by(account, GOOD)
    world.now -= timedelta(minutes=1)
    assert world.collect().collected == []
    world.now += timedelta(minutes=2)
    world.collect()
    assert world.status(outcome.number) == "paid"
    assert "receivable" not in world.balances()
    (paid,) = world.paid_at_stripe(outcome.number)
    assert paid["amount"] == outcome.gross * 100


def test_several_at_once_share_the_work(world: World) -> None:
    """Each invoice is one's; who comes second finds it paid, or leaves it."""
    numbers = [world.bill(world.account(f"a-{n}"), "10.00") for n in range(4)]
    with ThreadPoolExecutor(3) as pool:
        reports = [one.result() for one in [pool.submit(world.collect) for _ in range(3)]]
    assert [report.exit_code for report in reports] == [0, 0, 0]
    paid = [c.invoice for report in reports for c in report.collected if c.state == "paid"]
    assert sorted(paid) == sorted(numbers)
    assert [len(world.attempts(number)) for number in numbers] == [1] * 4
    assert [len(world.paid_at_stripe(number)) for number in numbers] == [1] * 4
