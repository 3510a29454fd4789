"""Commands on what an item has come late, repeat what is so, and take each other back.

Whatever their order they end in the same timelines.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.catalog import Catalog, load
from pipeline.rating.price import price
from rackmeter.cli.prices import catalogue
from schemas.billing import Inputs, Span
from schemas.errors import ConfigError, RefusedError
from schemas.prices import Charge, Fee, IntervalKind
from sinks.alterations import add_addon, drop_addon, resize
from sinks.catalog_effect import between, without_plan
from sinks.catalogs import apply, apply_contract
from sinks.changes import Answer
from sinks.database import Connection
from sinks.intervals import suspend
from sinks.item_facts import facts
from sinks.scopes import load_scope
from sinks.timelines import add_account, end, hand_over, rent, reopen, swap
from sinks.versions import read_contract
from tests.fix_billing import CATALOG, START, rent_small

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ADDON = '[addon.ipv4]\nname = "IPv4"\nprice = "1.70 / month"\ntax = "hosting"\neach = true\n'
PLAN = CATALOG[CATALOG.index("[plan.small]") :]
PLANS = {"small": "0.10", "large": "0.30", "huge": "0.90"}


def price_list(
    version: str, *, factor: int = 1, existing: str = '"keep"', effective: str = "2026-01-01"
) -> tuple[Catalog, str]:
    """Three plans and an add-on; each costs `factor` times what it does by the first version."""
    addon = ADDON.replace("1.70", f"{1.7 * factor:.2f}")
    text = CATALOG[: CATALOG.index("[plan.small]")] + addon
    for plan, rent_ in PLANS.items():
        hourly = f"{float(rent_) * factor:.2f}"
        text += PLAN.replace("small", plan).replace("0.10", hourly)
    text = text.replace('"v1"', f'"{version}"').replace('"keep"', existing)
    text = text.replace("2026-01-01", effective)
    return load(text, version), text


V2, V3 = price_list("v2"), price_list("v3", factor=2, existing="2026-03-16")
V4 = price_list("v4", factor=3, effective="2026-03-08")
V5 = price_list("v5", factor=5, effective="2026-03-16", existing="2026-03-16")


def day(number: int) -> datetime:
    """Midnight at which that day of March begins."""
    return START + (number - 1) * DAY


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """acme rents i-1, a small server served by s-1, from the first of March at the prices of v2."""
    apply(customer, *V2, START + MINUTE)
    add_account(customer, account="bolt", name="Bolt", country="DE", currency="EUR", timezone="UTC")
    renting(customer)
    return customer


def renting(
    conn: Connection, item: str = "i-1", at: datetime = START, until: datetime | None = None
) -> Answer:
    return rent(
        conn, item=item, title="x", plan="small", account="acme", server=item.replace("i", "s"),
        at=at, until=until, catalog=V2[0], entered_at=START,
    )  # fmt: skip


def resized(conn: Connection, plan: str, number: int, prices: Catalog = V2[0]) -> Answer:
    return resize(conn, "i-1", plan=plan, at=day(number), catalog=prices, entered_at=START)


def booked(conn: Connection, count: int, number: int, prices: Catalog = V2[0]) -> Answer:
    return add_addon(
        conn, "i-1", addon="ipv4", count=count, at=day(number), catalog=prices, entered_at=START
    )


def dropped(conn: Connection, number: int) -> Answer:
    return drop_addon(conn, "i-1", addon="ipv4", at=day(number), entered_at=START)


def swapped(conn: Connection, server: str, number: int) -> Answer:
    return swap(conn, "i-1", server, day(number), START)


def plans(conn: Connection, item: str = "i-1") -> list[tuple[str, int]]:
    """Plan and the day of March from when on."""
    rows = conn.execute(
        "SELECT plan, lower(valid) FROM item_price WHERE item_id = %s AND charge = 'rent'"
        " ORDER BY 2",
        (item,),
    ).fetchall()
    found = [(plan, (at - START).days + 1) for plan, at in rows]
    return found[:1] + [b for a, b in pairwise(found) if a[0] != b[0]]


def versions(conn: Connection, item: str, charge: str = "rent") -> list[tuple[str, Span]]:
    prices = load_scope(conn, item).prices
    return [(row.version, row.valid) for row in prices if row.charge == charge]


def counts(conn: Connection) -> list[tuple[int, Span]]:
    rows = [row for row in load_scope(conn, "i-1").prices if row.charge == "ipv4"]
    return [
        (row.price.quantity.count, row.valid) for row in rows if isinstance(row.price.quantity, Fee)
    ]


def servers(conn: Connection) -> list[tuple[str, int]]:
    found = load_scope(conn, "i-1").assignments
    return [(one.server, (one.valid.start - START).days + 1) for one in found if one.item]


# -- said once, held for good ----------------------------------------------------------------------


def test_a_plan_that_was_there_already_holds_against_what_comes_late(rented: Connection) -> None:
    """small from the 10th is said first, then large from the 5th: it ends on the 10th."""
    assert not resized(rented, "small", 10)
    assert resized(rented, "large", 5)
    assert plans(rented) == [("small", 1), ("large", 5), ("small", 10)]
    assert not resized(rented, "small", 10)


def test_late_resizes_hold_until_the_next(rented: Connection) -> None:
    for plan, number in (("large", 20), ("huge", 10), ("large", 12), ("huge", 5), ("small", 7)):
        assert resized(rented, plan, number), (plan, number)
    assert plans(rented) == [
        ("small", 1), ("huge", 5), ("small", 7), ("huge", 10), ("large", 12),
    ]  # fmt: skip


def test_a_number_that_was_there_already_holds(rented: Connection) -> None:
    booked(rented, 2, 2)
    assert not booked(rented, 2, 10)
    assert booked(rented, 4, 5)
    assert counts(rented) == [
        (2, Span(day(2), day(5))), (4, Span(day(5), day(10))), (2, Span(day(10))),
    ]  # fmt: skip


def test_a_server_that_was_there_already_holds(rented: Connection) -> None:
    assert not swapped(rented, "s-1", 10)
    assert swapped(rented, "s-2", 5)
    assert servers(rented) == [("s-1", 1), ("s-2", 5), ("s-1", 10)]


def test_what_it_has_already_goes_on_at_the_prices_it_has(rented: Connection) -> None:
    """Saying the plan again is no way to a newer price list that leaves existing items alone."""
    apply(rented, *V4, START + 2 * MINUTE)
    resize(rented, "i-1", plan="small", at=day(10), catalog=V4[0], entered_at=START)
    assert versions(rented, "i-1") == [("v2", Span(START))]


# -- taken back ------------------------------------------------------------------------------------


def test_a_drop_leaves_a_later_booking(rented: Connection) -> None:
    booked(rented, 1, 5)
    booked(rented, 2, 20)
    assert dropped(rented, 10)
    assert counts(rented) == [(1, Span(day(5), day(10))), (2, Span(day(20)))]


def test_a_drop_of_what_is_not_there_yet_is_refused(rented: Connection) -> None:
    booked(rented, 2, 20)
    with pytest.raises(RefusedError, match=r"no add-on ipv4 at 2026-03-10.*booked from 2026-03-20"):
        dropped(rented, 10)
    assert counts(rented) == [(2, Span(day(20)))]
    assert dropped(rented, 20)
    assert counts(rented) == []
    assert not dropped(rented, 20)


def test_a_planned_swap_is_taken_back(rented: Connection) -> None:
    swapped(rented, "s-2", 20)
    assert swapped(rented, "s-1", 20)
    assert servers(rented) == [("s-1", 1)]


def test_the_server_it_was_rented_with_is_corrected(rented: Connection) -> None:
    assert swapped(rented, "s-3", 1)
    assert servers(rented) == [("s-3", 1)]
    assert not renting(rented), "as it was rented"


def test_a_planned_resize_is_taken_back(rented: Connection) -> None:
    resized(rented, "large", 20)
    assert resized(rented, "small", 20)
    assert plans(rented) == [("small", 1)]


def test_the_wrong_day_is_taken_back_for_the_right_one(rented: Connection) -> None:
    """What was taken back is forgotten: it does not end what is said for an earlier day."""
    for number in (10, 5):
        assert resized(rented, "large", number)
        assert booked(rented, 2, number)
        assert swapped(rented, "s-2", number)
        if number == 10:
            for _ in range(2):  # repeated it is so already, and no choice of its own
                resized(rented, "small", 10)
                dropped(rented, 10)
                swapped(rented, "s-1", 10)
    assert plans(rented) == [("small", 1), ("large", 5)]
    assert counts(rented) == [(2, Span(day(5)))]
    assert servers(rented) == [("s-1", 1), ("s-2", 5)]


def test_a_number_that_is_dropped_where_it_changed_is_none(rented: Connection) -> None:
    booked(rented, 1, 5)
    booked(rented, 3, 10)
    dropped(rented, 10)
    assert counts(rented) == [(1, Span(day(5), day(10)))]


def test_an_end_is_taken_back_with_all_that_was_planned(rented: Connection) -> None:
    before = load_scope(rented, "i-1")
    resized(rented, "large", 20)
    booked(rented, 3, 21)
    swapped(rented, "s-2", 22)
    planned = load_scope(rented, "i-1")
    assert end(rented, "i-1", day(10))
    ended = load_scope(rented, "i-1")
    assert {row.valid for row in ended.prices} == {Span(START, day(10))}
    assert servers(rented) == [("s-1", 1)]
    with pytest.raises(RefusedError, match=r"has ended already, at 2026-03-10.*item reopen"):
        end(rented, "i-1", day(12))
    with pytest.raises(RefusedError, match=r"ends at 2026-03-10.*, not 2026-03-12"):
        reopen(rented, "i-1", START, day(12))
    assert reopen(rented, "i-1", START)
    assert not reopen(rented, "i-1", START, day(10))
    assert load_scope(rented, "i-1") == planned != before


def test_an_item_whose_server_serves_another_is_not_reopened(rented: Connection) -> None:
    end(rented, "i-1", day(10))
    rent_small(rented, "i-2", "s-1", day(10))
    with pytest.raises(RefusedError, match="s-1 serves item i-2"):
        reopen(rented, "i-1", START)


def test_a_rental_of_the_past_is_told_with_its_end(rented: Connection) -> None:
    assert renting(rented, "i-2", until=day(10))
    assert not renting(rented, "i-2", until=day(10))
    assert load_scope(rented, "i-2").ended_at == day(10)
    assert versions(rented, "i-2") == [("v2", Span(START, day(10)))]
    with pytest.raises(RefusedError, match="already with end 2026-03-10"):
        renting(rented, "i-2", until=day(11))
    with pytest.raises(RefusedError, match="cannot end there or before"):
        renting(rented, "i-3", until=START)


def test_what_should_never_have_been_rented_costs_nothing(rented: Connection) -> None:
    """With the set-up of its beginning; told after ten days."""
    text = price_list("v6")[1].replace('name = "Small server"', 'name = "x"\n{}'.format(
        'setup = { price = "79.00 once", tax = "hosting" }'))  # fmt: skip
    catalog = load(text, "v6")
    apply(rented, catalog, text, START + 2 * MINUTE)
    rent(
        rented, item="i-2", title="x", plan="large", account="acme", server="s-2", at=day(3),
        catalog=catalog, entered_at=START,
    )  # fmt: skip
    with pytest.raises(RefusedError, match=r"cannot end there .* --kind exclusion"):
        end(rented, "i-2", day(3))
    month = Inputs(Span(START, datetime.fromisoformat("2026-04-01T00:00Z")))
    before = price(load_scope(rented, "i-2"), month, day(13))
    assert "setup" in {line.charge for line in before}
    suspend(rented, "i-2", at=day(3), entered_at=day(13), kind=IntervalKind.EXCLUSION)
    end(rented, "i-2", day(13), day(13))
    after = price(load_scope(rented, "i-2"), month, day(13))
    assert sum(line.net for line in after) == 0 < sum(line.net for line in before)


# -- the plan of the time --------------------------------------------------------------------------


def test_a_hand_over_takes_the_plan_of_its_time(rented: Connection) -> None:
    """Large from the 20th is planned; on the 10th another customer takes the small server over."""
    resized(rented, "large", 20)
    hand_over(rented, "i-1", to="b-1", account="bolt", at=day(10), catalog=V2[0], entered_at=START)
    assert plans(rented, "b-1") == [("small", 10)]


def test_an_item_shows_the_plan_of_now(rented: Connection) -> None:
    far = datetime.fromisoformat("2999-01-01T00:00Z")
    resize(rented, "i-1", plan="large", at=far, catalog=V2[0], entered_at=START)
    assert facts(rented, "i-1")["plan"] == "small"
    resized(rented, "huge", 10)
    assert facts(rented, "i-1")["plan"] == "huge"
    end(rented, "i-1", day(5))
    assert facts(rented, "i-1")["plan"] == "small"


def test_what_a_price_list_means_goes_by_the_plan_of_its_time(rented: Connection) -> None:
    resized(rented, "large", 10)
    poorer = V2[1].replace("[plan.small]", "[plan.tiny]")
    for number, kept in ((5, [("i-1", "acme", "small")]), (12, [])):
        text = poorer.replace('"keep"', f"2026-03-{number:02}")
        assert without_plan(rented, load(text, "v2"), START) == kept
    dearer = load(V2[1].replace("0.30 / hour", "0.40 / hour"), "v2")
    assert between(rented, V2[0], dearer, day(5)) == []
    [found] = between(rented, V2[0], dearer, day(12))
    assert (found.item.item, found.item.plan, found.start) == ("i-1", "large", day(12))


# -- versions that are published already -----------------------------------------------------------


def v3_from_the_16th() -> list[tuple[str, Span]]:
    return [("v2", Span(day(10), day(16))), ("v3", Span(day(16)))]


def test_what_is_rented_before_a_published_version_follows_it(rented: Connection) -> None:
    apply(rented, *V3, START + 2 * MINUTE)
    renting(rented, "i-2", day(10))
    assert versions(rented, "i-2") == v3_from_the_16th()
    hand_over(rented, "i-1", to="b-1", account="bolt", at=day(10), catalog=V2[0], entered_at=START)
    assert versions(rented, "b-1") == v3_from_the_16th()


def test_what_is_rented_after_it_at_older_prices_keeps_them(rented: Connection) -> None:
    apply(rented, *V3, START + 2 * MINUTE)
    renting(rented, "i-2", day(20))
    assert versions(rented, "i-2") == [("v2", Span(day(20)))]


def test_an_addon_follows_a_published_version(rented: Connection) -> None:
    apply(rented, *V3, START + 2 * MINUTE)
    booked(rented, 2, 10)
    assert versions(rented, "i-1", "ipv4") == v3_from_the_16th()


def test_an_item_that_ends_later_follows_until_then(rented: Connection) -> None:
    end(rented, "i-1", day(20))
    apply(rented, *V3, START + 2 * MINUTE)
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(16))), ("v3", Span(day(16), day(20))),
    ]  # fmt: skip


def test_a_reopened_item_follows_what_was_published_while_it_had_an_end(
    rented: Connection,
) -> None:
    end(rented, "i-1", day(10))
    apply(rented, *V3, day(11))
    reopen(rented, "i-1", day(12))
    assert versions(rented, "i-1") == [("v2", Span(START, day(16))), ("v3", Span(day(16)))]


def test_a_reopened_item_follows_older_lists_too_that_were_applied_meanwhile(
    rented: Connection,
) -> None:
    """Large at the prices of v4, which are newer than those of v3."""
    apply(rented, *V4, START + 2 * MINUTE)
    resized(rented, "large", 9, V4[0])
    end(rented, "i-1", day(10))
    apply(rented, *V3, day(11))
    reopen(rented, "i-1", day(12))
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(9))), ("v4", Span(day(9), day(16))), ("v3", Span(day(16))),
    ]  # fmt: skip


def test_lists_keep_their_order_for_what_begins_after_them(rented: Connection) -> None:
    """v5 for the 16th is applied first, then v6 for the 8th; both before the rental begins."""
    renting(rented, "i-2", day(20))
    apply(rented, *V5, START + 2 * MINUTE)
    apply(rented, *price_list("v6", factor=6, existing="2026-03-08"), START + 3 * MINUTE)
    assert versions(rented, "i-2") == [("v5", Span(day(20)))]
    assert versions(rented, "i-1")[-1] == ("v5", Span(day(16)))


def test_one_published_before_another_of_an_earlier_day_is_followed(rented: Connection) -> None:
    """v5 for the 16th is published first, then v4 for the 8th; rented on the 10th, by v4."""
    apply(rented, *V5, START + 2 * MINUTE)
    apply(rented, *V4, START + 3 * MINUTE)
    rent(
        rented, item="i-2", title="x", plan="small", account="acme", server="s-2", at=day(10),
        catalog=V4[0], entered_at=START,
    )  # fmt: skip
    assert versions(rented, "i-2") == [("v4", Span(day(10), day(16))), ("v5", Span(day(16)))]


def test_a_list_that_changes_nothing_at_its_day_still_ends_one_before(rented: Connection) -> None:
    """v6 for the 20th costs what v2 does; v3 for the 16th comes after it, and holds until then."""
    apply(rented, *price_list("v6", existing="2026-03-20"), START + 2 * MINUTE)
    apply(rented, *V3, START + 3 * MINUTE)
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(16))), ("v3", Span(day(16), day(20))), ("v6", Span(day(20))),
    ]  # fmt: skip


def test_a_list_without_the_plan_it_has_blocks_nothing(rented: Connection) -> None:
    text = V4[1].replace("[plan.small]", "[plan.tiny]")
    poorer = load(text, "v4")
    apply(rented, poorer, text, START + 2 * MINUTE)
    assert not resized(rented, "small", 10, poorer)
    assert resized(rented, "large", 9, poorer)
    assert plans(rented) == [("small", 1), ("large", 9), ("small", 10)]


# -- contracts -------------------------------------------------------------------------------------


def contract(conn: Connection, name: str, low: int, high: int | None, price: str) -> None:
    """From a day of March until another; a price by the hour, or one that changes nothing."""
    until = "" if high is None else f"until = 2026-03-{high:02}\n"
    rents = f'[plan.small]\nrent.price = "{price} / hour"\n' if price else ""
    text = f'contract = "{name}"\nbase = "v2"\nscope = "i-1"\neffective = 2026-03-{low:02}\n'
    text += f'{until}{rents}[discount.loyal]\npercent = "10 %"\n'
    apply_contract(conn, read_contract(conn, text, name), text, START)


def test_a_contract_holds_against_a_list_of_its_time(rented: Connection) -> None:
    """The list for the 16th was published first."""
    apply(rented, *V3, START + 2 * MINUTE)
    contract(rented, "c", 10, 20, "0.08")
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(10))), ("c", Span(day(10), day(20))), ("v2", Span(day(20))),
    ]  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_contract_that_changes_no_price_ends_the_one_before(
    rented: Connection, order: tuple[int, int]
) -> None:
    both = (("b", 20, None, ""), ("c", 10, None, "0.08"))
    for number in order:
        contract(rented, *both[number])
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(10))), ("c", Span(day(10), day(20))), ("b", Span(day(20))),
    ]  # fmt: skip


def test_a_contract_that_comes_late_leaves_what_was_chosen_after_its_end(
    rented: Connection,
) -> None:
    apply(rented, *V4, START + 2 * MINUTE)
    resized(rented, "large", 20, V4[0])
    contract(rented, "c", 10, 15, "0.08")
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(10))), ("c", Span(day(10), day(15))),
        ("v2", Span(day(15), day(20))), ("v4", Span(day(20))),
    ]  # fmt: skip


def test_a_contract_that_comes_late_leaves_the_time_of_the_next(rented: Connection) -> None:
    contract(rented, "b", 20, None, "")
    agreed = catalogue(rented, None, "i-1", day(22))
    assert agreed.version == "b"
    resized(rented, "large", 22, agreed)
    contract(rented, "c", 10, None, "0.08")
    assert versions(rented, "i-1")[-3:] == [
        ("c", Span(day(10), day(20))), ("b", Span(day(20), day(22))), ("b", Span(day(22))),
    ]  # fmt: skip


def test_a_contract_of_another_scope_is_not_named(rented: Connection) -> None:
    contract(rented, "c", 10, None, "0.08")
    assert catalogue(rented, "c", "i-1", day(12)).version == "c"
    with pytest.raises(ConfigError, match="c is the contract of i-1, not of i-2"):
        catalogue(rented, "c", "i-2", day(12))


def test_in_a_contract_other_prices_are_named(rented: Connection) -> None:
    contract(rented, "c", 10, None, "0.08")
    resized(rented, "large", 12)
    assert versions(rented, "i-1")[-2:] == [("c", Span(day(10), day(12))), ("v2", Span(day(12)))]


@pytest.mark.parametrize("late", [False, True])
def test_what_is_chosen_after_a_contract_was_ended_has_no_prices_of_it(
    rented: Connection, late: bool
) -> None:
    """c from the 5th is ended by d from the 8th until the 15th; large is chosen for the 20th."""
    contract(rented, "c", 5, None, "0.08")
    apply(rented, *V4, START + 2 * MINUTE)
    if not late:
        contract(rented, "d", 8, 15, "0.07")
    resize(
        rented, "i-1", plan="large", at=day(20), catalog=catalogue(rented, None, "i-1", day(20)),
        entered_at=START + 5 * MINUTE,
    )  # fmt: skip
    if late:
        contract(rented, "d", 8, 15, "0.07")
    assert versions(rented, "i-1") == [
        ("v2", Span(START, day(5))), ("c", Span(day(5), day(8))), ("d", Span(day(8), day(15))),
        ("v2", Span(day(15), day(20))), ("v4", Span(day(20))),
    ]  # fmt: skip


def test_a_list_that_leaves_what_exists_is_not_followed_after_a_contract_was_ended(
    rented: Connection,
) -> None:
    """i-2 is rented under c, which d ends before; v4 is published after that, a swap changes no
    price.
    """
    contract(rented, "c", 5, None, "0.08")
    rent(
        rented, item="i-2", plan="small", account="acme", server="s-2", at=day(20), scope="i-1",
        catalog=catalogue(rented, None, "i-1", day(20)), entered_at=START + 2 * MINUTE,
    )  # fmt: skip
    contract(rented, "d", 8, 15, "0.07")
    apply(rented, *V4, START + 3 * MINUTE)
    swap(rented, "i-2", "s-3", day(25), START + 4 * MINUTE)
    rows = load_scope(rented, "i-1").prices
    found = {(row.version, row.valid) for row in rows if row.item == "i-2"}
    assert found == {("v2", Span(day(20)))}


def test_contracts_of_one_day_and_price_cut_no_month(rented: Connection) -> None:
    """What the second leaves alone is not cut where something is said afterwards."""
    contract(rented, "c", 5, None, "0.08")
    contract(rented, "d", 5, None, "0.08")
    booked(rented, 1, 21)
    assert versions(rented, "i-1") == [("v2", Span(START, day(5))), ("c", Span(day(5)))]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_changes_no_price_cuts_no_month(rented: Connection, order: tuple[int, int]) -> None:
    """A contract at the price of the one before it, then an address."""
    said = (
        lambda: contract(rented, "d", 16, None, "0.08"),
        lambda: booked(rented, 1, 21),
    )
    contract(rented, "c", 5, None, "0.08")
    for number in order:
        said[number]()
    assert versions(rented, "i-1") == [("v2", Span(START, day(5))), ("c", Span(day(5)))]


# -- in any order ----------------------------------------------------------------------------------

COMMANDS: dict[str, tuple[int, Callable[[Connection, int, Catalog], object]]] = {
    "large": (5, lambda conn, at, prices: resized(conn, "large", at, prices)),
    "small": (10, lambda conn, at, prices: resized(conn, "small", at, prices)),
    "huge": (16, lambda conn, at, prices: resized(conn, "huge", at, prices)),
    "large again": (20, lambda conn, at, prices: resized(conn, "large", at, prices)),
    "2 ipv4": (4, lambda conn, at, prices: booked(conn, 2, at, prices)),
    "5 ipv4": (8, lambda conn, at, prices: booked(conn, 5, at, prices)),
    "2 ipv4 again": (12, lambda conn, at, prices: booked(conn, 2, at, prices)),
    "s-2": (6, lambda conn, at, _: swapped(conn, "s-2", at)),
    "s-1": (9, lambda conn, at, _: swapped(conn, "s-1", at)),
    "v5 for all": (16, lambda conn, _, __: apply(conn, *V5, START + 3 * MINUTE)),
    "contract": (7, lambda conn, _, __: contract(conn, "c", 7, 18, "0.08")),
    "end": (25, lambda conn, at, _: end(conn, "i-1", day(at), START)),
}
"""With the day from which on they are true."""
Prices = list[tuple[str, Charge, Span]]


def what_it_costs(conn: Connection) -> tuple[Prices, list[tuple[str, int]]]:
    """By charge and time, with rows that say the same in a row as one."""
    found: Prices = []
    for row in load_scope(conn, "i-1").prices:
        if found and found[-1][:2] == (row.charge, row.price) and (
            found[-1][2].end == row.valid.start
        ):  # fmt: skip
            found[-1] = (row.charge, row.price, Span(found[-1][2].start, row.valid.end))
        else:
            found.append((row.charge, row.price, row.valid))
    return found, servers(conn)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(sorted(COMMANDS)), min_size=2, unique=True), st.data())
def test_any_order_ends_in_the_same_timelines(
    rented: Connection, names: list[str], data: st.DataObject
) -> None:
    """Each at the newest prices of its day; v4 leaves what exists alone, v5 does not."""
    ends = []
    for order in (names, data.draw(st.permutations(names))):
        with rented.transaction(force_rollback=True):
            apply(rented, *V4, START + 2 * MINUTE)
            for name in order:
                number, give = COMMANDS[name]
                give(rented, number, catalogue(rented, None, "i-1", day(number)))
            ends.append(what_it_costs(rented))
    assert ends[0] == ends[1]
