"""Laws of invoices in currencies of two decimals, of none and of three."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.rating.price import price
from pipeline.rating.settle import settle
from schemas.billing import LineKind, Seller
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile
from tests.pipeline.rating.drawn import amounts, everywhere
from tests.pipeline.rating.places import paid
from tests.pipeline.rating.worlds import World, laws, total

RATES = {"hosting": Decimal(19), "books": Decimal("8.1")}


@laws
@given(everywhere(), st.sampled_from([TaxMode.EXCLUSIVE, TaxMode.INCLUSIVE]), st.data())
def test_an_invoice_is_paid_in_whole_minor_units(
    world: World, mode: TaxMode, data: st.DataObject
) -> None:
    """And its tax is that of the sum of each category, rounded once."""
    place = world.place
    purse = [
        Credit(kind.value, kind, data.draw(amounts(place.digits)), place.end - timedelta(1))
        for kind in CreditKind
    ]
    seller = Seller("rm", "R", (), "", place.timezone, place.currency, RATES)
    lines = price(world.scope, world.inputs, place.end)
    found = settle(lines, seller, place.currency, TaxProfile(mode), purse, place.end)
    for one in found.taxes:
        mine = Fraction(total(line for line in found.lines if line.tax == one.category))
        rate = Fraction(one.rate) / 100
        if mode is TaxMode.INCLUSIVE:
            assert one.base == paid(mine / (1 + rate), place.currency)
            assert one.base + one.tax == mine
        else:
            assert one.base == mine
            assert one.tax == paid(mine * rate, place.currency)
    credits_ = [line.net for line in found.lines if line.kind is LineKind.CREDIT]
    drawn = [draw.amount for draw in found.paid]
    for amount in (*credits_, *drawn, found.net, found.tax, found.gross, found.due):
        assert amount == paid(Fraction(amount), place.currency)
    assert found.due == found.gross - sum(drawn) >= 0
