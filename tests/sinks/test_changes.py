"""Commands on the timelines: once, whoever repeats them; kept; one at a time.

Two operators are two sessions on a real PostgreSQL.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest

from pipeline.catalog import Catalog, load
from schemas.billing import Span
from schemas.errors import RefusedError
from schemas.prices import Fee, IntervalKind
from sinks.alterations import add_addon, drop_addon, resize
from sinks.audit import Wanted, newest
from sinks.catalogs import apply
from sinks.changes import Answer, Order
from sinks.database import Connection, connect
from sinks.intervals import resume, suspend
from sinks.item_facts import facts
from sinks.scopes import load_scope
from sinks.timelines import add_account, end, hand_over, rent, swap
from tests.fix_billing import CATALOG, START, a_catalog, rent_small

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = START + 10 * DAY
ADDONS = """
[addon.ipv4]
name = "IPv4 address"
price = "1.70 / month"
tax = "hosting"
each = true
"""
LARGE = CATALOG[CATALOG.index("[plan.small]") :].replace("small", "large").replace("0.10", "0.30")


def two_plans(version: str = "v2", **changes: str) -> tuple[Catalog, str]:
    plans = {"[plan.small]": ADDONS + LARGE + "[plan.small]"}
    return a_catalog(**{'"v1"': f'"{version}"', **plans, **changes})


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """acme rents i-1, served by s-1; bolt is another customer; there are two plans."""
    apply(customer, *two_plans(), START)
    add_account(customer, account="bolt", name="Bolt", country="DE", currency="EUR", timezone="UTC")
    rent_small(customer)
    return customer


def ordered(request: str | None = "r-1", *, now: bool = False) -> Order:
    return Order("op@host", "as agreed", request, now)


def commands(
    conn: Connection, order: Order
) -> dict[str, tuple[Callable[[], Answer], Callable[[], Answer]]]:
    """Each command on i-1, and the same with another content."""
    new, at = two_plans()[0], LATER

    def handing(to: str) -> Answer:
        return hand_over(
            conn, "i-1", to=to, account="bolt", at=at, catalog=new, entered_at=at, order=order
        )

    def renting(server: str) -> Answer:
        return rent(
            conn, item="i-9", title="x", plan="small", account="acme", server=server, at=at,
            catalog=new, entered_at=at, order=order,
        )  # fmt: skip

    def resizing(plan: str) -> Answer:
        return resize(conn, "i-1", plan=plan, at=at, catalog=new, entered_at=at, order=order)

    return {
        "rent": (lambda: renting("s-9"), lambda: renting("s-8")),
        "swap": (
            lambda: swap(conn, "i-1", "s-2", at, at, order),
            lambda: swap(conn, "i-1", "s-3", at, at, order),
        ),
        "resize": (lambda: resizing("large"), lambda: resizing("small")),
        "suspend": (
            lambda: suspend(conn, "i-1", at=at, entered_at=at, order=order),
            lambda: suspend(
                conn, "i-1", at=at, entered_at=at, kind=IntervalKind.TRIAL, order=order
            ),
        ),
        "hand-over": (lambda: handing("b-1"), lambda: handing("b-2")),
        "end": (
            lambda: end(conn, "i-1", at, at, order),
            lambda: end(conn, "i-1", at + DAY, at, order),
        ),
    }


COMMANDS = ("rent", "swap", "resize", "suspend", "hand-over", "end")


def everything(conn: Connection) -> list[object]:
    tables = ("item", "assignment", "item_price", "item_interval", "timeline_change")
    past = ("item_past", "assignment_past", "item_price_past", "item_interval_past")
    return [
        conn.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()
        for table in (*tables, *past)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_request_is_given_once(rented: Connection, name: str) -> None:
    same, other = commands(rented, ordered())[name]
    first = same()
    assert first.changed
    assert not first.repeated
    stored = everything(rented)
    again = same()
    assert (again, again.repeated) == (first, True)
    with pytest.raises(
        RefusedError, match=rf"Request r-1 was `{name}` by op@host at .* of its own"
    ):
        other()
    assert everything(rented) == stored


@pytest.mark.parametrize("name", COMMANDS)
def test_without_an_id_it_is_repeated_by_what_is_so_already(rented: Connection, name: str) -> None:
    same, _ = commands(rented, ordered(None))[name]
    assert same()
    stored = everything(rented)
    assert not same()
    assert everything(rented) == stored


@pytest.mark.parametrize("name", COMMANDS)
def test_a_dry_run_leaves_nothing(rented: Connection, name: str) -> None:
    stored = everything(rented)
    with rented.transaction(force_rollback=True):
        assert commands(rented, ordered())[name][0]()
    assert everything(rented) == stored


def test_an_id_that_was_refused_is_free(rented: Connection) -> None:
    with pytest.raises(RefusedError):
        swap(rented, "i-1", "s-2", START - DAY, LATER, ordered())
    assert swap(rented, "i-1", "s-2", LATER, LATER, ordered())


def test_now_is_the_same_request_whenever_it_is_repeated(rented: Connection) -> None:
    order = ordered(now=True)
    first = swap(rented, "i-1", "s-2", LATER, LATER, order)
    assert swap(rented, "i-1", "s-2", LATER + HOUR, LATER + HOUR, order) == first


def test_what_was_said_is_kept_with_who_and_why(rented: Connection) -> None:
    swap(rented, "i-1", "s-2", LATER, LATER + HOUR, ordered())
    row = rented.execute(
        "SELECT command, content, at, entered_at, entered_by, reason, scopes FROM timeline_change"
        " WHERE request_id = 'r-1'"
    ).fetchone()
    content = {"item": "i-1", "server": "s-2", "at": LATER.isoformat()}
    assert row == ("swap", content, LATER, LATER + HOUR, "op@host", "as agreed", ["i-1"])
    for statement in ("DELETE FROM timeline_change", "UPDATE timeline_change SET reason = ''"):
        with pytest.raises(psycopg.errors.RaiseException, match="what was said is kept"):
            rented.execute(statement)


# -- what was known when ---------------------------------------------------------------------------


def test_the_timelines_as_they_were_known(rented: Connection) -> None:
    """A swap of the 11th is entered on the 21st, an end of the 16th on the 26th."""
    before = load_scope(rented, "i-1")
    swap(rented, "i-1", "s-2", LATER, START + 20 * DAY)
    between = load_scope(rented, "i-1")
    suspend(rented, "i-1", at=LATER, entered_at=START + 22 * DAY)
    resume(rented, "i-1", at=LATER + DAY, entered_at=START + 23 * DAY)
    resize(
        rented, "i-1", plan="large", at=LATER, catalog=two_plans()[0],
        entered_at=START + 24 * DAY,
    )  # fmt: skip
    end(rented, "i-1", START + 15 * DAY, START + 25 * DAY)
    for known, scope in (
        (START + 20 * DAY - HOUR, before),
        (START + 20 * DAY, between),
        (START + 22 * DAY - HOUR, between),
        (START + 25 * DAY, load_scope(rented, "i-1")),
    ):
        assert load_scope(rented, "i-1", known) == scope, known
    (suspended,) = load_scope(rented, "i-1", START + 22 * DAY).intervals
    assert suspended.valid == Span(LATER)
    (resumed,) = load_scope(rented, "i-1", START + 23 * DAY).intervals
    assert resumed.valid == Span(LATER, LATER + DAY)
    assert load_scope(rented, "i-1", START - DAY).items == ()


def test_a_clock_behind_leaves_no_gap_in_what_was_known(rented: Connection) -> None:
    swap(rented, "i-1", "s-2", LATER, LATER + HOUR)
    swap(rented, "i-1", "s-3", LATER + DAY, LATER)  # another operator's clock
    found = rented.execute("SELECT entered_at FROM timeline_change ORDER BY change_id").fetchall()
    assert found[-2:] == [(LATER + HOUR,), (LATER + HOUR,)]
    assert load_scope(rented, "i-1", LATER + HOUR) == load_scope(rented, "i-1")


def test_the_database_itself_keeps_what_was(rented: Connection) -> None:
    rented.execute("UPDATE item SET title = 'by hand'")
    rented.execute("DELETE FROM item_price WHERE charge = 'rent'")
    kept = rented.execute("SELECT title FROM item_past").fetchall()
    kept += rented.execute("SELECT charge FROM item_price_past").fetchall()
    assert kept == [("Server i-1",), ("rent",)]


# -- late ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_too_late_for_an_invoice_is_kept_for_an_adjustment(
    rented: Connection, name: str
) -> None:
    scope = "i-9" if name == "rent" else "i-1"
    if name == "rent":
        rented.execute("INSERT INTO rating_scope VALUES ('i-9', 'acme')")
    end_of_month = START + 31 * DAY
    rented.execute(
        "INSERT INTO scope_seal VALUES (%s, %s, %s, %s, 'd', NULL)",
        (scope, START, end_of_month, end_of_month),
    )
    same, _ = commands(rented, ordered())[name]
    known = load_scope(rented, "i-1", end_of_month)
    answer = same()
    assert answer.late == ((scope, START),)
    assert same() == answer
    rows = rented.execute("SELECT scope_id, period_start FROM timeline_late").fetchall()
    assert rows == [(scope, START)]
    assert load_scope(rented, "i-1", START + HOUR) == known


def test_a_change_after_the_sealed_period_is_not_late(rented: Connection) -> None:
    rented.execute(
        "INSERT INTO scope_seal VALUES ('i-1', %s, %s, %s, 'd', NULL)", (START, LATER, LATER)
    )
    assert swap(rented, "i-1", "s-2", LATER, LATER).late == ()


# -- two operators ---------------------------------------------------------------------------------


def at_once(url: str, *given: Callable[[Connection], Answer]) -> list[Answer | RefusedError]:
    """Each in a session of its own, begun together."""
    gate = threading.Barrier(len(given))
    found: list[Answer | RefusedError] = []

    def work(command: Callable[[Connection], Answer]) -> None:
        with connect(url, autocommit=True) as conn:
            gate.wait(30)
            try:
                found.append(command(conn))
            except RefusedError as error:
                found.append(error)

    threads = [threading.Thread(target=work, args=(command,)) for command in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_of_two_who_give_one_server_away_one_is_told(rented: Connection, billing_url: str) -> None:
    rent_small(rented, "i-2", "s-2")
    found = at_once(
        billing_url,
        lambda conn: swap(conn, "i-1", "s-9", LATER, LATER),
        lambda conn: swap(conn, "i-2", "s-9", LATER, LATER),
    )
    (answer,) = (one for one in found if isinstance(one, Answer))
    (refused,) = (one for one in found if isinstance(one, RefusedError))
    assert answer.changed
    assert "Server s-9 serves item" in str(refused)
    assert "it cannot serve item" in str(refused)
    row = rented.execute("SELECT count(*) FROM assignment WHERE server_id = 's-9'").fetchone()
    assert row == (1,)


def test_of_two_who_hand_over_one_server_one_is_told(rented: Connection, billing_url: str) -> None:
    new = two_plans()[0]

    def handing(to: str) -> Callable[[Connection], Answer]:
        return lambda conn: hand_over(
            conn, "i-1", to=to, account="bolt", at=LATER, catalog=new, entered_at=LATER
        )

    found = at_once(billing_url, handing("b-1"), handing("b-2"))
    (refused,) = (one for one in found if isinstance(one, RefusedError))
    assert "Server s-1 serves item b-" in str(refused)
    assert rented.execute("SELECT count(*) FROM item WHERE item_id LIKE 'b%'").fetchone() == (1,)


def test_one_request_from_two_sessions_is_done_once(rented: Connection, billing_url: str) -> None:
    commands_of = [lambda conn: swap(conn, "i-1", "s-2", LATER, LATER, ordered())] * 4
    found = at_once(billing_url, *commands_of)
    answers = [one for one in found if isinstance(one, Answer)]
    assert len(answers) == 4
    assert sorted(one.repeated for one in answers) == [False, True, True, True]


# -- what each one writes --------------------------------------------------------------------------


def test_handing_over_ends_one_rental_and_begins_another(rented: Connection) -> None:
    new = two_plans()[0]
    hand_over(
        rented, "i-1", to="b-1", account="bolt", at=LATER, catalog=new, entered_at=LATER,
        plan="large",
    )  # fmt: skip
    old, now = load_scope(rented, "i-1"), load_scope(rented, "b-1")
    assert old.ended_at == LATER
    assert (now.account, now.items[0].plan, now.items[0].title) == ("bolt", "large", "")
    assert [(a.server, a.valid) for a in now.assignments] == [("s-1", Span(LATER))]
    assert {row.valid for row in old.prices} == {Span(START, LATER)}


def versions(conn: Connection, charge: str = "rent") -> list[tuple[str, str, Span]]:
    rows = conn.execute(
        "SELECT plan, version, lower(valid), upper(valid) FROM item_price"
        " WHERE item_id = 'i-1' AND charge = %s ORDER BY lower(valid)",
        (charge,),
    )
    return [(plan, version, Span(low, high)) for plan, version, low, high in rows]


def resized(conn: Connection, plan: str, at: datetime) -> Answer:
    return resize(conn, "i-1", plan=plan, at=at, catalog=two_plans()[0], entered_at=LATER)


def test_a_resize_opens_and_closes_prices_and_nothing_else(rented: Connection) -> None:
    before = load_scope(rented, "i-1")
    assert resized(rented, "large", LATER)
    after = load_scope(rented, "i-1")
    assert (after.assignments, after.items[0].valid) == (before.assignments, before.items[0].valid)
    assert facts(rented, "i-1")["plan"] == "large"
    assert versions(rented) == [("small", "v1", Span(START, LATER)), ("large", "v2", Span(LATER))]
    assert not resized(rented, "large", LATER)


def test_a_late_resize_fits_in_before_the_next_one(rented: Connection) -> None:
    """small |------|      |
    large        |----|
    small             |---…"""
    resized(rented, "large", LATER)
    assert resized(rented, "small", LATER + 5 * DAY)
    assert resized(rented, "large", LATER - DAY).changed
    assert [(plan, span.start) for plan, _, span in versions(rented)] == [
        ("small", START), ("large", LATER - DAY), ("small", LATER + 5 * DAY),
    ]  # fmt: skip


def test_where_prices_change_later_the_new_plans_change_too(rented: Connection) -> None:
    renewal = START + 31 * DAY
    apply(
        rented,
        *two_plans("v3", **{'"keep"': '"at_renewal"', "0.30": "0.40", "0.10": "0.20"}),
        LATER,
    )
    assert versions(rented)[-1] == ("small", "v3", Span(renewal))
    assert resized(rented, "large", LATER)
    assert versions(rented) == [
        ("small", "v1", Span(START, LATER)),
        ("large", "v2", Span(LATER, renewal)),
        ("large", "v3", Span(renewal)),
    ]


def test_a_new_version_prices_a_planned_resize_by_the_plan_to_come(rented: Connection) -> None:
    """Small until May, then large: from April on both at the new version's prices."""
    april, may = START + 31 * DAY, START + 61 * DAY
    resized(rented, "large", may)
    catalog, text = two_plans("v3", **{'"keep"': '"at_renewal"', "0.30": "0.40", "0.10": "0.20"})
    apply(rented, catalog, text, LATER)
    assert versions(rented) == [
        ("small", "v1", Span(START, april)),
        ("small", "v3", Span(april, may)),
        ("large", "v3", Span(may)),
    ]
    rents = {
        row.valid: row.price for row in load_scope(rented, "i-1").prices if row.charge == "rent"
    }
    assert rents[Span(april, may)] == catalog.plans["small"].charges["rent"]
    assert rents[Span(may)] == catalog.plans["large"].charges["rent"]


def test_a_version_without_the_plan_of_now_still_changes_the_one_to_come(
    rented: Connection,
) -> None:
    may = START + 61 * DAY
    resized(rented, "large", may)
    text = two_plans("v3", **{'"keep"': '"at_renewal"', "0.30": "0.40"})[1]
    text = text.replace("[plan.small]", "[plan.tiny]")
    apply(rented, load(text, "v3.toml"), text, LATER)
    assert [(plan, v, span.end) for plan, v, span in versions(rented)] == [
        ("small", "v1", may), ("large", "v3", None),
    ]  # fmt: skip


def test_applying_is_a_command_like_others(rented: Connection) -> None:
    text = two_plans("v3", **{'"keep"': '"at_renewal"', "0.10": "0.20"})
    apply(rented, *text, LATER, Order("clerk@desk"))
    assert rented.execute(
        "SELECT command, content->>'version', at, entered_by, scopes, answer FROM timeline_change"
        " ORDER BY change_id DESC LIMIT 1"
    ).fetchone() == (
        "catalog apply", "v3", START + 31 * DAY, "clerk@desk", ["i-1"],
        {"changed": True, "late": []},
    )  # fmt: skip


def test_what_contradicts_an_item_is_refused(rented: Connection) -> None:
    catalog = two_plans()[0]
    end(rented, "i-1", LATER)
    commands: dict[str, Callable[[], Answer]] = {
        "i-1 is not rented": lambda: resized(rented, "large", LATER),
        "not rented at": lambda: suspend(rented, "i-1", at=LATER, entered_at=LATER),
        "no item i-7": lambda: resume(rented, "i-7", at=LATER, entered_at=LATER),
        "has no suspension at": lambda: resume(rented, "i-1", at=LATER, entered_at=LATER),
        "give an end that is later": lambda: suspend(
            rented, "i-1", until=START, at=LATER, entered_at=LATER
        ),
        "There is no item i-8": lambda: hand_over(
            rented, "i-8", to="b", account="bolt", catalog=catalog, at=LATER, entered_at=LATER
        ),
        "i-1 is not rented at": lambda: drop_addon(
            rented, "i-1", addon="ipv4", at=LATER, entered_at=LATER
        ),
    }
    before = everything(rented)
    for refused, command in commands.items():
        with pytest.raises(RefusedError, match=refused):
            command()
    assert everything(rented) == before


# -- add-ons --------------------------------------------------------------------------------------


def booked(conn: Connection, count: int, at: datetime) -> Answer:
    return add_addon(
        conn, "i-1", addon="ipv4", count=count, at=at, catalog=two_plans()[0], entered_at=LATER
    )


def addons(conn: Connection) -> list[tuple[int, Span]]:
    rows = [row for row in load_scope(conn, "i-1").prices if row.charge == "ipv4"]
    return [
        (row.price.quantity.count, row.valid) for row in rows if isinstance(row.price.quantity, Fee)
    ]


def test_addons_are_added_changed_in_number_and_dropped(rented: Connection) -> None:
    """4 |-----|   |
    6          |---|"""
    assert booked(rented, 4, LATER)
    assert not booked(rented, 4, LATER)
    assert booked(rented, 6, LATER + DAY)
    assert drop_addon(rented, "i-1", addon="ipv4", at=LATER + 2 * DAY, entered_at=LATER)
    assert not drop_addon(rented, "i-1", addon="ipv4", at=LATER + 2 * DAY, entered_at=LATER)
    assert addons(rented) == [
        (4, Span(LATER, LATER + DAY)), (6, Span(LATER + DAY, LATER + 2 * DAY)),
    ]  # fmt: skip
    with pytest.raises(RefusedError, match="has no add-on ipv4"):
        drop_addon(rented, "i-1", addon="ipv4", at=LATER + 3 * DAY, entered_at=LATER)
    with pytest.raises(RefusedError, match="has no add-on rent"):
        drop_addon(rented, "i-1", addon="rent", at=LATER, entered_at=LATER)


def test_a_late_addon_fits_in_before_the_next_change(rented: Connection) -> None:
    booked(rented, 6, LATER + DAY)
    assert booked(rented, 4, LATER)
    assert addons(rented) == [(4, Span(LATER, LATER + DAY)), (6, Span(LATER + DAY))]


def test_a_resize_leaves_addons_and_an_end_ends_them(rented: Connection) -> None:
    booked(rented, 4, START + DAY)
    resized(rented, "large", LATER)
    assert addons(rented) == [(4, Span(START + DAY))]
    assert [plan for plan, _, _ in versions(rented)] == ["small", "large"]
    end(rented, "i-1", LATER + DAY)
    assert addons(rented) == [(4, Span(START + DAY, LATER + DAY))]


def test_what_retention_dropped_changes_hands_no_more(rented: Connection) -> None:
    """Its windows are sums by now, of nobody in particular."""
    rented.execute("UPDATE store_mark SET dropped = %s", (LATER + HOUR,))
    before = load_scope(rented, "i-1")
    for run, _ in commands(rented, ordered()).values():
        with pytest.raises(RefusedError, match=r"Windows before \d{4}-\d\d-\d\d were dropped"):
            run()
    assert load_scope(rented, "i-1") == before
    rented.execute("UPDATE store_mark SET dropped = %s", (LATER,))
    assert end(rented, item="i-1", at=LATER, order=ordered())


@pytest.mark.parametrize(
    ("rule", "told", "trail"),
    [
        ("what something later covers", ["large 3", "large 6", "small 8"],
         ["item.resize True", "item.resize False", "item.resize True"]),
        ("the plan that it has", ["small 3"], ["item.resize False"]),
        ("the same again stores nothing", ["small 3", "small 3"], ["item.resize False"]),
        ("an answer to a request is none", ["large 3", "large 3 r-2"], ["item.resize True"]),
        ("inside what is in force", ["s2-9", "s3-5", "s3-5"],
         ["item.suspend True", "item.suspend False"]),
        ("ended where it ends", ["s2-9", "r9", "r9"], ["item.suspend True", "item.resume False"]),
    ],
)  # fmt: skip
def test_whatever_is_kept_is_in_the_trail(
    rented: Connection, rule: str, told: list[str], trail: list[str]
) -> None:
    """docs/operate.md: every act leaves a row; a choice that changes nothing yet may do so later,
    with what is told then.
    """
    catalog, before = two_plans()[0], kept(rented)
    for command in told:
        word, *rest = command.split()
        order = Order("op@host", "as agreed", rest[1] if rest[1:] else None)
        if word[0] in "sr" and word[1:2].isdigit():
            low, _, high = word[1:].partition("-")
            at, until = START + int(low) * DAY, START + int(high) * DAY if high else None
            if word[0] == "s":
                suspend(rented, "i-1", at=at, until=until, entered_at=LATER, order=order)
            else:
                resume(rented, "i-1", at=at, entered_at=LATER, order=order)
        else:
            at = START + int(rest[0]) * DAY
            resize(rented, "i-1", plan=word, at=at, catalog=catalog, entered_at=LATER, order=order)
    rows = newest(rented, Wanted(subject="item/i-1"), 9)[::-1]
    found = [
        f"{row.act.action} {row.said.after['changed']}"
        for row in rows
        if row.act and row.said and row.said.after and row.act.action != "item.rent"
    ]
    assert found == trail, rule
    assert kept(rented) - before == len(trail), rule


def kept(conn: Connection) -> int:
    """Choices, and commands on intervals."""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM item_choice) + (SELECT count(*) FROM timeline_change"
        " WHERE command IN ('suspend', 'resume'))"
    ).fetchone()
    assert row is not None
    return int(row[0])
