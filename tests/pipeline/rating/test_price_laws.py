"""Laws of pricing, whatever the timelines and the usage."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.money import round_step
from pipeline.periods import MICROSECOND, hours, month
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Inputs, Line, PriceRow, Scope, Span
from schemas.prices import Hours, Sum
from schemas.serial import from_json, to_json
from tests.pipeline.rating.places import MONTHS, instants, paid, whole
from tests.pipeline.rating.worlds import (
    END,
    HOUR,
    ITEMS,
    START,
    WIDTH,
    World,
    hour,
    hourly,
    inputs_of,
    laws,
    months,
    row,
    scope_of,
    total,
    traffic,
    usages,
    used,
)

T = TypeVar("T")


@pytest.mark.parametrize(("timezone", "change", "at", "length"), MONTHS)
def test_the_months_that_are_drawn(timezone: str, change: str | None, at: str, length: str) -> None:
    """By hand: how long they are, and that clocks show two things around the instant."""
    instant = datetime.fromisoformat(at)
    period = month(instant, timezone)
    assert hours(period) == Fraction(length)
    before, after = (one.astimezone(ZoneInfo(timezone)) for one in (instant - HOUR, instant + HOUR))
    assert (before.utcoffset() == after.utcoffset()) == (change is None)
    assert period.start.astimezone(ZoneInfo(timezone)).strftime("%d %H:%M") == "01 00:00"


@laws
@given(months(fine=True), st.integers(0, 10**9))
def test_live_at_the_end_is_the_close(world: World, late: int) -> None:
    scope, given_, end = world.scope, world.inputs, world.end
    close = price(scope, given_, end)
    assert price(scope, given_, end + timedelta(seconds=late)) == close
    stored = from_json(Inputs, to_json(given_))
    assert price(from_json(Scope, to_json(scope)), stored, end) == close


@laws
@given(months(fine=True), st.randoms(use_true_random=False))
def test_order_does_not_matter(world: World, random: Random) -> None:
    _, scope, given_, as_of = world

    def shuffled(rows: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(random.sample(rows, len(rows)))

    other = replace(
        scope,
        items=shuffled(scope.items),
        assignments=shuffled(scope.assignments),
        prices=shuffled(scope.prices),
    )
    usage = shuffled(given_.usage)
    assert price(other, replace(given_, usage=usage), as_of) == price(scope, given_, as_of)


@laws
@given(months(), st.data())
def test_splitting_a_row_at_a_window_edge_changes_nothing(
    world: World, data: st.DataObject
) -> None:
    """Rows that no timeline cuts, as the ledger's readers give them: one window each here."""
    place, scope, given_, as_of = world
    usage = tuple(replace(u, end=u.start + WIDTH) for u in given_.usage)
    split = []
    for row_ in usage:
        first = data.draw(st.integers(0, row_.quantity))
        split += [replace(row_, quantity=first), replace(row_, quantity=row_.quantity - first)]
    whole = price(scope, Inputs(place.period, usage), as_of)
    assert price(scope, Inputs(place.period, tuple(split)), as_of) == whole


@laws
@given(months(fine=True))
def test_every_line_is_what_it_says(world: World) -> None:
    place, scope, given_, as_of = world
    lines = price(scope, given_, as_of)
    assert len({line.key for line in lines}) == len(lines)
    for line in lines:
        exact = Fraction(line.quantity) * Fraction(line.unit_price)
        assert line.net >= 0
        assert line.quantity >= 0
        assert whole(line.net, place.currency)
        assert line.service.clip(place.start, min(place.end, as_of)) == line.service
        assert line.net == paid(exact, place.currency) or (line.capped and line.net < exact)
        for rounding in line.roundings:
            assert rounding.rounded == {"net": line.net, "quantity": line.quantity}[rounding.what]


@laws
@given(months(fine=True), st.sampled_from(["0.00", "6.00", "49.00"]))
def test_a_capped_month_never_exceeds_the_cap(world: World, euro: str) -> None:
    """However often the price changes, when every version has that cap."""
    place, scope, _, as_of = world
    cap, silent = place.money(euro), Inputs(place.period)

    def capped(row_: PriceRow) -> PriceRow:
        if not isinstance(row_.price.quantity, Hours):
            return row_
        return replace(row_, price=replace(row_.price, cap=cap))

    scope = replace(scope, prices=tuple(map(capped, scope.prices)))
    for item in ITEMS:
        lines = price(scope, silent, as_of)
        assert total(line for line in lines if line.item == item) <= cap


@laws
@given(months(fine=True), st.data())
def test_more_usage_never_bills_less(world: World, data: st.DataObject) -> None:
    """Nor costs less, but for the step that rounding moves from one part of a cut month to another,
    and the rounding of their lines.
    """
    place, scope, given_, as_of = world
    more = data.draw(usages(place))
    before = price(scope, given_, as_of)
    after = price(scope, replace(given_, usage=(*given_.usage, more)), as_of)
    quantities = _quantities(before), _quantities(after)
    assert all(quantities[1][key] >= quantity for key, quantity in quantities[0].items())
    minor = Decimal(1).scaleb(-place.digits)
    moved = sum(Decimal("0.001") * line.unit_price + minor for line in after)
    cut = len(after) > len(quantities[1])
    assert total(after) >= total(before) - (moved if cut else 0)


def _quantities(lines: Iterable[Line]) -> dict[tuple[str, str, str], Decimal]:
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.item, line.charge, line.unit] += line.quantity
    return sums


@laws
@given(months(fine=True), st.data())
def test_time_never_lowers_the_rent(world: World, data: st.DataObject) -> None:
    place, scope, given_, as_of = world
    rented = replace(scope, prices=tuple(p for p in scope.prices if p.charge == "rent"))
    early, late = sorted((as_of, data.draw(instants(place))))
    assert total(price(rented, given_, early)) <= total(price(rented, given_, late))


@laws
@given(months(fine=True))
def test_between_evaluations_time_changes_nothing(world: World) -> None:
    """as_of ────── due − 1 µs: the same money. A sweep at ``due`` leads on to a later one."""
    place, scope, _, as_of = world
    now, end = Inputs(place.period), place.end
    due = next_eval_at(scope, now, as_of)
    until = end if due is None else due - MICROSECOND
    assert due is None or as_of < due <= end
    assert due is None or (next_eval_at(scope, now, due) or end + WIDTH) > due
    if until > as_of:
        assert total(price(scope, now, until)) == total(price(scope, now, as_of))


@laws
@given(months(fine=True))
def test_cutting_a_price_row_in_two_changes_no_allowance(world: World) -> None:
    """A new version at the same price: its parts together use and exceed as much as the whole."""
    place, scope, given_, at = world

    def excess(which: Scope) -> dict[tuple[str, str], tuple[int, int]]:
        sums: dict[tuple[str, str], tuple[int, int]] = {}
        for line in price(which, given_, place.end):
            over = max(0, line.base_quantity - line.allowance)
            used_, over_ = sums.get((line.item, line.unit), (0, 0))
            sums[line.item, line.unit] = (used_ + line.base_quantity, over_ + over)
        return sums

    whole = tuple(p for p in scope.prices if isinstance(p.price.quantity, Sum))
    usage = tuple(u for u in given_.usage if not u.start < at < u.end)
    given_ = replace(given_, usage=usage)
    parts = [
        replace(p, valid=span)
        for p in whole
        for span in (
            p.valid.clip(place.start - 9 * WIDTH, at),
            p.valid.clip(at, place.end + 9 * WIDTH),
        )
        if span is not None
    ]
    assert excess(replace(scope, prices=tuple(parts))) == excess(replace(scope, prices=whole))


def test_quantity_times_price_is_net_by_hand() -> None:
    rows = (row(hourly("0.0833", "49.00"), "rent"), row(traffic(), "traffic"))
    rent, moved = price(scope_of(*rows), inputs_of(used(20_412_345_678_901)), END)
    assert (str(rent.quantity), str(rent.net), rent.capped) == ("720", "49.00", True)
    assert (str(moved.quantity), str(moved.net)) == ("0.412", "0.53")
    assert round_step(Fraction(412_345_678_901, 10**12), Decimal("0.001")) == moved.quantity


class TestGate:
    """What no reader may hand over: a plain ValueError stops the scope."""

    def test_an_open_period(self) -> None:
        with pytest.raises(ValueError, match="has no end"):
            price(scope_of(), Inputs(Span(START)), END)

    @pytest.mark.parametrize(
        ("start", "end"), [(-1, 1), (719, 721), (5, 5), (6, 5)], ids=["early", "late", "no", "back"]
    )
    def test_usage_outside_the_period(self, start: int, end: int) -> None:
        with pytest.raises(ValueError, match="does not lie in the period"):
            price(scope_of(), inputs_of(used(1, hour(start), hour(end))), END)

    def test_two_prices_at_once(self) -> None:
        rows = (row(hourly("1"), "rent", Span(START)), row(hourly("2"), "rent", Span(hour(3))))
        with pytest.raises(ValueError, match="price web/rent: two rows are valid at 2026-04-01T03"):
            price(scope_of(*rows), inputs_of(), END)

    def test_two_items_on_one_server(self) -> None:
        scope = scope_of()
        twice = replace(scope, assignments=scope.assignments * 2)
        with pytest.raises(ValueError, match="assignment of srv: two rows"):
            price(twice, inputs_of(), END)
