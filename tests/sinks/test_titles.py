"""What an item is called: as somebody said, else as its plan is by the version of its price.

An upgrade finds what nobody said, and changes no other title.
"""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from pipeline.catalog import load
from schemas.errors import RefusedError
from sinks.alterations import add_addon, resize
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection, connect, migrate
from sinks.item_facts import facts
from sinks.migrations import revisions
from sinks.scopes import load_scope
from sinks.timelines import add_account, end, hand_over, rent
from sinks.versions import read_contract
from tests.fix_billing import CATALOG, START
from tests.fix_stack import MakeDatabase

DAY = timedelta(days=1)
PLAN = CATALOG[CATALOG.index("[plan.small]") :]
TEXT = (
    CATALOG.replace('"v1"', '"v2"')
    + PLAN.replace("small", "large").replace("Small", "Large").replace("0.10", "0.30")
    + '[addon.ipv4]\nname = "IPv4"\nprice = "1.70 / month"\ntax = "hosting"\neach = true\n'
)
V2 = load(TEXT, "v2")


def day(number: int) -> datetime:
    return START + (number - 1) * DAY


@pytest.fixture
def conn(customer: Connection) -> Connection:
    apply(customer, V2, TEXT, START)
    add_account(customer, account="bolt", name="Bolt", country="DE", currency="EUR", timezone="UTC")
    return customer


def renting(conn: Connection, item: str = "i-1", title: str | None = None) -> bool:
    return rent(
        conn, item=item, title=title, plan="small", account="acme", server=f"s-{item}", at=START,
        catalog=V2, entered_at=START,
    ).changed  # fmt: skip


def resized(conn: Connection, plan: str, number: int, item: str = "i-1") -> None:
    resize(conn, item, plan=plan, at=day(number), catalog=V2, entered_at=START)


def named(conn: Connection, item: str = "i-1") -> list[tuple[str, int]]:
    """What it is called and from which day of March on."""
    [found] = load_scope(conn, item).items
    return [(one.title, (one.since - START).days + 1) for one in found.named]


def shown(conn: Connection, item: str = "i-1") -> tuple[str, str]:
    row = conn.execute("SELECT plan, title FROM item_now WHERE item_id = %s", (item,)).fetchone()
    assert row is not None
    found = facts(conn, item)
    assert (found["plan"], found["title"]) == row, "one item, wherever it is asked"
    return row


def test_without_a_title_it_is_called_as_its_plan(conn: Connection) -> None:
    renting(conn)
    resized(conn, "large", 10)
    resized(conn, "small", 20)
    assert named(conn) == [("Small server", 1), ("Large server", 10), ("Small server", 20)]
    assert shown(conn) == ("small", "Small server")
    end(conn, "i-1", day(15))
    assert shown(conn) == ("large", "Large server")


def test_a_title_that_was_given_stays(conn: Connection) -> None:
    renting(conn, title="web-1")
    resized(conn, "large", 10)
    assert (named(conn), load_scope(conn, "i-1").items[0].title) == ([], "web-1")
    assert shown(conn) == ("large", "web-1")


def test_the_version_of_the_price_says_the_name(conn: Connection) -> None:
    """A list that costs the same leaves prices alone, and so the name; a contract has its own."""
    renting(conn)
    for version, old, new in (("v3", "0.10", "0.10"), ("v4", "0.10", "0.20")):
        text = TEXT.replace('"v2"', f'"{version}"').replace(old, new).replace("Small", version)
        text = text.replace('"keep"', "2026-03-10")
        apply(conn, load(text, version), text, START + DAY)
    assert named(conn) == [("Small server", 1), ("v4 server", 10)]
    text = 'contract = "c"\nbase = "v2"\nscope = "i-1"\neffective = 2026-03-20\n'
    text += '[plan.small]\nname = "For Acme"\nrent.price = "0.05 / hour"\n'
    apply_contract(conn, read_contract(conn, text, "c"), text, START + DAY)
    assert named(conn)[-1] == ("For Acme", 20)


def test_an_addon_names_nothing(conn: Connection) -> None:
    renting(conn)
    add_addon(conn, "i-1", addon="ipv4", count=2, at=day(5), catalog=V2, entered_at=START)
    resized(conn, "large", 10)
    assert named(conn) == [("Small server", 1), ("Large server", 10)]


def test_a_hand_over_has_the_title_that_it_says(conn: Connection) -> None:
    for item, title in (("i-1", None), ("i-2", "web-2"), ("i-3", "web-3")):
        renting(conn, item, title)
        resized(conn, "large", 5, item)
        hand_over(
            conn, item, to=item.replace("i", "b"), account="bolt", at=day(10), catalog=V2,
            entered_at=START, title="own" if item == "i-3" else None,
        )  # fmt: skip
    assert [shown(conn, b) for b in ("b-1", "b-2", "b-3")] == [
        ("large", "Large server"), ("large", "Large server"), ("large", "own"),
    ]  # fmt: skip


def test_to_rent_it_again_with_another_title_is_refused(conn: Connection) -> None:
    renting(conn)
    assert not renting(conn)
    with pytest.raises(RefusedError, match="already with title of its plan, not web-1"):
        renting(conn, title="web-1")


def test_what_was_known_had_another_plan(conn: Connection) -> None:
    renting(conn)
    later = resize(conn, "i-1", plan="large", at=day(2), catalog=V2, entered_at=day(9))
    assert later
    before, now = facts(conn, "i-1", day(8)), facts(conn, "i-1", day(10))
    assert [one["plan"] for one in (before, now)] == ["small", "large"]
    assert [one["title"] for one in (before, now)] == ["Small server", "Large server"]


def test_facts_tell_plans_and_addons_in_time(conn: Connection) -> None:
    renting(conn)
    resized(conn, "large", 10)
    for count, number in ((2, 5), (4, 12)):
        add_addon(
            conn, "i-1", addon="ipv4", count=count, at=day(number), catalog=V2, entered_at=START
        )
    found = facts(conn, "i-1")
    assert [(p["plan"], p["title"], p["version"], p["from"]) for p in found["plans"]] == [
        ("small", "Small server", "v2", day(1)), ("large", "Large server", "v2", day(10)),
    ]  # fmt: skip
    assert all(a["to"] == b["from"] for a, b in pairwise(found["plans"]))
    assert [(a["addon"], a["count"], a["version"], a["from"]) for a in found["addons"]] == [
        ("ipv4", 2, "v2", day(5)), ("ipv4", 4, "v2", day(12)),
    ]  # fmt: skip


# -- an upgrade ------------------------------------------------------------------------------------

BEFORE = revisions()[revisions().index("0020_titles") - 1]
OLD = {
    "plain": ("Small server", True),
    "given": ("web-1", False),
    "other": ("Large server", False),
    "agreed": ("For Acme", True),
    "handed": ("Small server", True),
    "handed-given": ("web-1", False),
    "handed-named": ("Small server", False),
}
"""Title of each item, and whether nobody gave it."""


@pytest.fixture
def upgraded(make_database: MakeDatabase) -> Connection:
    """Each item rented small, by v2 or a contract; what was handed over is large."""
    url = make_database()
    migrate(url, to=BEFORE)
    with connect(url, autocommit=True) as conn:
        contract = '[plan.small]\nname = "For Acme"\n'
        conn.execute(
            "INSERT INTO account (account_id, name, country, currency, timezone)"
            " VALUES ('acme', 'Acme', 'DE', 'EUR', 'UTC')"
        )
        for version, body in (("v2", TEXT), ("c", contract), ("bad", "no = TOML =")):
            conn.execute(
                "INSERT INTO catalog_version VALUES (%s, %s, 'd', %s, %s)",
                (version, START, body, START),
            )
        conn.execute("INSERT INTO rating_scope VALUES ('s', 'acme')")
        conn.execute(
            "INSERT INTO contract (version, base, scope_id, valid, discounts, commitments,"
            " entered_at) VALUES ('c', 'v2', 's', '[2026-03-01Z,)', '[]', '[]', now())"
        )
        for item, (title, _) in OLD.items():
            plan = "large" if item.startswith("handed") else "small"
            version = "c" if item == "agreed" else "v2"
            conn.execute(
                "INSERT INTO item (item_id, scope_id, title, plan, valid) VALUES"
                " (%s, 's', %s, 'large', tstzrange(%s, NULL))",
                (item, title, START),
            )
            for name, choice, value in (("", "plan", plan), ("ipv4", "addon", "2")):
                conn.execute(
                    "INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (item, choice, name, START, value, version, START),
                )
                conn.execute(
                    "INSERT INTO item_price (item_id, charge, valid, price, version, entered_at,"
                    " plan) VALUES (%s, %s, tstzrange(%s, NULL), '{}', %s, %s, %s)",
                    (item, name or "rent", START, version, START, "stale" if name else plan),
                )
        for number, (old, new, given) in enumerate(
            (("plain", "handed", None), ("given", "handed-given", None),
             ("plain", "handed-named", "Small server"))
        ):  # fmt: skip
            conn.execute(
                "INSERT INTO timeline_change VALUES (%s, NULL, 'hand-over', jsonb_build_object("
                "'item', %s::text, 'to', %s::text, 'title', %s::text), %s, %s, 'op', '', '{}',"
                " '{}')",
                (number, old, new, given, START, START),
            )
    migrate(url)
    return connect(url, autocommit=True)


def test_an_upgrade_takes_out_titles_that_nobody_gave(upgraded: Connection) -> None:
    with upgraded as conn:
        rows = conn.execute("SELECT item_id, title FROM item").fetchall()
        assert {item: not title for item, title in rows} == {
            item: bare for item, (_, bare) in OLD.items()
        }
        assert {title for _, title in rows if title} == {
            title for title, bare in OLD.values() if not bare
        }
        assert conn.execute("SELECT count(*) FROM item_past").fetchone() == (0,)
        shown: dict[str, str] = dict(conn.execute("SELECT item_id, title FROM item_now").fetchall())
        assert (shown["plain"], shown["agreed"]) == ("Small server", "For Acme")
        assert (shown["handed"], shown["given"]) == ("Large server", "web-1")


def test_an_upgrade_knows_what_versions_call_their_plans(upgraded: Connection) -> None:
    """A contract its own names over those of its base; the price of an add-on is of no plan."""
    with upgraded as conn:
        assert conn.execute("SELECT * FROM catalog_plan ORDER BY 1, 2").fetchall() == [
            ("c", "large", "Large server"), ("c", "small", "For Acme"),
            ("v2", "large", "Large server"), ("v2", "small", "Small server"),
        ]  # fmt: skip
        rows = conn.execute("SELECT DISTINCT charge, plan FROM item_price ORDER BY 1, 2").fetchall()
        assert rows == [("ipv4", ""), ("rent", "large"), ("rent", "small")]
        assert conn.execute("SELECT count(*) FROM item_price_past").fetchone() == (0,)
