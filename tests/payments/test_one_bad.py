"""What one payment, refund or event cannot do keeps nobody else's from being done."""

from decimal import Decimal

import pytest

from invoicing.collecting.refund import refund
from schemas.errors import RefusedError
from tests.payments.world import World

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
