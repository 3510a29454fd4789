"""Laws of the timelines, whatever is commanded, in any order, however late.

Live figures are what a fresh computation finds; what all items use and what nobody rented is what
was metered, to the unit.
"""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.attribute import attribute
from pipeline.rating.price import price
from schemas.billing import Inputs, Scope, Span
from schemas.errors import RefusedError
from sinks import accrual_work
from sinks.accruals import due_scopes, load_accrual, open_periods, rate_open
from sinks.alterations import resize
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.house import unassigned
from sinks.intervals import resume, suspend
from sinks.queries import server_totals, usage_inputs, usage_inputs_bulk
from sinks.scopes import load_scope
from sinks.timelines import end, hand_over, rent, swap
from tests.fix_billing import START, TX, meter_late, meter_open, meter_windows, rent_small
from tests.sinks.test_changes import rented as rented  # noqa: PLC0414 - a fixture
from tests.sinks.test_changes import two_plans

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MONTH = Span(START, datetime.fromisoformat("2026-04-01T00:00Z"))
NOW = START + 3 * HOUR
SERVERS = ("s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7")
SEEDS = range(6)


def sweep(conn: Connection, now: datetime) -> None:
    """What the rater does every few seconds."""
    for scope in due_scopes(conn, now, 100):
        rate_open(conn, scope, now, now)


def scopes(conn: Connection) -> list[str]:
    return [row[0] for row in conn.execute("SELECT scope_id FROM rating_scope ORDER BY 1")]


class Operator:
    """Gives random commands; those that contradict the books are refused and change nothing."""

    def __init__(self, conn: Connection, seed: int) -> None:
        self.conn, self.random = conn, random.Random(seed)
        self.catalog = two_plans()[0]
        self.given = self.refused = 0

    def command(self) -> None:
        chosen = self.random.choice(
            (self.rent, self.swap, self.swap, self.end, self.hand_over, self.resize, self.suspend,
             self.resume)
        )  # fmt: skip
        try:
            self.given += bool(chosen(self.moment()))
        except RefusedError:
            self.refused += 1

    def moment(self) -> datetime:
        """Seconds matter: windows are cut anywhere."""
        return START + timedelta(seconds=self.random.randrange(3 * 3600))

    def item(self) -> str:
        rows = self.conn.execute("SELECT item_id FROM item ORDER BY 1").fetchall()
        return str(self.random.choice(rows)[0])

    def rent(self, at: datetime) -> object:
        name = f"i-{self.random.randrange(6)}"
        return rent_small(self.conn, name, self.random.choice(SERVERS), at)

    def swap(self, at: datetime) -> object:
        return swap(self.conn, self.item(), self.random.choice(SERVERS), at, at)

    def end(self, at: datetime) -> object:
        return end(self.conn, self.item(), at, at)

    def hand_over(self, at: datetime) -> object:
        to = f"b-{self.random.randrange(6)}"
        return hand_over(
            self.conn, self.item(), to=to, account="bolt", at=at, catalog=self.catalog,
            entered_at=at,
        )  # fmt: skip

    def resize(self, at: datetime) -> object:
        plan = self.random.choice(("small", "large"))
        return resize(self.conn, self.item(), plan=plan, at=at, catalog=self.catalog, entered_at=at)

    def suspend(self, at: datetime) -> object:
        return suspend(self.conn, self.item(), at=at, entered_at=at)

    def resume(self, at: datetime) -> object:
        return resume(self.conn, self.item(), at=at, entered_at=at)


def meter(conn: Connection, seed: int) -> None:
    """Three hours of three servers, in odd quantities, and one late entry."""
    chance = random.Random(seed)
    for server in SERVERS:
        quantities = [chance.randrange(10_000_000) for _ in range(36)]
        meter_windows(conn, server, {(TX, "eth0"): quantities})
        meter_open(conn, server, TX, "eth0", NOW, 7)
    meter_late(conn, "s-2", TX, "eth0", START + HOUR, 12_345)


@pytest.mark.parametrize("seed", SEEDS)
def test_live_figures_are_those_of_a_fresh_computation(rented: Connection, seed: int) -> None:
    meter(rented, seed)
    operator = Operator(rented, seed)
    sweep(rented, NOW)
    for _ in range(40):
        operator.command()
        if operator.random.random() < 0.5:  # raters are not always there
            sweep(rented, NOW)
    sweep(rented, NOW)
    assert operator.given > 5
    assert operator.refused
    assert due_scopes(rented, NOW - MINUTE, 100) == []
    for name in scopes(rented):
        for period in open_periods(rented, name, NOW):
            stored = load_accrual(rented, name, period.start)
            if stored is None:  # nothing of it has begun, or all has ended
                continue
            scope = load_scope(rented, name)
            fresh = usage_inputs(rented, scope, period, stored[1])
            assert stored[0] == fresh, name
            assert price(scope, fresh, NOW) == price(scope, stored[0], NOW)


@pytest.mark.parametrize("seed", SEEDS)
def test_items_and_house_have_what_was_metered(rented: Connection, seed: int) -> None:
    meter(rented, seed)
    operator = Operator(rented, seed)
    for _ in range(40):
        operator.command()
        assert_conserved(rented)


def assert_conserved(conn: Connection) -> None:
    total = 0
    for name in scopes(conn):
        scope = load_scope(conn, name)
        inputs = usage_inputs(conn, scope, MONTH, MONTH.end or NOW)
        total += sum(part.usage.quantity for part in attribute(scope, inputs).owned)
    total += sum(usage.quantity for usage in unassigned(conn, MONTH))
    assert total == sum(server_totals(conn, SERVERS).values())


def test_a_shared_window_is_the_houses_in_part(rented: Connection) -> None:
    """00:00 :02    :03    :05
    i-1    |-----|
    house        |------|
    b-1                 |---…"""
    meter_windows(rented, "s-1", {(TX, "eth0"): [100]})
    meter_open(rented, "s-1", TX, "eth0", START + HOUR, 0)
    end(rented, "i-1", START + 2 * MINUTE)
    rent(
        rented, item="b-1", title="x", plan="small", account="bolt", server="s-1",
        at=START + 3 * MINUTE, catalog=two_plans()[0], entered_at=START,
    )  # fmt: skip
    (part,) = unassigned(rented, MONTH)
    assert (part.quantity, part.start, part.end) == (20, START + 2 * MINUTE, START + 3 * MINUTE)
    assert unassigned(rented, MONTH, "s-2") == []
    assert_conserved(rented)


def test_a_catalogue_rates_the_open_period_anew(rented: Connection) -> None:
    meter(rented, 1)
    sweep(rented, NOW)
    dearer = {'"keep"': "2026-03-01", "0.10 / hour": "0.50 / hour"}
    assert apply(rented, *two_plans("v3", **dearer), NOW).items == ("i-1",)
    assert due_scopes(rented, NOW, 10) == ["i-1"]
    sweep(rented, NOW)
    row = rented.execute("SELECT net FROM account_charge WHERE charge = 'rent'").fetchone()
    assert row == (Decimal("1.50"),)


def test_who_shares_a_window_is_rated_anew_too(rented: Connection) -> None:
    """One byte in a window: whose it is depends on everybody's edges.

    00:00  :01  :02  :05
    i-1    |----|
    b-1         |----…     i-1 moves away earlier: nothing of b-1 but its share changes
    """
    meter_windows(rented, "s-1", {(TX, "eth0"): [1]})
    sweep(rented, NOW)
    hand_over(
        rented, "i-1", to="b-1", account="bolt", at=START + 2 * MINUTE, catalog=two_plans()[0],
        entered_at=NOW,
    )  # fmt: skip
    sweep(rented, NOW)
    late = swap(rented, "i-1", "s-2", START + MINUTE, NOW)
    assert late.scopes == ("b-1", "i-1")
    assert due_scopes(rented, NOW, 10) == ["b-1", "i-1"]


# -- raters and commands at once ------------------------------------------------------------------


def test_a_first_rating_and_a_command_at_once(rented: Connection, billing_url: str) -> None:
    """A rater that read the timelines before the command and writes after it starts again."""
    meter(rented, 1)

    def swapping() -> None:
        with connect(billing_url, autocommit=True) as other:
            swap(other, "i-1", "s-2", START + HOUR, NOW)

    assert _rated_beside(rented, swapping, "i-1") == ["s-1", "s-2"]


def _rated_beside(conn: Connection, command: Callable[[], None], scope: str) -> list[str]:
    """Rates while, after the snapshot was taken, a command goes through; the servers rated."""
    whole, once = usage_inputs_bulk, [command]

    def slow(
        conn: Connection, wanted: Sequence[tuple[Scope, Span]], as_of: datetime
    ) -> list[Inputs]:
        found = whole(conn, wanted, as_of)
        if once:
            once.pop()()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accrual_work, "usage_inputs_bulk", slow)
        (rated,) = rate_open(conn, scope, NOW, NOW)
    return sorted({usage.server for usage in rated.inputs.usage})


def test_a_later_rating_and_a_command_at_once(rented: Connection, billing_url: str) -> None:
    meter(rented, 1)
    rate_open(rented, "i-1", NOW, NOW)

    def swapping() -> None:
        with connect(billing_url, autocommit=True) as other:
            swap(other, "i-1", "s-2", START + HOUR, NOW)

    assert _rated_beside(rented, swapping, "i-1") == ["s-1", "s-2"]


def test_an_old_month_is_rated_again_after_a_late_command(rented: Connection) -> None:
    """Not sealed, and two months ago: the rater looks once more and is then at rest."""
    may = datetime.fromisoformat("2026-05-20T00:00Z")
    meter(rented, 1)
    sweep(rented, MONTH.end or NOW)
    for now in (datetime.fromisoformat("2026-04-20T00:00Z"), may):
        sweep(rented, now)
    swap(rented, "i-1", "s-2", START + HOUR, may)
    sweep(rented, may)
    stored = load_accrual(rented, "i-1", START)
    assert stored is not None
    assert {usage.server for usage in stored[0].usage} == {"s-1", "s-2"}
    assert due_scopes(rented, may, 10) == []
