"""What is collected, when, and what stands in the books: against a Stripe that keeps its state."""

from decimal import Decimal

from tests.payments.world import World

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
