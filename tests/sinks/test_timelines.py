"""Commands on the timelines: what they write, repeat and refuse."""

import threading
from datetime import datetime, timedelta

import psycopg
import pytest

from pipeline.catalog import Catalog
from schemas.billing import Assignment, Item, Scope, Span
from schemas.errors import ConfigError, RefusedError
from schemas.serial import digest
from sinks.catalogs import apply
from sinks.changes import Answer
from sinks.database import Connection, connect
from sinks.scopes import load_scope, load_scopes, rented_scopes, scopes_of_servers
from sinks.timelines import add_account, assign, end, swap
from sinks.versions import published_text
from tests.fix_billing import START, a_catalog, rent_small

DAY = timedelta(days=1)
LATER = START + 10 * DAY


def servers_of(scope: Scope) -> list[tuple[str, datetime, datetime | None]]:
    return [(a.server, a.valid.start, a.valid.end) for a in scope.assignments]


def test_renting_writes_scope_item_server_and_prices(customer: Connection) -> None:
    assert rent_small(customer)
    scope = load_scope(customer, "i-1")
    assert (scope.account, scope.currency, scope.timezone) == ("acme", "EUR", "UTC")
    assert scope.items == (Item("i-1", "Server i-1", "small", Span(START)),)
    assert scope.assignments == (Assignment("s-1", "i-1", Span(START)),)
    assert [(row.charge, row.valid, row.version) for row in scope.prices] == [
        ("rent", Span(START), "v1"),
        ("traffic", Span(START), "v1"),
    ]
    included = scope.prices[1].price.allowance
    assert included is not None
    assert included.quantity == 100_000_000


def test_repeating_a_command_changes_nothing(customer: Connection) -> None:
    assert rent_small(customer)
    assert swap(customer, "i-1", "s-2", LATER, LATER)
    before = digest(load_scope(customer, "i-1"))
    assert not rent_small(customer)
    assert not swap(customer, "i-1", "s-2", LATER, LATER)
    assert digest(load_scope(customer, "i-1")) == before
    assert end(customer, "i-1", LATER + DAY)
    assert not end(customer, "i-1", LATER + DAY)
    assert not rent_small(customer)


def test_renting_at_once_rents_once(customer: Connection, billing_url: str) -> None:
    changed: list[Answer] = []

    def command() -> None:
        with connect(billing_url, autocommit=True) as conn:
            changed.append(rent_small(conn))

    threads = [threading.Thread(target=command) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, changed)) == [False, False, False, True]
    assert len(load_scope(customer, "i-1").prices) == 2


def test_ending_closes_item_server_and_prices(customer: Connection) -> None:
    rent_small(customer)
    end(customer, "i-1", LATER)
    scope = load_scope(customer, "i-1")
    spans = [row.valid for row in scope.items]
    spans += [row.valid for row in scope.assignments] + [row.valid for row in scope.prices]
    assert set(spans) == {Span(START, LATER)}
    assert scope.ended_at == LATER
    rent_small(customer, "i-2", "s-1", LATER)
    with pytest.raises(RefusedError, match="has ended already"):
        end(customer, "i-1", LATER + DAY)


def test_a_swap_hands_the_item_over_and_a_late_one_fits_in(customer: Connection) -> None:
    """s-1 |----|          |
    s-3      |-----|
    s-2            |------…"""
    rent_small(customer)
    assert swap(customer, "i-1", "s-2", LATER, LATER)
    assert assign(customer, "i-1", "s-3", LATER - DAY, LATER)
    assert servers_of(load_scope(customer, "i-1")) == [
        ("s-1", START, LATER - DAY),
        ("s-3", LATER - DAY, LATER),
        ("s-2", LATER, None),
    ]


def test_a_server_serves_one_item_at_a_time(customer: Connection) -> None:
    rent_small(customer)
    with pytest.raises(RefusedError, match=r"s-1 serves item i-1 from .* cannot serve item i-2"):
        rent_small(customer, "i-2", "s-1", LATER)
    assert load_scopes(customer, ["i-2"]) == {}
    rent_small(customer, "i-2", "s-2")
    with pytest.raises(RefusedError, match="s-2 serves item i-2"):
        swap(customer, "i-1", "s-2", LATER, LATER)
    assert servers_of(load_scope(customer, "i-1")) == [("s-1", START, None)]


@pytest.mark.parametrize("table", ["assignment", "item_price"])
def test_the_database_itself_refuses_an_overlap(customer: Connection, table: str) -> None:
    rent_small(customer)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        customer.execute(f"INSERT INTO {table} SELECT * FROM {table}")


def test_what_contradicts_the_books_is_refused(customer: Connection) -> None:
    rent_small(customer)
    swap(customer, "i-1", "s-2", LATER, LATER)
    with pytest.raises(RefusedError, match="first server s-1, not s-9"):
        rent_small(customer, server="s-9")
    with pytest.raises(RefusedError, match="start"):
        rent_small(customer, at=LATER)
    with pytest.raises(RefusedError, match="not rented"):
        swap(customer, "i-1", "s-3", START - DAY, LATER)
    with pytest.raises(RefusedError, match="cannot end there or before"):
        end(customer, "i-1", START)
    with pytest.raises(RefusedError, match="no item i-7"):
        end(customer, "i-7", LATER)
    with pytest.raises(RefusedError, match="no account nobody"):
        rent_small(customer, "i-3", "s-3", account="nobody")
    with pytest.raises(RefusedError, match="no price at"):
        rent_small(customer, "i-3", "s-3", at=datetime.fromisoformat("2025-12-31T23:00Z"))
    with pytest.raises(RefusedError, match="no rating scope"):
        load_scope(customer, "i-3")
    with pytest.raises(ValueError, match="no time zone"):
        rent_small(customer, "i-3", "s-3", at=START.replace(tzinfo=None))


def test_a_catalogue_that_was_not_applied_rents_nothing(billing: Connection) -> None:
    account(billing)
    with pytest.raises(RefusedError, match="v1 has not been applied"):
        rent_small(billing)
    assert load_scopes(billing, ["i-1"]) == {}


def account(conn: Connection, timezone: str = "UTC") -> bool:
    return add_account(
        conn,
        account="acme",
        name="Acme GmbH",
        country="DE",
        currency="EUR",
        timezone=timezone,
    )


def test_an_account_is_added_once_and_never_silently_changed(billing: Connection) -> None:
    assert account(billing)
    assert not account(billing)
    with pytest.raises(RefusedError, match="time zone 'UTC', not 'Asia/Tokyo'"):
        account(billing, "Asia/Tokyo")
    with pytest.raises(ConfigError, match="Mars"):
        account(billing, "Mars/Olympus")


def seal(conn: Connection, scope: str, until: datetime) -> None:
    conn.execute(
        "INSERT INTO scope_seal VALUES (%s, %s, %s, %s, 'digest', NULL)",
        (scope, START, until, until),
    )


def test_a_catalogue_for_a_sealed_time_makes_its_periods_due(customer: Connection) -> None:
    rent_small(customer)
    seal(customer, "i-1", LATER)
    applied = apply(customer, *repriced(existing="2026-03-02"), LATER)
    assert applied.late == (("i-1", START),)
    rows = customer.execute("SELECT scope_id, period_start, why FROM adjust_due").fetchall()
    assert rows == [("i-1", START, "price")]


def repriced(existing: str) -> tuple[Catalog, str]:
    quoted = existing if existing[0] == "2" else f'"{existing}"'
    return a_catalog(**{'"v1"': '"v2"', '"keep"': quoted, "1.00 / MB": "2.00 / MB"})


@pytest.mark.parametrize(
    ("existing", "change_at"),
    [
        ("keep", None),
        ("at_renewal", datetime.fromisoformat("2026-04-01T00:00Z")),
        ("2026-03-20", datetime.fromisoformat("2026-03-20T00:00Z")),
    ],
)
def test_a_new_version_follows_existing(
    customer: Connection, existing: str, change_at: datetime | None
) -> None:
    rent_small(customer)
    catalog, text = repriced(existing)
    applied = apply(customer, catalog, text, LATER)
    assert applied.items == (() if change_at is None else ("i-1",))
    rows = [row for row in load_scope(customer, "i-1").prices if row.charge == "traffic"]
    expected = [("v1", Span(START, change_at))]
    if change_at is not None:
        expected.append(("v2", Span(change_at)))
    assert [(row.version, row.valid) for row in rows] == expected
    assert not apply(customer, catalog, text, LATER + DAY).published
    assert published_text(customer, "v2") == text


def test_a_version_replaced_before_it_came_into_force_never_does(customer: Connection) -> None:
    rent_small(customer)
    apply(customer, *repriced("at_renewal"), LATER)
    third = a_catalog(**{'"v1"': '"v3"', '"keep"': '"at_renewal"', "1.00 / MB": "3.00 / MB"})
    apply(customer, *third, LATER + DAY)
    prices = [row for row in load_scope(customer, "i-1").prices if row.charge == "traffic"]
    assert [row.version for row in prices] == ["v1", "v3"]


def test_a_published_version_never_changes(customer: Connection) -> None:
    catalog, text = a_catalog()
    with pytest.raises(RefusedError, match="is published and this file differs"):
        apply(customer, catalog, text + "# a word", LATER)


def test_servers_lead_to_their_scopes(customer: Connection) -> None:
    rent_small(customer)
    rent_small(customer, "i-2", "s-2")
    swap(customer, "i-1", "s-3", LATER, LATER)
    end(customer, "i-2", LATER)
    rent_small(customer, "i-3", "s-2", LATER)
    asked = ["s-1", "s-2", "s-3", "s-4"]
    assert scopes_of_servers(customer, asked, START) == {
        "s-1": ["i-1"],
        "s-2": ["i-2", "i-3"],
        "s-3": ["i-1"],
    }
    assert scopes_of_servers(customer, asked, LATER) == {"s-2": ["i-3"], "s-3": ["i-1"]}

    def rented(start: datetime, end: datetime) -> list[str]:
        return [one.scope for one in rented_scopes(customer, Span(start, end), None)]

    assert rented(START, LATER) == ["i-1", "i-2"]
    assert rented(LATER, LATER + DAY) == ["i-1", "i-3"]


def test_a_shared_window_shows_that_it_is_shared_and_no_more(customer: Connection) -> None:
    """10:00    :02 :03      :05
    i-1   |-----|
    i-2               |------…"""
    cut = LATER + timedelta(minutes=2)
    rent_small(customer)
    end(customer, "i-1", cut)
    rent_small(customer, "i-2", "s-1", cut + timedelta(minutes=1))
    first, second = load_scope(customer, "i-1"), load_scope(customer, "i-2")
    edge = LATER + timedelta(minutes=5)
    assert [a for a in first.assignments if a.item == ""] == [
        Assignment("s-1", "", Span(cut + timedelta(minutes=1), edge))
    ]
    assert [a for a in second.assignments if a.item == ""] == [
        Assignment("s-1", "", Span(LATER, cut))
    ]
