"""Two ways to one quantity: pricing attributes usage to lines, the database sums windows.

Edges of any kind may cut windows anywhere, several in one window; the two ways must still agree to
the unit, and the days must add up to the line.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoicing.document import Position
from invoicing.evidence import Seen, evidence
from invoicing.lines import assigned, coverage, local_days
from invoicing.pieces import WIDTH, metered
from invoicing.recount import recount
from pipeline.periods import month
from pipeline.rating.price import price
from schemas.billing import Assignment, Item, PriceRow, Scope, Span
from schemas.prices import Charge, Hours, PerUnit, Sum
from sinks.database import Connection
from sinks.positions import TOPIC_BITS
from sinks.queries import usage_inputs
from tests.fix_billing import meter_late, meter_open, meter_windows
from tests.invoicing.papers import TB
from tests.invoicing.worlds import END, START

PERIOD = Span(START, END)
WINDOWS = 6
SECONDS = WINDOWS * 300
TX, RX = ("net.tx_bytes", "eth0"), ("net.rx_bytes", "eth0")

quantities = st.lists(st.integers(0, 10**6), min_size=WINDOWS, max_size=WINDOWS)
instants = st.integers(1, SECONDS * 1000 - 1).map(lambda ms: START + timedelta(milliseconds=ms))
edges = st.lists(instants, max_size=3, unique=True).map(sorted)


def spans(cuts: list[datetime]) -> list[Span]:
    return [Span(low, high) for low, high in pairwise((START, *cuts, END))]


def scope_of(handovers: list[datetime], changes: list[datetime], end: datetime | None) -> Scope:
    """One item whose hardware alternates between two servers and whose prices change."""
    valid = Span(START, end)
    assignments = [
        Assignment(f"s{number % 2}", "item", served)
        for number, span in enumerate(spans(handovers))
        if (served := span.clip(START, end or END))
    ]
    rows = []
    for number, span in enumerate(spans(changes)):
        traffic = Charge(Sum((TX[0], RX[0]), TB), PerUnit(Decimal(number + 1)), "hosting")
        rows.append(PriceRow("item", "traffic", span, traffic, str(number)))
    rent = Charge(Hours(), PerUnit(Decimal("0.0833")), "hosting", cap=Decimal("49.00"))
    rows.append(PriceRow("item", "rent", Span(START), rent, "1"))
    item = Item("item", "Item", "plan", valid)
    return Scope("item", "acme", "EUR", "UTC", (item,), tuple(assignments), tuple(rows))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(quantities, quantities, edges, edges, st.none() | instants, st.integers(0, 10**4))
def test_pricing_and_the_database_agree_to_the_unit(
    billing: Connection,
    tx: list[int],
    rx: list[int],
    handovers: list[datetime],
    changes: list[datetime],
    end: datetime | None,
    late: int,
) -> None:
    scope = scope_of(handovers, changes, end)
    with billing.transaction(force_rollback=True):
        meter_windows(billing, "s0", {TX: tx, RX: rx}, START)
        meter_windows(billing, "s1", {TX: rx}, START)
        meter_late(billing, "s0", *TX, START, late)
        lines = price(scope, usage_inputs(billing, scope, PERIOD, END), END)
        [found] = evidence(billing, [(scope, lines)], local_days(PERIOD, "UTC"))
        [counted] = recount(billing, [(scope, lines)], "EUR")
    for line, series, (quantity, net) in zip(lines, found, counted, strict=True):
        if metered(scope, line):
            assert sum(one.quantity for one in series) == line.base_quantity
        assert all(sum(one.days) == one.quantity for one in series)
        assert quantity == line.quantity
        assert net is None or net == line.net


def test_what_lies_above_the_cut_is_left_out(billing: Connection) -> None:
    """Rows of a topic that the cut does not know came later, whatever their offset."""
    topic, other = uuid4(), uuid4()
    for number, name in enumerate((topic, other)):
        billing.execute(
            "INSERT INTO ingest_topic VALUES (%s, 'c', %s, 2, '', now(), %s)",
            (name, str(name), number),
        )
    scope = scope_of([], [], None)
    meter_windows(billing, "s0", {TX: [1] * WINDOWS}, START)
    for position, quantity in ((11, 500), ((1 << TOPIC_BITS) + 3, 7000)):
        meter_late(billing, "s0", *TX, START, quantity)
        billing.execute("UPDATE usage_late SET ckpt_offset = %s WHERE ckpt_offset = 0", (position,))
    billing.execute(
        "UPDATE usage_window SET ckpt_offset = 12 WHERE window_start = %s", (START + WIDTH,)
    )
    meter_open(billing, "s0", *TX, START + WINDOWS * WIDTH - WIDTH, 20)
    billing.execute(
        "INSERT INTO account (account_id, name, country, currency, timezone)"
        " VALUES ('a', 'A', 'DE', 'EUR', 'UTC')"
    )
    billing.execute("INSERT INTO rating_scope VALUES (%s, 'a')", (scope.scope,))
    billing.execute(
        "INSERT INTO scope_seal VALUES (%s, %s, %s, now(), '')", (scope.scope, START, END)
    )
    billing.execute(
        "INSERT INTO seal_open SELECT %s, %s, 0, server_id, part, at_ms, to_timestamp("
        "win_ms / 1000), set_id, ARRAY[3], 0 FROM server_state",
        (scope.scope, START),
    )
    lines = price(scope, usage_inputs(billing, scope, PERIOD, END), END)
    days = local_days(PERIOD, "UTC")

    def summed(*cut: tuple[UUID, int]) -> int:
        seen = Seen(scope.scope, [Position(str(topic), 0, offset) for topic, offset in cut])
        [found] = evidence(billing, [(scope, lines)], days, seen)
        return sum(one.quantity for one in found[1])

    assert summed() == WINDOWS + 500 + 7000 + 20
    assert summed((topic, 12)) == WINDOWS + 500 + 3
    assert summed((topic, 11)) == WINDOWS - 1 + 500 + 3
    assert summed((topic, 10)) == WINDOWS - 1 + 3
    assert summed((topic, 10), (other, 3)) == WINDOWS - 1 + 7000 + 3
    assert summed((other, 2)) == 3


def test_coverage_is_the_share_of_the_time_assigned_rounded_down(billing: Connection) -> None:
    scope = scope_of([], [], START + timedelta(minutes=30))
    meter_windows(billing, "s0", {TX: [0] * 6, RX: [0] * 6}, START, covered_ms=299_999)
    lines = price(scope, usage_inputs(billing, scope, PERIOD, END), END)
    [found] = evidence(billing, [(scope, lines)], local_days(PERIOD, "UTC"))
    assert coverage(assigned(scope, lines)[1], found[1]) == Decimal("99.99")
    assert coverage(assigned(scope, lines)[1], ()) == Decimal("0.00")
    assert coverage(assigned(scope, lines)[0], found[0]) is None


@pytest.mark.parametrize(
    ("zone", "start", "days"),
    [
        ("Europe/Berlin", "2026-03-15", 31),
        ("Pacific/Chatham", "2026-09-15", 30),
        ("UTC", "2028-02-15", 29),
    ],
)
def test_days_are_those_of_the_customer(zone: str, start: str, days: int) -> None:
    period = month(datetime.fromisoformat(f"{start}T12:00+00:00"), zone)
    found = local_days(period, zone)
    assert len(found) == days
    assert found[0] == period.start
    lengths = {later - earlier for earlier, later in pairwise((*found, period.end or END))}
    assert lengths <= {timedelta(hours=hours) for hours in (23, 24, 25)}
