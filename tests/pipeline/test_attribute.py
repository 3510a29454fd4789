"""Usage to items: cut by overlap, never lost, never doubled."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.attribute import apportion, attribute, divide
from schemas.billing import Assignment, Inputs, Item, Scope, Span, Usage
from tests.pipeline.rating.worlds import MONTH, START, hour, inputs, laws, scope_of, scopes, used

WINDOW = (START, START + timedelta(minutes=5))


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def between(*edges: float, items: tuple[str, ...]) -> Scope:
    """One server that serves each of ``items`` in turn, changing at the seconds given."""
    points = [second(edge) for edge in edges]
    spans = [Span(start, end) for start, end in zip(points, [*points[1:], None], strict=False)]
    served = zip(items, spans, strict=True)
    return replace(
        scope_of(),
        items=tuple(Item(name, name, "ax", MONTH) for name in dict.fromkeys(items)),
        assignments=tuple(Assignment("srv", item, span) for item, span in served),
    )


def shares(scope: Scope, *usage: Usage) -> dict[str, int]:
    found = attribute(scope, Inputs(MONTH, usage))
    sums: Counter[str] = Counter()
    for part in found.owned:
        sums[part.item] += part.usage.quantity
    for rest in found.unassigned:
        sums["nobody"] += rest.quantity
    return dict(sums)


def test_an_item_that_ends_on_another_server_cuts_no_window_here() -> None:
    """Others share the window too, and see nothing of that end: all must cut it alike.

    srv |--a--|··house··········|
    a   |-------------|               it ends on its next server
    """
    scope = between(0, 100, items=("a", "a"))
    here, elsewhere = scope.assignments
    scope = replace(
        scope,
        items=(replace(scope.items[0], valid=Span(second(0), second(200))),),
        assignments=(here, replace(elsewhere, server="other")),
    )
    usage = Usage("srv", "net.tx_bytes", "eth0", *WINDOW, 2)
    assert shares(scope, usage) == {"a": 1, "nobody": 1}


@pytest.mark.parametrize(
    ("case", "edges", "items", "quantity", "expected"),
    [
        ("one owner", (0,), "a", 1000, {"a": 1000}),
        ("handed over at a third", (0, 100), "ab", 1000, {"a": 333, "b": 667}),
        ("the odd unit to the larger remainder", (0, 200), "ab", 1000, {"a": 667, "b": 333}),
        ("a tie to the earlier", (0, 150), "ab", 1001, {"a": 501, "b": 500}),
        ("three owners of one unit", (0, 100, 200), "abc", 1, {"a": 1, "b": 0, "c": 0}),
        ("three owners of two units", (0, 100, 200), "abc", 2, {"a": 1, "b": 1, "c": 0}),
        ("nobody before the first", (100,), "a", 900, {"nobody": 300, "a": 600}),
    ],
)
def test_a_window_cut_by_a_hand_over(
    case: str, edges: tuple[float, ...], items: str, quantity: int, expected: dict[str, int]
) -> None:
    scope = between(*edges, items=tuple(items))
    assert shares(scope, used(quantity, *WINDOW)) == expected, case


def test_another_server_is_nobodys() -> None:
    assert shares(scope_of(), used(7, server="other")) == {"nobody": 7}


def test_an_assignment_outlives_no_rent() -> None:
    """The server still runs and still reports after the customer has left."""
    scope = scope_of(rented=Span(START, hour(1)))
    still = replace(scope, assignments=(Assignment("srv", "web", Span(START)),))
    assert shares(still, used(100, START, hour(2))) == {"web": 50, "nobody": 50}


def test_an_assignment_to_an_item_of_another_scope_cuts_alike() -> None:
    """Three items of three scopes share one byte: together they bill one, not none and not two.

    0 ──── 100 s ──── 200 s ──── 300 s
    │ a    │ b        │ c
    """
    world = between(0, 100, 200, items=("a", "b", "c"))
    window = used(1, *WINDOW)
    billed = 0
    for item in world.items:
        own = replace(world, items=(item,))
        billed += shares(own, window).get(item.item, 0)
    assert billed == 1


def test_covered_time_is_split_like_the_quantity() -> None:
    row = replace(used(10, *WINDOW), covered_ms=300_000)
    parts = divide(row, [second(100), second(0), second(300), second(999)])
    assert [(p.quantity, p.covered_ms) for p in parts] == [(3, 100_000), (7, 200_000)]
    assert (parts[0].end, parts[0].start, parts[1].end) == (parts[1].start, *WINDOW)


@laws
@given(scopes(fine=True), inputs)
def test_what_goes_in_comes_out(scope: Scope, given_: Inputs) -> None:
    found = attribute(scope, given_)
    parts = [*(part.usage for part in found.owned), *found.unassigned]

    def sums(rows: list[Usage]) -> Counter[tuple[str, str]]:
        total: Counter[tuple[str, str]] = Counter()
        for row in rows:
            total[row.server, row.meter] += row.quantity
            total[row.server, "covered"] += row.covered_ms
        return total

    assert sums(parts) == sums(list(given_.usage))
    assert {part.item for part in found.owned} <= {item.item for item in scope.items}


@laws
@given(st.integers(0, 2**63), st.lists(st.integers(1, 10**12), min_size=1, max_size=6))
def test_shares_are_fair_to_one_unit(quantity: int, weights: list[int]) -> None:
    found = apportion(quantity, weights)
    assert sum(found) == quantity
    for part, weight in zip(found, weights, strict=True):
        assert abs(part - Fraction(quantity * weight, sum(weights))) < 1


owners = st.sampled_from(["a1", "a2", "b1", "c1", ""])
"""Items of three scopes by their first letter; "" is nobody."""
timelines = st.lists(st.tuples(st.integers(0, 900), owners), min_size=1, max_size=8).map(
    lambda rows: sorted(dict(rows).items())
)


@laws
@given(timelines, st.lists(st.integers(0, 2**63 - 1), min_size=3, max_size=3))
def test_all_scopes_and_the_house_have_what_was_metered(
    rows: list[tuple[int, str]], quantities: list[int]
) -> None:
    """Whoever has the server when: each prices by itself, and no unit is lost or doubled."""
    points = [second(at) for at, _ in rows]
    spans = [Span(*pair) for pair in zip(points, [*points[1:], None], strict=True)]
    served = [("house", Span(START - timedelta(days=1), points[0]))]
    served += [(item or "house", span) for (_, item), span in zip(rows, spans, strict=True)]
    usage = tuple(
        used(quantity, second(300 * at), second(300 * at + 300))
        for at, quantity in enumerate(quantities)
    )
    owned = 0
    for scope in ("a", "b", "c", "house"):
        mine = {item for item, _ in served if item.startswith(scope)}
        seen = tuple(Assignment("srv", item if item in mine else "", span) for item, span in served)
        items = tuple(Item(name, name, "ax", Span(START - timedelta(days=1))) for name in mine)
        view = replace(scope_of(), items=items, assignments=seen)
        found = attribute(view, Inputs(MONTH, usage))
        owned += sum(part.usage.quantity for part in found.owned)
    assert owned == sum(quantities)
