"""What pricing reads: whole windows between the edges, cut windows alone, everything committed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.attribute import attribute
from pipeline.periods import closed
from schemas.billing import Assignment, Inputs, Item, Scope, Span
from schemas.serial import digest
from schemas.terms import Commitment, Discount, Term
from sinks import queries
from sinks.database import Connection
from sinks.queries import Segment, segments_of, server_totals, usage_inputs, usage_inputs_bulk
from sinks.scopes import load_scope
from sinks.timelines import end, swap
from tests.fix_billing import (
    START,
    TX,
    WINDOW,
    meter_late,
    meter_open,
    meter_windows,
    rent_small,
)

MARCH = Span(START, datetime(2026, 4, 1, tzinfo=UTC))
RX = "net.rx_bytes"


def read(conn: Connection, scope: str = "i-1", as_of: datetime | None = None) -> Inputs:
    return usage_inputs(conn, load_scope(conn, scope), MARCH, as_of or MARCH.end or START)


def rows(inputs: Inputs) -> list[tuple[str, str, int, int, int]]:
    """server, resource, first and last window, quantity."""
    return [
        (u.server, u.resource, (u.start - START) // WINDOW, (u.end - START) // WINDOW, u.quantity)
        for u in inputs.usage
    ]


def test_a_quiet_month_is_one_row_a_series(customer: Connection) -> None:
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, "eth0"): [1, 2, 3], (TX, "eth1"): [0, 0, 7]})
    end_of_march = 31 * 288
    assert rows(read(customer)) == [
        ("s-1", "eth0", 0, end_of_march, 6),
        ("s-1", "eth1", 0, end_of_march, 7),
    ]
    assert [usage.covered_ms for usage in read(customer).usage] == [900_000, 900_000]


def test_meters_that_no_charge_names_are_not_read(customer: Connection) -> None:
    rent_small(customer)
    meter_windows(customer, "s-1", {(RX, "eth0"): [5], (TX, "eth0"): [1], ("cpu.busy_ms", ""): [9]})
    assert [usage.meter for usage in read(customer).usage] == [TX]


def test_a_window_that_a_hand_over_cuts_is_a_row_of_its_own(customer: Connection) -> None:
    """windows   0   1   2   3
    s-1       |-----x             cut inside window 1
    s-2             x---------"""
    rent_small(customer)
    swap(customer, "i-1", "s-2", START + WINDOW + timedelta(minutes=2), START)
    meter_windows(customer, "s-1", {(TX, ""): [1, 2, 4]})
    meter_windows(customer, "s-2", {(TX, ""): [10, 20, 40]})
    last = 31 * 288
    assert rows(read(customer)) == [
        ("s-1", "", 0, 1, 1),
        ("s-1", "", 1, 2, 2),
        ("s-2", "", 1, 2, 20),
        ("s-2", "", 2, last, 40),
    ]


def test_an_edge_between_windows_cuts_none(customer: Connection) -> None:
    rent_small(customer)
    swap(customer, "i-1", "s-2", START + WINDOW, START)
    meter_windows(customer, "s-1", {(TX, ""): [1, 2]})
    meter_windows(customer, "s-2", {(TX, ""): [10, 20]})
    assert rows(read(customer)) == [("s-1", "", 0, 1, 1), ("s-2", "", 1, 31 * 288, 20)]


def test_finished_late_and_open_windows_count_together(customer: Connection) -> None:
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, ""): [1, 2]})
    meter_late(customer, "s-1", TX, "", START, 100)
    meter_late(customer, "s-1", TX, "", START + WINDOW, -2)
    meter_open(customer, "s-1", TX, "", START + 2 * WINDOW, 1000)
    as_of = START + 2 * WINDOW + timedelta(minutes=1)
    assert rows(read(customer, as_of=as_of)) == [("s-1", "", 0, 3, 1101)]
    assert rows(read(customer, as_of=START + 2 * WINDOW)) == [("s-1", "", 0, 2, 101)]
    assert server_totals(customer, ["s-1"]) == {("s-1", TX, ""): 1101}


def test_another_period_and_another_item_stay_out(customer: Connection) -> None:
    rent_small(customer, at=START + WINDOW)
    meter_windows(customer, "s-1", {(TX, ""): [1, 2, 4, 8]}, START - WINDOW)
    end(customer, "i-1", START + 2 * WINDOW)
    rent_small(customer, "i-2", "s-1", START + 2 * WINDOW)
    assert rows(read(customer)) == [("s-1", "", 1, 2, 4)]
    assert rows(read(customer, "i-2")) == [("s-1", "", 2, 31 * 288, 8)]


def test_a_shared_window_is_split_without_loss_or_double(customer: Connection) -> None:
    """One window, three parts: i-1, nobody, i-2."""
    cut = START + timedelta(seconds=100)
    rent_small(customer, at=START)
    end(customer, "i-1", cut)
    rent_small(customer, "i-2", "s-1", cut + timedelta(seconds=77))
    meter_windows(customer, "s-1", {(TX, ""): [1_000_003]})
    parts = []
    for scope_id in ("i-1", "i-2"):
        scope = load_scope(customer, scope_id)
        owned = attribute(scope, read(customer, scope_id)).owned
        parts.append(sum(part.usage.quantity for part in owned))
    idle = 1_000_003 * 77 // 300
    assert 1_000_003 - sum(parts) - idle in (0, 1)


def test_bulk_is_the_same_as_one_by_one(customer: Connection) -> None:
    for number in range(5):
        rent_small(customer, f"i-{number}", f"s-{number}")
        meter_windows(customer, f"s-{number}", {(TX, "a"): [number, 1], (TX, "b"): [5, number]})
    scopes = [load_scope(customer, f"i-{number}") for number in range(5)]
    as_of = START + 10 * WINDOW
    bulk = usage_inputs_bulk(customer, [(scope, MARCH) for scope in scopes], as_of)
    assert bulk == [usage_inputs(customer, scope, MARCH, as_of) for scope in scopes]
    assert digest(bulk[3]) == digest(read(customer, "i-3", as_of))


def test_terms_that_begin_or_end_cut_too(customer: Connection) -> None:
    """A discount from the second window on, a commitment from within the third."""
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, ""): [1, 2, 4, 8]})
    off = Discount("off", Span(START + WINDOW), percent=Decimal(10))
    least = Commitment("min", Span(START + WINDOW * 2.5), Decimal(1), Term.MONTH, "hosting")
    scope = replace(load_scope(customer, "i-1"), discounts=(off,), commitments=(least,))
    assert rows(usage_inputs(customer, scope, MARCH, closed(MARCH))) == [
        ("s-1", "", 0, 1, 1),
        ("s-1", "", 1, 2, 2),
        ("s-1", "", 2, 3, 4),
        ("s-1", "", 3, 31 * 288, 8),
    ]
    assert rows(usage_inputs(customer, scope, MARCH, START + 2 * WINDOW)) == [
        ("s-1", "", 0, 1, 1),
        ("s-1", "", 1, 2, 2),
    ]


def test_nothing_rented_or_metered_is_nothing(customer: Connection) -> None:
    rent_small(customer)
    assert read(customer) == Inputs(MARCH)
    assert usage_inputs_bulk(customer, [], START) == []
    february = Span(datetime(2026, 2, 1, tzinfo=UTC), START)
    assert usage_inputs(customer, load_scope(customer, "i-1"), february, START) == Inputs(february)


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=6, unique=True), st.integers(1, 12))
def test_segments_are_disjoint_whole_windows_that_cover_what_was_served(
    seconds: list[int], windows: int
) -> None:
    edges = [START + timedelta(seconds=second) for second in sorted(seconds)]
    as_of = START + windows * WINDOW
    found = segments_of(a_scope(edges), MARCH, as_of)
    for segment in found:
        assert (segment.low - START) % WINDOW == (segment.high - START) % WINDOW == timedelta(0)
        inside = [edge for edge in edges if segment.low < edge < segment.high]
        assert not inside or segment.high - segment.low == WINDOW
    for one, other in pairwise(found):
        assert one.server != other.server or one.high <= other.low
    served = {
        (server, start)
        for server, low, high in spans(edges, as_of)
        for start in (START + n * WINDOW for n in range(windows))
        if start < high and start + WINDOW > low
    }
    assert served == {
        (segment.server, segment.low + n * WINDOW)
        for segment in found
        for n in range((segment.high - segment.low) // WINDOW)
    }


def spans(edges: list[datetime], as_of: datetime) -> list[tuple[str, datetime, datetime]]:
    ends = [*edges[1:], as_of]
    pairs = zip(edges, ends, strict=True)
    return [(f"s-{n}", low, min(high, as_of)) for n, (low, high) in enumerate(pairs) if low < as_of]


def a_scope(edges: list[datetime]) -> Scope:
    """One item, served by another server from each edge on."""
    ends: list[datetime | None] = [*edges[1:], None]
    served = tuple(
        Assignment(f"s-{n}", "i-1", Span(low, high))
        for n, (low, high) in enumerate(zip(edges, ends, strict=True))
    )
    item = Item("i-1", "Server", "small", Span(edges[0]))
    return Scope("i-1", "acme", "EUR", "UTC", (item,), served, ())


def test_portions_hold_every_segment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths in windows, at most ten together: 4 6 | 1 | 30 | 5 5 | 1"""
    monkeypatch.setattr(queries, "PORTION_WINDOWS", 10)
    lengths = [4, 6, 1, 30, 5, 5, 1]
    segments = [Segment(f"s-{n}", START, START + n * WINDOW) for n in lengths]
    found = list(queries._portions(segments))
    assert [[(one.high - one.low) // WINDOW for one in part] for _, part in found] == [
        [4, 6], [1], [30], [5, 5], [1],
    ]  # fmt: skip
    assert [first for first, _ in found] == [0, 2, 3, 4, 6]
    assert list(queries._portions([])) == []
