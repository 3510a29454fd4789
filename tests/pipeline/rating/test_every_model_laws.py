"""Laws that hold for every quantity with every model, whatever was agreed besides."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from invoicing.pieces import price_row
from pipeline.periods import closed
from pipeline.rating.cut import measured
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Inputs, Line, LineKind, PriceRow, Scope
from schemas.prices import Allocation, Every, Fee, Hours, Percentile, Sum
from schemas.serial import from_json, to_json
from tests.pipeline.rating.drawn import billed, cut_at, everywhere
from tests.pipeline.rating.places import paid, whole
from tests.pipeline.rating.worlds import WIDTH, World, laws, total, windows

T = TypeVar("T")


@laws
@given(everywhere(), st.integers(0, 10**9))
def test_live_at_the_end_is_the_close(world: World, late: int) -> None:
    scope, given_, end = world.scope, world.inputs, world.end
    close = price(scope, given_, end)
    assert price(scope, given_, end + timedelta(seconds=late)) == close
    stored = from_json(Inputs, to_json(given_))
    assert price(from_json(Scope, to_json(scope)), stored, end) == close


@laws
@given(everywhere(), st.data(), st.randoms(use_true_random=False))
def test_order_does_not_matter(world: World, data: st.DataObject, random: Random) -> None:
    place, scope, given_, as_of = world
    before = data.draw(billed(place.digits))

    def shuffled(rows: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(random.sample(rows, len(rows)))

    def mixed(value: T) -> T:
        parts = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
        changed = {k: shuffled(v) for k, v in parts.items() if isinstance(v, tuple)}
        return replace(value, **changed)  # type: ignore[type-var]

    given_ = replace(given_, billed=tuple(before))
    assert price(mixed(scope), mixed(given_), as_of) == price(scope, given_, as_of)


@laws
@given(everywhere())
def test_every_line_is_what_it_says(world: World) -> None:
    place, scope, given_, as_of = world
    lines = price(scope, given_, as_of)
    assert len({line.key for line in lines}) == len(lines)
    for line in lines:
        exact = Fraction(line.quantity) * Fraction(line.unit_price)
        assert whole(line.net, place.currency)
        assert line.net == paid(exact, place.currency) or (line.capped and line.net < exact)
        assert line.quantity >= 0
        assert line.net >= 0 or line.kind is LineKind.DISCOUNT


@laws
@given(everywhere())
def test_no_charge_is_ever_negative(world: World) -> None:
    """Discounts included."""
    _, scope, given_, as_of = world
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for line in price(replace(scope, discounts=()), given_, as_of):
        sums[line.item, line.charge, line.tax] += line.net
    assert all(net >= 0 for net in sums.values())
    assert total(price(scope, given_, as_of)) >= 0


@laws
@given(everywhere())
def test_no_cap_is_passed(world: World) -> None:
    """By what the lines of an item's charge come to, rounded as they are billed: those under one
    cap, and all together. One that comes to measure something else is another charge.
    """
    _, scope, given_, as_of = world
    touched: dict[tuple[str, str], list[PriceRow]] = defaultdict(list)
    for row in scope.prices:
        touched[row.item, row.charge].append(row)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    under: dict[tuple[str, str, Decimal | None, str], Decimal] = defaultdict(Decimal)
    for line in price(replace(scope, discounts=(), commitments=()), given_, as_of):
        sums[line.item, line.charge] += line.net
        own = price_row(scope, line).price
        under[line.item, line.charge, own.cap, measured(own)] += line.net
    for (item, charge, cap, _), net in under.items():
        assert cap is None or net <= cap, (item, charge)
    for key, net in sums.items():
        caps = [row.price.cap for row in touched[key]]
        known = [cap for cap in caps if cap is not None]
        kinds = {measured(row.price) for row in touched[key]}
        if len(kinds) == 1 and len(known) == len(caps):
            assert net <= max(known), key


@laws
@given(everywhere())
def test_money_is_never_a_float(world: World) -> None:
    _, scope, given_, as_of = world

    def values(value: Any) -> Iterator[Any]:
        if is_dataclass(value):
            for field in fields(value):
                yield from values(getattr(value, field.name))
        elif isinstance(value, tuple):
            for part in value:
                yield from values(part)
        else:
            yield value

    assert not [v for v in values(price(scope, given_, as_of)) if isinstance(v, float)]


@laws
@given(everywhere(fine=False), windows)
def test_cutting_a_month_at_a_window_edge_measures_the_same(world: World, window: int) -> None:
    """Sums, hours, allocations and prorated fees are additive; a percentile is not cut at all."""
    place, scope, given_, _ = world
    # Rows of usage as the ledger gives them: a window each, so that no edge divides one.
    usage = tuple(replace(u, end=u.start + WIDTH) for u in given_.usage)
    given_ = replace(given_, usage=usage)
    whole, parts = (
        _measured(scope_, given_) for scope_ in (scope, cut_at(scope, place.edge(window)))
    )
    assert whole == parts


def _measured(scope: Scope, given_: Inputs) -> dict[tuple[str, ...], int]:
    """Base units, or hours begun, by item, charge and version, in this period."""
    rows = {(p.item, p.charge, p.version): p.price for p in scope.prices}
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    end = closed(given_.period)
    for line in price(replace(scope, discounts=(), commitments=()), given_, end):
        if line.service.start >= end:
            continue
        charge = rows[line.item, line.charge, line.version]
        additive = isinstance(charge.quantity, Sum | Hours | Allocation) or (
            isinstance(charge.quantity, Fee)
            and charge.quantity.every is Every.MONTH
            and charge.prorate
        )
        if not additive:
            continue
        quantity = line.base_quantity
        if isinstance(charge.quantity, Hours):
            # A part in which no hour begins is no line, so its milliseconds are on none; tiers are
            # lines of their own.
            whole = charge.share.taken == charge.share.whole
            quantity = int(line.quantity) if whole and line.kind is LineKind.CHARGE else 0
        if quantity:
            sums[line.item, line.charge, line.version] += quantity
    return sums


@laws
@given(everywhere())
def test_a_sweep_leads_on(world: World) -> None:
    """Each evaluation asks for a later one, and none after the end."""
    place, scope, _, as_of = world
    silent = Inputs(place.period)
    due = next_eval_at(scope, silent, as_of)
    if due is not None:
        assert as_of < due <= place.end
        later = next_eval_at(scope, silent, due)
        assert later is None or later > due


@laws
@given(everywhere())
def test_between_sweeps_time_changes_no_money(world: World) -> None:
    """Allocations, which grow all the time, and percentiles of nothing aside.

    A cap that is reached makes one line of several, so money is compared by charge.
    """
    place, scope, _, as_of = world
    kept = tuple(
        p for p in scope.prices if not isinstance(p.price.quantity, Allocation | Percentile)
    )
    scope, silent = replace(scope, prices=kept, discounts=()), Inputs(place.period)
    due = next_eval_at(scope, silent, as_of)
    until = (place.end if due is None else due) - timedelta(microseconds=1)
    if until > as_of:
        assert _nets(price(scope, silent, until)) == _nets(price(scope, silent, as_of))


def _nets(lines: tuple[Line, ...]) -> dict[tuple[str, str], Decimal]:
    nets: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        charge = (line.item, line.charge)
        nets[charge] = nets.get(charge, Decimal(0)) + line.net
    return {charge: net for charge, net in nets.items() if net}
