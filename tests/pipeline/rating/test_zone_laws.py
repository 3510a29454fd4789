"""Laws of months that are not 720 hours: shares of time, fees in advance, and what expires."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import closed
from pipeline.rating.price import price
from schemas.billing import (
    Assignment,
    Inputs,
    Item,
    Line,
    LineKind,
    PriceRow,
    Samples,
    Scope,
    Span,
    Usage,
)
from schemas.prices import (
    Allocation,
    Allowance,
    Bill,
    Charge,
    Commit,
    Every,
    Fee,
    Hours,
    Pack,
    Percentile,
    PerUnit,
    Quantity,
    Rollover,
    Sum,
)
from tests.pipeline.rating.drawn import GPU_HOUR, MBPS
from tests.pipeline.rating.places import HOUR, Place, first_of_month, marks, paid, places, share
from tests.pipeline.rating.worlds import TB, TX, cuts, laws, row

MILLION = 10**6
MILLISECOND = timedelta(milliseconds=1)
ONE = PerUnit(Decimal(1))


def charge(quantity: Quantity, **terms: Any) -> Charge:
    return Charge(quantity, ONE, "hosting", **terms)


def world(place: Place, rented: Span, *rows: PriceRow) -> Scope:
    return Scope(
        "acme", "acme", place.currency, place.timezone, (Item("web", "web", "ax", rented),),
        (Assignment("srv", "web", rented),), rows,
    )  # fmt: skip


@st.composite
def rentals(draw: st.DrawFn) -> tuple[Place, Span]:
    """A place, and the time of an item that touches its period: often all of it, or open."""
    place = draw(places)
    some = cuts(1, True, place).map(lambda spans: spans[0])
    wholes = [place.period, Span(place.start), Span(place.start - HOUR, place.end + HOUR)]
    spans = some.filter(lambda span: span.clip(place.start, place.end) is not None)
    return place, draw(st.sampled_from(wholes) | spans)


def lines_of(place: Place, item: Span, *charges: Charge, **inputs: Any) -> dict[str, Line]:
    """The one line of each charge at the end of the period, by what it measures."""
    rows = [row(one, type(one.quantity).__name__, Span(item.start)) for one in charges]
    scope = world(place, item, *rows)
    lines = price(scope, Inputs(place.period, **inputs), place.end)
    assert len({line.charge for line in lines}) == len(lines)
    return {line.charge: line for line in lines}


@laws
@given(rentals(), st.integers(1, 4))
def test_time_counts_as_it_passes(rental: tuple[Place, Span], count: int) -> None:
    """A month is whole with 743 hours, with 720.5 and with 745."""
    place, item = rental
    part = item.clip(place.start, place.end)
    assert part is not None
    of_month = share(part, place.period)
    rate = Samples("srv", TX, "1", place.start, (count * MBPS.is_,) * place.windows)
    found = lines_of(
        place, item,
        charge(Fee(count=count)), charge(Hours()), charge(Allocation(GPU_HOUR, count)),
        charge(Percentile((TX,), MBPS)),
        charge(Sum((TX,), TB), allowance=Allowance(count * 10**9)),
        samples=(rate,),
    )  # fmt: skip
    length = closed(part) - part.start
    fee = found["Fee"].base_quantity if "Fee" in found else 0
    assert abs(fee - of_month * count * MILLION) <= count
    assert found["Sum"].allowance == ceil(of_month * count * 10**9)
    assert found["Allocation"].base_quantity == count * (length // MILLISECOND)
    if length >= HOUR:
        assert abs(Fraction(found["Percentile"].quantity) - of_month * count) <= MBPS.step
    if "Hours" in found:
        begun = -((item.start - closed(part)) // HOUR) - max(
            0, -((item.start - part.start) // HOUR)
        )
        assert found["Hours"].quantity == begun


@laws
@given(rentals(), st.integers(1, 4))
def test_a_commit_counts_as_time_passes(rental: tuple[Place, Span], count: int) -> None:
    place, item = rental
    part = item.clip(place.start, place.end)
    assert part is not None
    committed = charge(Sum((TX,), TB), commit=Commit(Decimal(count), Decimal(0)))
    lines = price(world(place, item, row(committed, "it", Span(item.start))),
                  Inputs(place.period), place.end)  # fmt: skip
    quantity = sum(line.quantity for line in lines if line.kind is LineKind.FLAT)
    assert abs(Fraction(quantity) - share(part, place.period) * count) <= TB.step / 2


@laws
@given(rentals(), st.integers(1, 4))
def test_fees_in_advance_are_of_the_month_that_follows_there(
    rental: tuple[Place, Span], count: int
) -> None:
    place, item = rental
    fee = charge(Fee(bill=Bill.ADVANCE, count=count))
    scope = world(place, item, row(fee, "fee", Span(item.start)))
    lines = price(scope, Inputs(place.period), place.end)
    ahead = [line for line in lines if line.service.start >= place.end]
    following = Span(place.end, place.next_end)
    part = item.clip(place.end, place.next_end)
    assert [line.service for line in ahead] == ([part] if part else [])
    for line in ahead:
        assert part is not None
        assert abs(line.base_quantity - share(part, following) * count * MILLION) <= count
        assert line.net == paid(Fraction(line.quantity), place.currency)


@laws
@given(places, st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 35))
def test_packs_and_what_is_left_expire_with_a_month_there(
    place: Place, data: st.DataObject, serves: int, rolls: int, used: int
) -> None:
    """20 TB are included and roll over; a pack of 10 TB was booked in the period or before."""
    days = [place.first(-1), place.first(-2), place.start - 2 * HOUR, *marks(place)]
    booked = data.draw(st.sampled_from([day for day in days if day < place.end]))
    terms = Allowance(20 * TB.is_, True, "eu", Rollover(15 * TB.is_, rolls))
    pack = charge(Fee(Every.BOOKED), pack=Pack(10 * TB.is_, "eu", serves))
    scope = world(
        place, Span(place.first(-3)),
        row(charge(Sum((TX,), TB), allowance=terms), "traffic", Span(place.first(-3))),
        row(pack, "pack", Span(booked)),
    )  # fmt: skip
    usage = Usage("srv", TX, "eth0", place.start, place.end, used * TB.is_)
    lines = price(scope, Inputs(place.period, (usage,)), place.end)
    expected = []
    expires, over = first_of_month(booked, place.timezone, serves), max(0, used - 20)
    if expires > place.end:
        expected.append((expires, "pack", max(0, 10 - over)))
    if used < 20:
        expected.append((place.first(1 + rolls), "rollover", min(20 - used, 15)))
    found = [(lot.expires_at, lot.name.split("/")[0], lot.left // TB.is_)
             for line in lines for lot in line.lots]  # fmt: skip
    assert found == sorted(expected)
    paid_for = sum(line.quantity for line in lines if line.charge == "traffic")
    assert paid_for == max(0, over - (10 if expires > place.start else 0))
