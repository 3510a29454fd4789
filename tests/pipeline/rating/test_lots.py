"""Packs and rollovers: what is used after what is included, in which order, until when.

Sources: billing.md, step 5 ("allowance, then packs by expiry, in base units"), AT&T and Zuora.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import closed, following, month
from pipeline.rating.lots import PACK, available, handed_on, hands_on
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from pipeline.rating.usage_state import progress
from schemas.billing import Assignment, Inputs, Item, Line, Lot, PriceRow, Scope, Span, Usage
from schemas.prices import Allowance, Charge, Every, Fee, Pack, PerUnit, Rollover
from tests.pipeline.rating.worlds import END, MONTH, START, TB, TX, counted, laws, row, said, total

ATT = "att.com/support/article/my-account/KM1008648: after the plan's own, for one bill period"
ZUORA = "docs.zuora.com, configure rollover for a prepayment charge: maximum rollover quantity"
PER_TB = PerUnit(Decimal("1.00"))
MAY, JUNE = following(MONTH, "UTC"), following(following(MONTH, "UTC"), "UTC")


def day(number: int, of: Span = MONTH) -> datetime:
    return of.start.replace(day=number)


def traffic(tb: int = 20, rollover: tuple[int, int] | None = None) -> Charge:
    hands_on = Rollover(rollover[0] * TB.is_, rollover[1]) if rollover else None
    allowance = Allowance(tb * TB.is_, True, "eu", hands_on)
    return counted(PER_TB, TB, allowance=allowance, alerts=(100,))


def pack(tb: int = 10, months: int = 1, count: int = 1) -> Charge:
    fee = Fee(Every.BOOKED, count=count)
    return Charge(fee, PerUnit(Decimal("9.00")), "hosting", pack=Pack(tb * TB.is_, "eu", months))


def scope(*rows: PriceRow, charge: Charge | None = None, rented: Span | None = None) -> Scope:
    rented = rented or Span(START)
    own = () if charge is None else (row(charge, "traffic", Span(rented.start)),)
    return Scope(
        "acme", "acme", "EUR", "UTC", (Item("web", "web", "ax", rented),),
        (Assignment("srv", "web", rented),), (*own, *rows),
    )  # fmt: skip


def months(of: Scope, *tb: int, lots: tuple[Lot, ...] = ()) -> list[list[Line]]:
    """The lines of April, May, … with so many TB used in each, each given what the last left."""
    period, found = MONTH, []
    for used in tb:
        usage = (Usage("srv", TX, "eth0", period.start, closed(period), used * TB.is_),)
        lines = list(price(of, Inputs(period, usage, lots=lots), closed(period)))
        found.append(lines)
        lots = carried(lots, lines, closed(period))
        period = following(period, "UTC")
    return found


def carried(before: Sequence[Lot], lines: Sequence[Line], at: datetime) -> tuple[Lot, ...]:
    """As the ledger reads them: of each lot what was said last, until it expires."""
    known = {lot.name: lot for lot in before}
    known |= {lot.name: lot for line in lines for lot in line.lots}
    return tuple(lot for lot in known.values() if at < lot.expires_at)


def over(lines: Sequence[Line]) -> Decimal:
    return total(line for line in lines if line.charge == "traffic")


@pytest.mark.parametrize(
    ("rule", "packs", "used", "overage"),
    [
        ("what is included first: nothing of the pack is used", [(10, 2)], (20, 30), (0, 0)),
        ("then the pack, and it goes on", [(10, 2)], (26, 25), (0, 1)),
        ("it ends with its last month", [(10, 1)], (26, 25), (0, 5)),
        ("the month of booking is the first of three", [(10, 3)], (20, 20, 31, 21), (0, 0, 1, 1)),
        ("the earliest expiry first, whatever was booked first", [(10, 3), (5, 1)],
         (25, 30, 21), (0, 0, 1)),
        ("both in one month", [(10, 1), (5, 1)], (36,), (1,)),
        ("more than a month's use is left", [(100, 3)], (60, 60, 41), (0, 0, 1)),
    ],
)  # fmt: skip
def test_packs(
    rule: str, packs: list[tuple[int, int]], used: tuple[int, ...], overage: tuple[int, ...]
) -> None:
    rows = [row(pack(tb, n), f"pack-{at}", Span(day(5))) for at, (tb, n) in enumerate(packs)]
    found = months(scope(*rows, charge=traffic()), *used)
    assert [over(lines) for lines in found] == [*overage], rule


def test_a_pack_is_paid_once_in_the_month_in_which_it_is_booked() -> None:
    """Booked on the tenth of May, of an item that began in April."""
    found = months(scope(row(pack(), "pack", Span(day(10, MAY))), charge=traffic()), 25, 25, 25)
    paid = [said(line for line in lines if line.charge == "pack") for lines in found]
    assert paid == [[], ["1 fee × 9.00 = 9.00"], []]
    assert [over(lines) for lines in found] == [5, 0, 5]


def test_it_counts_for_the_whole_month_in_which_it_is_booked() -> None:
    """Use before the booking too: so the order of days does not matter."""
    of = scope(row(pack(), "pack", Span(day(30))), charge=traffic())
    early = Usage("srv", TX, "eth0", START, day(2), 30 * TB.is_)
    lines = price(of, Inputs(MONTH, (early,)), END)
    assert over(lines) == 0


class TestBookings:
    """A row that goes on books only what is more."""

    def paid(self, *rows: PriceRow) -> list[Decimal]:
        found = months(scope(*rows, charge=traffic()), 0, 0)
        return [total(line for line in lines if line.charge == "pack") for lines in found]

    def test_a_new_version_books_nothing(self) -> None:
        rows = (
            row(pack(), "pack", Span(day(5), day(9))),
            row(pack(20), "pack", Span(day(9)), at="v2"),
        )
        assert self.paid(*rows) == [9, 0]
        (lot,) = available(scope(*rows), Inputs(MONTH))
        assert lot.left == 10 * TB.is_

    def test_a_second_one_is_booked_when_there_are_two(self) -> None:
        first = row(pack(months=2), "pack", Span(day(5), day(9, MAY)))
        two = row(pack(months=2, count=2), "pack", Span(day(9, MAY)))
        assert self.paid(first, two) == [9, 9]
        lots = available(scope(first, two), Inputs(MAY))
        assert [lot.expires_at for lot in lots] == [JUNE.start, closed(JUNE)]
        assert [lot.left for lot in lots] == [10 * TB.is_] * 2

    def test_fewer_book_nothing_and_more_than_then_what_is_more(self) -> None:
        """docs/price.md: a larger count buys what is more."""
        rows = [
            row(pack(count=count), "pack", Span(day(start), day(end)))
            for count, start, end in ((3, 5, 9), (1, 9, 20), (2, 20, 30))
        ]
        assert self.paid(*rows) == [36, 0]
        lots = available(scope(*rows), Inputs(MONTH))
        assert [lot.left // TB.is_ for lot in lots] == [30, 10]

    def test_what_is_priced_before_the_item_begins_is_booked_with_it(self) -> None:
        rows = (
            row(pack(), "pack", Span(day(2), day(4))),
            row(pack(20), "pack", Span(day(4)), at="v2"),
        )
        late = scope(*rows, charge=traffic(), rented=Span(day(9)))
        (lines,) = months(late, 0)
        assert total(line for line in lines if line.charge == "pack") == 9
        (lot,) = available(late, Inputs(MONTH))
        assert (lot.name, lot.left) == ("pack/web/pack/2026-04-09T00:00:00Z", 10 * TB.is_)

    def test_dropped_and_booked_again_is_paid_again(self) -> None:
        rows = (
            row(pack(), "pack", Span(day(5), day(9))),
            row(pack(), "pack", Span(day(20))),
        )
        assert self.paid(*rows) == [18, 0]

    def test_what_is_left_lapses_when_it_is_dropped(self) -> None:
        dropped = scope(row(pack(months=3), "pack", Span(day(5), day(9))), charge=traffic())
        assert [over(lines) for lines in months(dropped, 25, 25)] == [0, 5]

    def test_and_when_the_item_ends(self) -> None:
        rented = Span(START, day(9))
        ended = scope(row(pack(months=3), "pack", Span(day(5))), rented=rented)
        assert len(available(ended, Inputs(MONTH))) == 1
        assert available(ended, Inputs(MAY)) == ()

    @pytest.mark.parametrize(("dropped", "ended"), [(9, 20), (20, 9)])
    def test_whichever_comes_first(self, dropped: int, ended: int) -> None:
        """A drop in April and an end in May, or the other way round: May has nothing."""
        april, may = day(9), day(9, MAY)
        end, drop = (may, april) if dropped < ended else (april, may)
        booked = row(pack(months=3), "pack", Span(day(5), drop))
        assert available(scope(booked, rented=Span(START, end)), Inputs(MAY)) == ()

    def test_an_add_on_without_a_pack_holds_nothing(self) -> None:
        alone = row(replace(pack(), pack=None), "help", Span(day(5)))
        assert available(scope(alone), Inputs(MONTH)) == ()

    def test_of_an_item_that_is_not_of_the_scope_nothing(self) -> None:
        assert available(scope(row(pack(), "pack", Span(START), "other")), Inputs(MONTH)) == ()


@pytest.mark.parametrize(
    ("rule", "terms", "used", "overage"),
    [
        ("without it what is left is lost", None, (5, 25), (0, 5)),
        ("what April leaves is there in May", (20, 1), (5, 25), (0, 0)),
        (ATT, (20, 1), (5, 20, 25), (0, 0, 5)),
        ("and expires", (20, 1), (5, 20, 30), (0, 0, 10)),
        (f"{ZUORA}: at most 3 TB", (3, 1), (5, 25), (0, 2)),
        ("two months long", (20, 2), (5, 20, 30), (0, 0, 0)),
        ("of two the one that expires first", (20, 2), (18, 21, 40), (0, 0, 19)),
        ("only the own allowance is handed on, never what was handed on", (20, 1), (0, 0, 50),
         (0, 0, 10)),
    ],
)  # fmt: skip
def test_rollovers(
    rule: str, terms: tuple[int, int] | None, used: tuple[int, ...], overage: tuple[int, ...]
) -> None:
    found = months(scope(charge=traffic(rollover=terms)), *used)
    assert [over(lines) for lines in found] == [*overage], rule


@pytest.mark.parametrize(
    ("what", "charges", "said"),
    [
        ("a pack among others", [pack(), traffic()], True),
        ("what rolls over, among others", [traffic(), traffic(rollover=(3, 1))], True),
        ("an allowance that does not", [traffic()], False),
        ("without an allowance", [counted(PER_TB, TB)], False),
        ("nothing", [], False),
    ],
)
def test_months_are_told_of_each_other_where_something_is_handed_on(
    what: str, charges: list[Charge], said: bool
) -> None:
    rows = [row(charge, f"c{n}", Span(START)) for n, charge in enumerate(charges)]
    assert hands_on(scope(*rows)) is said, what


def test_members_of_a_pool_hand_on_together() -> None:
    """3 + 3 TB at most, for the shorter time; the rows of one item that change count as one."""
    rented = Span(START)
    of = Scope(
        "acme", "acme", "EUR", "UTC",
        tuple(Item(name, name, "ax", rented) for name in ("db", "web")),
        (Assignment("srv", "web", rented),),
        (
            row(traffic(20, (3, 2)), "traffic", rented, "db"),
            row(traffic(20, (9, 1)), "traffic", Span(START, day(9)), "web"),
            row(traffic(20, (3, 1)), "traffic", Span(day(9)), "web", "v2"),
        ),
    )  # fmt: skip
    lines = months(of, 10)[0]
    assert [line.lots for line in lines[:-1]] == [(), ()]
    name = "rollover/eu/2026-04-01T00:00:00Z"
    assert lines[-1].lots == (Lot(name, "/eu", 6 * TB.is_, closed(MAY)),)


@pytest.mark.parametrize(
    ("rule", "found", "said", "handed"),
    [
        ("nothing", {}, {}, {}),
        ("one that says nothing: what it found", {"a": 9, "b": 5}, {}, {"a": 9, "b": 5}),
        ("what it says it leaves", {}, {"a": 9, "b": 0}, {"a": 9, "b": 0}),
        ("of the same the one that it says, less or more", {"a": 9, "b": 5}, {"a": 0, "b": 6},
         {"a": 0, "b": 6}),
        ("of others what it found", {"a": 9, "b": 5}, {"b": 3, "c": 1}, {"a": 9, "b": 3, "c": 1}),
        ("by expiry, then by name", {"z": 9, "b": 5}, {"c": 1, "a": 2},
         {"z": 9, "a": 2, "b": 5, "c": 1}),
    ],
)  # fmt: skip
def test_what_a_month_hands_on(
    rule: str, found: dict[str, int], said: dict[str, int], handed: dict[str, int]
) -> None:
    """Whatever the order in which it is told."""

    def lots(left: dict[str, int]) -> list[Lot]:
        return [Lot(name, "/eu", tb, closed(MAY if name == "z" else JUNE))
                for name, tb in left.items()]  # fmt: skip

    assert handed_on(lots(found), lots(said)) == tuple(lots(handed)), rule
    assert handed_on(lots(found)[::-1], lots(said)[::-1]) == tuple(lots(handed)), rule


def test_what_is_left_is_said_when_the_month_has_ended() -> None:
    of = scope(row(pack(months=2), "pack", Span(day(5))), charge=traffic())
    usage = (Usage("srv", TX, "eth0", START, END, 24 * TB.is_),)
    live = price(of, Inputs(MONTH, usage), day(30))
    assert [lot for line in live for lot in line.lots] == []
    (lot,) = (lot for line in price(of, Inputs(MONTH, usage), END) for lot in line.lots)
    assert lot == Lot(f"{PACK}web/pack/2026-04-05T00:00:00Z", "/eu", 6 * TB.is_, closed(MAY))


@pytest.mark.parametrize(
    ("rule", "used", "said"),
    [
        ("nothing of a pack is used below the allowance", 19, ["pack 10", "rollover 1"]),
        ("nor at it; nothing is handed on", 20, ["pack 10"]),
        ("the pack", 21, ["pack 9"]),
        ("of what is handed on at most 3", 5, ["pack 10", "rollover 3"]),
    ],
)
def test_what_a_month_leaves(rule: str, used: int, said: list[str]) -> None:
    """One pack lasts, the other ends with April and is said no more."""
    rows = (
        row(pack(months=2), "pack-a", Span(START)),
        row(pack(0, months=1), "pack-b", Span(START)),
    )
    (lines,) = months(scope(*rows, charge=traffic(rollover=(3, 1))), used)
    left = [lot for line in lines for lot in line.lots]
    assert [f"{lot.name.partition('/')[0]} {lot.left // TB.is_}" for lot in left] == said, rule
    assert all(lot.left % TB.is_ == 0 for lot in left)


def test_what_expires_when_a_month_begins_is_gone() -> None:
    old = Lot("rollover/eu/x", "/eu", 5 * TB.is_, START)
    good = Lot("rollover/eu/y", "/eu", 5 * TB.is_, END)
    of = scope(charge=traffic())
    assert available(of, Inputs(MONTH, lots=(old, good))) == (good,)
    (lines,) = months(of, 26, lots=(old, good))
    assert over(lines) == 1


def test_an_empty_pack_is_said_too() -> None:
    """Else it would be full again."""
    found = months(scope(row(pack(months=3), "pack", Span(START)), charge=traffic()), 30, 21)
    assert [over(lines) for lines in found] == [0, 1]
    assert [lot.left for line in found[0] for lot in line.lots] == [0]


def test_progress_counts_packs() -> None:
    """A pack more is another limit; what is used of it is not."""
    bought = scope(row(pack(), "pack", Span(START)), charge=traffic())
    usage = (Usage("srv", TX, "eth0", START, END, 24 * TB.is_),)
    (with_,), (without,) = (
        progress(of, Inputs(MONTH, usage), END) for of in (bought, scope(charge=traffic()))
    )
    assert (with_.allowance, without.allowance) == (30 * TB.is_, 20 * TB.is_)
    assert with_.limit_version != without.limit_version
    (lot,) = available(bought, Inputs(MONTH))
    left = replace(lot, left=TB.is_)
    (later,) = progress(bought, Inputs(MONTH, usage, lots=(left,)), END)
    assert (later.allowance, later.limit_version) == (21 * TB.is_, with_.limit_version)


def test_another_charge_knows_nothing_of_a_pack() -> None:
    own = counted(PER_TB, TB, allowance=Allowance(3 * TB.is_), alerts=(100,))
    rows = (row(pack(months=2), "pack", Span(START)), row(own, "own", Span(START)))
    found = progress(scope(*rows, charge=traffic()), Inputs(MONTH), END)
    assert [(x.charge, x.allowance // TB.is_, x.limit_version) for x in found] == [
        ("eu", 30, f"v1/{30 * TB.is_}"), ("own", 3, f"v1/{3 * TB.is_}"),
    ]  # fmt: skip
    (month_,) = months(scope(*rows, charge=traffic()), 5)
    assert total(line for line in month_ if line.charge == "own") == 2
    assert [lot.left // TB.is_ for line in month_ for lot in line.lots] == [10]


def test_what_was_handed_on_serves_a_charge_that_includes_nothing_any_more() -> None:
    """April left 5 TB; in May nothing is included. 6 are used."""
    own = counted(PER_TB, TB, allowance=Allowance(20 * TB.is_, rollover=Rollover(5 * TB.is_, 1)))
    rows = (
        row(own, "traffic", Span(START, END)),
        row(counted(PER_TB, TB), "traffic", Span(END), at="v2"),
    )
    assert [over(lines) for lines in months(scope(*rows), 15, 6)] == [0, 1]


def test_what_rolls_over_is_not_swept_for() -> None:
    """A member that begins later costs nothing by beginning."""
    later = scope(charge=traffic(rollover=(3, 1)), rented=Span(day(9)))
    assert next_eval_at(later, Inputs(MONTH), START) is None


packs = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.integers(1, 28)), max_size=3)
uses = st.lists(st.integers(0, 60), min_size=1, max_size=5)


@laws
@given(packs, uses, st.none() | st.tuples(st.integers(0, 30), st.integers(1, 3)))
def test_every_byte_is_included_or_paid(
    bought: list[tuple[int, int, int]], used: list[int], terms: tuple[int, int] | None
) -> None:
    """Overage is what allowance and lots do not cover: none is used twice, none is negative."""
    rows = [row(pack(tb, n), f"p{at}", Span(day(on))) for at, (tb, n, on) in enumerate(bought)]
    found = months(scope(*rows, charge=traffic(rollover=terms)), *used)
    paid = sum((over(lines) for lines in found), Decimal(0))
    assert paid >= max(0, sum(used) - 20 * len(used) - sum(tb for tb, _, _ in bought))
    assert all(lot.left >= 0 for lines in found for line in lines for lot in line.lots)
    plain = months(scope(charge=traffic()), *used)
    assert all(over(mine) <= over(other) for mine, other in zip(found, plain, strict=True)), (
        "a pack or a rollover never costs more"
    )


@laws
@given(packs, st.integers(0, 60), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    bought: list[tuple[int, int, int]], used: int, random: object
) -> None:
    rows = [row(pack(tb, n), f"p{at}", Span(day(on))) for at, (tb, n, on) in enumerate(bought)]
    one = months(scope(*rows, charge=traffic()), used, used)
    other = months(scope(*reversed(rows), charge=traffic()), used, used)
    assert one == other


def test_a_pack_of_another_zone_ends_with_the_month_there() -> None:
    berlin = month(datetime(2026, 10, 15, tzinfo=UTC), "Europe/Berlin")
    booked = row(pack(months=1), "pack", Span(berlin.start))
    of = replace(scope(booked, rented=Span(berlin.start)), timezone="Europe/Berlin")
    (lot,) = available(of, Inputs(berlin))
    assert lot.expires_at == datetime(2026, 10, 31, 23, tzinfo=UTC)
