"""A quantity is rounded once in a month, however often the month is cut."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.money import minor_units
from pipeline.periods import closed
from pipeline.rating.price import price
from schemas.billing import Line, LineKind, PriceRow, Rounding, Samples, Scope, Span
from schemas.prices import (
    Charge,
    Commit,
    Every,
    Fee,
    Graduated,
    Hours,
    Package,
    Percentile,
    PerUnit,
    Share,
    Sum,
    Tier,
    Unit,
    Volume,
)
from tests.pipeline.rating.drawn import cut_at, everywhere
from tests.pipeline.rating.places import instants
from tests.pipeline.rating.worlds import (
    END,
    START,
    TX,
    World,
    hour,
    inputs_of,
    laws,
    row,
    scope_of,
    traffic,
    used,
)

WHOLE = Decimal(1)
TB = Unit("TB", "net.bytes", 10**12, WHOLE)
GB = Unit("GB", "net.bytes", 10**9, WHOLE)
EUR = PerUnit(Decimal("1.00"))
PLAIN = Charge(Sum((TX,), TB), EUR, "hosting")
IN_GB = replace(PLAIN, quantity=Sum((TX,), GB))
SEVENTH = replace(PLAIN, share=Share(1, 7))
TEN = traffic("1.00", 10, unit=TB)
TIERS = (Tier(Decimal(2), Decimal("2.00")), Tier(None, Decimal("1.00"), Decimal(7)))


def month(charges: Sequence[Charge], tb: Sequence[str]) -> list[Line]:
    """The month in equal parts, each at its charge with its TB."""
    length = 720 // len(tb)
    spans = [Span(hour(n * length), hour(n * length + length)) for n in range(len(tb))]
    rows = [row(one, "it", span) for one, span in zip(charges, spans, strict=True)]
    usage = [
        used(int(Decimal(quantity) * 10**12), span.start, closed(span))
        for quantity, span in zip(tb, spans, strict=True)
    ]
    return list(price(scope_of(*rows), inputs_of(*usage), END))


def quantities(lines: Sequence[Line]) -> str:
    return " ".join(f"{x.quantity:f}" for x in lines if x.kind is LineKind.CHARGE)


@pytest.mark.parametrize(
    ("rule", "charges", "tb", "billed"),
    [
        ("two halves are one", [PLAIN] * 2, ["0.5", "0.5"], "1 0"),
        ("ten times 0.4 are four", [PLAIN] * 10, ["0.4"] * 10, "0 1 0 1 0 0 1 0 1 0"),
        ("nothing used bills nothing, after a half too", [PLAIN] * 3, ["0.5", "0", "0.5"], "1 0 0"),
        ("a month that is not cut", [PLAIN], ["2.5"], "3"),
        ("at another price", [PLAIN, replace(PLAIN, model=PerUnit(Decimal(2)))], ["0.5", "0.5"],
         "1 0"),
        ("a share first: (3 + 4) ÷ 7", [SEVENTH] * 2, ["3", "4"], "0 1"),
        ("half of the month as a slice: 0.4 + 0.7 ÷ 7", [PLAIN, SEVENTH], ["0.4", "0.7"], "0 1"),
        ("above 10 TB: 0.4 + 0.4", [TEN] * 2, ["10.4", "0.4"], "0 1"),
        ("the commit of 2 TB is drawn on by 2.8, rounded to 3",
         [replace(PLAIN, commit=Commit(Decimal(2), WHOLE))] * 2, ["1.4", "1.4"], "0 1"),
        ("a package of one is begun once", [replace(PLAIN, model=Package(WHOLE, WHOLE))] * 2,
         ["0.5", "0.5"], "1 0"),
        ("tiers: 2.8 are 2 and 1", [replace(PLAIN, model=Graduated(TIERS))] * 2, ["1.4", "1.4"],
         "1 1 1"),
        ("volume: 2.8 are 3, of the second tier", [replace(PLAIN, model=Volume(TIERS))] * 2,
         ["1.4", "1.4"], "1 2"),
        ("each unit is rounded apart: 0.5 TB, 500 GB", [PLAIN, IN_GB], ["0.5", "0.5"], "1 500"),
        ("and once: 0.4 + 0.4 TB around 500 GB", [PLAIN, IN_GB, PLAIN], ["0.4", "0.5", "0.4"],
         "0 500 1"),
    ],
)  # fmt: skip
def test_the_sum_is_rounded(rule: str, charges: list[Charge], tb: list[str], billed: str) -> None:
    assert quantities(month(charges, tb)) == billed, rule


def test_what_is_in_another_unit_counts_in_the_new_one_once() -> None:
    """Four times 400 GB are 1.6 TB, so 2: not four times none."""
    lines = month([*[IN_GB] * 4, PLAIN], ["0.4"] * 4 + ["1"])
    assert [str(x.above) for x in lines] == ["0", "400", "800", "1200", "2"]


def test_the_line_says_what_was_rounded() -> None:
    """With what rounding left of the lines before it."""
    assert [x.roundings[0] for x in month([PLAIN] * 3, ["0.4", "0.4", "0.3"])] == [
        Rounding("quantity", "0.4", Decimal(0)),
        Rounding("quantity", "0.8", Decimal(1)),
        Rounding("quantity", "0.1", Decimal(0)),
    ]
    assert [x.roundings[0] for x in month([PLAIN] * 3, ["0.5", "0", "0.5"])] == [
        Rounding("quantity", "0.5", Decimal(1)),
        Rounding("quantity", "-0.5", Decimal(0)),
        Rounding("quantity", "0", Decimal(0)),
    ]


def test_live_what_is_over_stands() -> None:
    """As of each instant the same parts as in the end."""
    rows = [row(PLAIN, "it", Span(hour(n * 72), hour(n * 72 + 72))) for n in range(10)]
    usage = [used(4 * 10**11, x.valid.start, closed(x.valid)) for x in rows]
    whole = price(scope_of(*rows), inputs_of(*usage), END)
    for n in range(1, 10):
        assert price(scope_of(*rows), inputs_of(*usage[:n]), hour(n * 72)) == whole[:n]


def test_a_percentile_of_a_cut_month_is_that_of_the_whole() -> None:
    """Thirds of 1 Mbps: each rounds to none."""
    mbps = Unit("Mbps", "net.bytes", 37_500_000, WHOLE)
    port = Charge(Percentile((TX,), mbps), EUR, "hosting")
    rows = [row(port, "it", Span(hour(n * 240), hour(n * 240 + 240))) for n in range(3)]
    samples = Samples("srv", TX, "1", START, (37_500_000,))
    lines = price(scope_of(*rows), replace(inputs_of(), samples=(samples,)), END)
    assert quantities(lines) == "0 1 0"


@laws
@given(st.lists(st.tuples(st.sampled_from([PLAIN, SEVENTH, IN_GB]), st.integers(0, 3000)),
                min_size=1, max_size=6))  # fmt: skip
def test_the_month_comes_to_its_rounded_sum(parts: list[tuple[Charge, int]]) -> None:
    """Of each unit, not by the code that is tested; in GB."""
    lines = month([charge for charge, _ in parts], [str(Decimal(gb) / 1000) for _, gb in parts])
    for unit in (TB, GB):
        mine = [(c, gb) for c, gb in parts if c.unit == unit]
        exact = sum(Fraction(gb * 10**9, unit.is_ * c.share.whole) for c, gb in mine)
        billed = sum(line.quantity for line in lines if line.unit == unit.name)
        assert billed == (2 * exact + 1) // 2


@laws
@given(everywhere(), st.data())
def test_a_cut_changes_no_quantity_and_no_amount(world: World, data: st.DataObject) -> None:
    """At any instant, of what is additive. A pool is drawn on charge by charge, and a window that
    the instant lies in is shared to the byte: neither is here.
    """
    place, scope, given_, _ = world
    at = data.draw(instants(place))
    scope = replace(
        scope, prices=tuple(map(_alone, filter(_additive, scope.prices))), discounts=(),
        commitments=(),
    )  # fmt: skip
    usage = tuple(u for u in given_.usage if not u.start < at < u.end)
    given_ = replace(given_, usage=usage)
    whole, parts = (
        [line for line in price(one, given_, place.end) if line.service.start < place.end]
        for one in (scope, cut_at(scope, at))
    )
    assert _quantities(whole) == _quantities(parts)
    minor = Decimal(1).scaleb(-minor_units(place.currency))
    nets = _nets(whole), _nets(parts)
    for key in nets[0].keys() | nets[1].keys():
        away = abs(nets[0].get(key, Decimal(0)) - nets[1].get(key, Decimal(0)))
        assert away <= minor * len(parts), key


def _of(scope: Scope, line: Line) -> PriceRow:
    mine = (one for one in scope.prices if (one.item, one.charge) == (line.item, line.charge))
    return next(one for one in mine if one.valid.holds(line.service.start))


def _additive(one: PriceRow) -> bool:
    """A fee charged whole is not cut."""
    quantity = one.price.quantity
    monthly = isinstance(quantity, Fee) and quantity.every is Every.MONTH and one.price.prorate
    return monthly or not isinstance(quantity, Fee)


def _alone(one: PriceRow) -> PriceRow:
    """Without a pool; no catalogue commits to time."""
    terms, timed = one.price.allowance, isinstance(one.price.quantity, Fee | Hours)
    alone = replace(terms, pool="") if terms else None
    commit = None if timed else one.price.commit
    return replace(one, price=replace(one.price, allowance=alone, pack=None, commit=commit))


def _quantities(lines: Sequence[Line]) -> dict[tuple[str, ...], Decimal]:
    found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for line in lines:
        found[line.item, line.charge, line.version, line.kind, line.unit] += line.quantity
    return {key: quantity for key, quantity in found.items() if quantity}


def _nets(lines: Sequence[Line]) -> dict[tuple[str, str], Decimal]:
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        found[line.item, line.charge] += line.net
    return found
