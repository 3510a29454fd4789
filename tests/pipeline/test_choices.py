"""What an item costs and who serves it, of what was chosen in whatever order (decision 0033)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.catalog import Catalog, Existing, load
from pipeline.choices import (
    Choice,
    Part,
    Priced,
    changed_from,
    chosen,
    follows_at,
    plan_at,
    priced,
    served,
)
from schemas.billing import Item, Span
from schemas.prices import Fee
from tests.pipeline.catalogs import HEAD

VERSIONS = (
    "v1", "v2", "v3", "large-only", "no-addon", "c", "open", "next", "large-c", "large-next",
    "own",
)  # fmt: skip
PLANS = """
[plan.small]
name = "Small"
rent = { price = "10.00 / month", tax = "hosting" }
[plan.large]
name = "Large"
rent = { price = "30.00 / month", tax = "hosting" }
[plan.twin]
name = "Twin"
rent = { price = "10.00 / month", tax = "hosting" }
[addon.ipv4]
name = "IPv4"
price = "1.70 / month"
tax = "hosting"
each = true
"""


def day(number: int) -> datetime:
    """Midnight at which that day of March begins."""
    return datetime(2026, 3, number, tzinfo=UTC)


def prices(version: str, without: str = "nothing") -> Catalog:
    """Each version at prices of its own; ``same`` costs what ``v1`` does."""
    own = PLANS.replace("0 / month", f"{VERSIONS.index(version)} / month")
    text = HEAD[: HEAD.index("[plan.p]")] + own.replace(f".{without}]", ".other]")
    return load(text.replace('"v1"', f'"{version}"'), version)


V1, V2, V3 = prices("v1"), prices("v2"), prices("v3")
SAME = replace(V1, version="same")
LARGE_ONLY, NO_ADDON = prices("large-only", "small"), prices("no-addon", "ipv4")
ITEM = Item("web", "web", "small", Span(day(1)))


def contract(
    name: str, low: int, high: int | None = None, base: Catalog = V1, without: str = "nothing"
) -> Catalog:
    end = day(high) if high else None
    return replace(prices(name, without), effective=day(low), until=end, then=base, scope="acme")


OWN = replace(contract("own", 10, 20), plans={"mine": V1.plans["small"]})
LISTS = (
    V1, SAME, V2, V3, LARGE_ONLY, NO_ADDON, OWN, contract("c", 10, 20), contract("open", 10),
    contract("next", 20), contract("large-c", 10, 20, LARGE_ONLY, "small"),
    contract("large-next", 20, None, LARGE_ONLY, "small"),
)  # fmt: skip


def choices(words: str) -> list[Choice]:
    """``1 small v1`` from the first on at those prices, ``5 2×ipv4 v1``, ``5 0×ipv4``, ``5 @s-2``
    served by another, ``16 all v2`` the prices of all, ``5 large c/v2`` by a contract where v2 was
    the newest catalogue; in the order in which they were given.
    """
    return [_choice(number, *one.split()) for number, one in enumerate(words.split(", "))]


def _choice(number: int, at: str, what: str, version: str = "") -> Choice:
    count, _, addon = what.partition("×")
    part, name, value = (
        (Part.PRICES, version, "") if what == "all" else
        (Part.SERVER, "", what[1:]) if what.startswith("@") else
        (Part.ADDON, addon, count) if addon else (Part.PLAN, "", what)
    )  # fmt: skip
    version, _, catalog = version.partition("/")
    return Choice(part, name, day(int(at)), value, version, number, catalog)


def said(rows: tuple[Priced, ...]) -> list[str]:
    """What, whose prices, from which day until when; in order of time."""
    found = []
    for one in rows:
        row, fee = one.row, one.row.price.quantity
        assert isinstance(fee, Fee)
        what = one.plan or f"{fee.count}×{row.charge}"
        end = row.valid.end.day if row.valid.end else ""
        found.append((row.valid.start, f"{what} {row.version} {row.valid.start.day}-{end}"))
    return [text for _, text in sorted(found)]


def costs(words: str, agreed: str = "", item: Item = ITEM) -> list[str]:
    """``c 10-20, d 20-``: from when to when contracts hold. In whatever order choices are read."""
    spans = {name: _span(days) for name, days in (one.split() for one in agreed.split(", ") if one)}
    return said(priced(item, choices(words)[::-1], LISTS, spans))


def _span(days: str) -> Span:
    low, _, high = days.partition("-")
    return Span(day(int(low)), day(int(high)) if high else None)


@pytest.mark.parametrize(
    ("rule", "words", "rows"),
    [
        ("as it was rented", "1 small v1", ["small v1 1-"]),
        ("a choice holds until the next one, whichever came first",
         "1 small v1, 10 small v1, 5 large v1",
         ["small v1 1-5", "large v1 5-10", "small v1 10-"]),
        ("said for a later day before: from the earlier one",
         "1 small v1, 20 large v1, 10 large v1", ["small v1 1-10", "large v1 10-"]),
        ("to say the plan again is no way to newer prices", "1 small v1, 10 small v2",
         ["small v1 1-"]),
        ("a plan comes with its prices", "1 small v1, 10 large v2",
         ["small v1 1-10", "large v2 10-"]),
        ("a number", "1 1×ipv4 v1, 5 3×ipv4 v2, 9 1×ipv4 v1",
         ["1×ipv4 v1 1-5", "3×ipv4 v2 5-9", "1×ipv4 v1 9-"]),
        ("none from a day on, and again", "5 1×ipv4 v1, 20 2×ipv4 v2, 10 0×ipv4",
         ["1×ipv4 v1 5-10", "2×ipv4 v2 20-"]),
        ("none has no prices to follow", "5 1×ipv4 v1, 10 0×ipv4, 16 all v2", ["1×ipv4 v1 5-10"]),
        ("a plan and a number are parts of their own, a server has no price",
         "1 @s-1, 1 small v1, 5 2×ipv4 v1, 10 large v1",
         ["small v1 1-10", "2×ipv4 v1 5-", "large v1 10-"]),
    ],
)  # fmt: skip
def test_what_was_chosen(rule: str, words: str, rows: list[str]) -> None:
    assert costs(words) == rows, rule


def test_only_while_it_is_rented() -> None:
    item = replace(ITEM, valid=Span(day(5), day(25)))
    assert costs("1 small v1, 20 large v1, 28 small v1", item=item) == [
        "small v1 5-20", "large v1 20-25",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "words", "rows"),
    [
        ("applied after it was chosen", "1 small v1, 16 all v2",
         ["small v1 1-16", "small v2 16-"]),
        ("an older one too", "1 small v2, 16 all v1", ["small v2 1-16", "small v1 16-"]),
        ("also when its day is earlier", "10 small v1, 5 all v2", ["small v2 10-"]),
        ("of the very day", "16 small v1, 16 all v2", ["small v2 16-"]),
        ("applied before: when it begins later and is newer", "16 all v2, 10 small v1",
         ["small v1 10-16", "small v2 16-"]),
        ("not when it is older", "16 all v1, 10 small v2", ["small v2 10-"]),
        ("nor the one whose prices it has", "20 all v1, 10 small v1, 16 all v2",
         ["small v1 10-16", "small v2 16-"]),
        ("not when it begins earlier", "16 all v2, 20 small v1", ["small v1 20-"]),
        ("nor of the very day", "16 all v2, 16 small v1", ["small v1 16-"]),
        ("a number follows as well", "16 all v2, 10 2×ipv4 v1",
         ["2×ipv4 v1 10-16", "2×ipv4 v2 16-"]),
        ("each until the next, whichever came first", "1 small v1, 16 all v2, 8 all v3",
         ["small v1 1-8", "small v3 8-16", "small v2 16-"]),
        ("of one day the one that was applied last", "1 small v1, 16 all v3, 16 all v2",
         ["small v1 1-16", "small v2 16-"]),
        ("one that lacks the plan says nothing", "1 small v1, 8 all large-only, 16 all v2",
         ["small v1 1-16", "small v2 16-"]),
        ("but of the plan that it has", "1 small v1, 10 large v1, 16 all large-only, 20 small v1",
         ["small v1 1-10", "large v1 10-16", "large large-only 16-20", "small v1 20-"]),
        ("one that lacks the add-on", "5 1×ipv4 v1, 8 all no-addon", ["1×ipv4 v1 5-"]),
        ("one that changes nothing makes no row", "1 small v1, 8 all same", ["small v1 1-"]),
        ("nor where something was said since", "1 small v1, 8 all same, 20 small v2",
         ["small v1 1-"]),
        ("nor is the row that goes on longer than that", "1 small v1, 8 all same, 16 large v1",
         ["small v1 1-16", "large v1 16-"]),
        ("a plan that costs the same is another", "1 small v1, 8 twin v1",
         ["small v1 1-8", "twin v1 8-"]),
        ("another plan at the same price does", "1 small v1, 8 large v1, 16 all same",
         ["small v1 1-8", "large v1 8-"]),
        ("of two that were applied to what begins after both the later one",
         "20 small v1, 16 all v2, 12 all v3", ["small v2 20-"]),
    ],
)  # fmt: skip
def test_price_lists_that_are_applied(rule: str, words: str, rows: list[str]) -> None:
    assert costs(words) == rows, rule


@pytest.mark.parametrize(
    ("rule", "words", "agreed", "rows"),
    [
        ("in its time, then its base", "1 small v1, 10 all c", "c 10-20",
         ["small v1 1-10", "small c 10-20", "small v1 20-"]),
        ("without an end", "1 small v1, 10 all open", "open 10-",
         ["small v1 1-10", "small open 10-"]),
        ("not of another scope", "1 small v1, 10 all c, 16 all v2", "",
         ["small v1 1-16", "small v2 16-"]),
        ("the next one ends it", "1 small v1, 20 all next, 10 all open", "open 10-20, next 20-",
         ["small v1 1-10", "small open 10-20", "small next 20-"]),
        ("even one that lacks the plan", "1 small v1, 10 all open, 20 all large-next",
         "open 10-20, large-next 20-", ["small v1 1-10", "small open 10-20", "small v1 20-"]),
        ("against a list that was applied before", "1 small v1, 16 all v2, 10 all c", "c 10-20",
         ["small v1 1-10", "small c 10-20", "small v1 20-"]),
        ("against one that was applied after", "1 small v1, 10 all c, 16 all v2", "c 10-20",
         ["small v1 1-10", "small c 10-20", "small v1 20-"]),
        ("a list from its end on", "1 small v1, 10 all c, 20 all v2", "c 10-20",
         ["small v1 1-10", "small c 10-20", "small v2 20-"]),
        ("a list from a day after it", "1 small v1, 10 all c, 25 all v2", "c 10-20",
         ["small v1 1-10", "small c 10-20", "small v1 20-25", "small v2 25-"]),
        ("it takes the place of what was chosen before it was applied",
         "1 small v1, 12 large v2, 10 all c", "c 10-20",
         ["small v1 1-10", "small c 10-12", "large c 12-20", "large v1 20-"]),
        ("and of what is chosen for a day before it", "1 small v1, 10 all c, 5 large v2", "c 10-20",
         ["small v1 1-5", "large v2 5-10", "large c 10-20", "large v1 20-"]),
        ("others that are given in its time stay, after it too",
         "1 small v1, 10 all c, 12 large v2", "c 10-20",
         ["small v1 1-10", "small c 10-12", "large v2 12-"]),
        ("of its first day", "1 small v1, 10 all c, 10 large v2", "c 10-20",
         ["small v1 1-10", "large v2 10-"]),
        ("its own are given in its time", "1 small v1, 10 all c, 12 large c", "c 10-20",
         ["small v1 1-10", "small c 10-12", "large c 12-20", "large v1 20-"]),
        ("which hold against a list that was applied after",
         "1 small v1, 10 all c, 12 large c, 16 all v2", "c 10-20",
         ["small v1 1-10", "small c 10-12", "large c 12-20", "large v1 20-"]),
        ("what is chosen for its end on", "1 small v1, 20 large v2, 10 all c", "c 10-20",
         ["small v1 1-10", "small c 10-20", "large v2 20-"]),
        ("a list is newer that is newer than its base",
         "25 all v2, 12 small c, 10 all c", "c 10-20",
         ["small c 12-20", "small v1 20-25", "small v2 25-"]),
        ("one that was told later ended it before: the newest catalogue that there was",
         "1 small v1, 10 all open, 25 large open/v3, 12 all c", "open 10-12, c 12-20",
         ["small v1 1-10", "small open 10-12", "small c 12-20", "small v1 20-25",
          "large v3 25-"]),
        ("also of what is rented then", "25 small open/v2, 10 all open", "open 10-12",
         ["small v2 25-"]),
        ("its base where that lacks what was chosen", "25 1×ipv4 open/no-addon, 10 all open",
         "open 10-12", ["1×ipv4 v1 25-"]),
        ("or is not known", "25 small open, 10 all open", "open 10-12", ["small v1 25-"]),
        ("what is applied later is followed", "25 small open/v2, 10 all open, 26 all v3",
         "open 10-12", ["small v2 25-26", "small v3 26-"]),
        ("also where it is one of another scope", "25 small open/v2", "", ["small v2 25-"]),
        ("what only it has keeps its price", "25 mine own, 10 all own", "own 10-12",
         ["mine own 25-"]),
        ("a later one holds", "25 small open, 10 all open, 20 all next", "open 10-20, next 20-",
         ["small next 25-"]),
        ("a plan of its own keeps its price after it", "1 small v1, 10 all own, 12 mine own",
         "own 10-20", ["small v1 1-12", "mine own 12-"]),
        ("until there is another", "1 small v1, 10 all own, 12 mine own, 25 small v1",
         "own 10-20", ["small v1 1-12", "mine own 12-25", "small v1 25-"]),
        ("one that lacks the plan says nothing", "1 small v1, 10 all large-c", "large-c 10-20",
         ["small v1 1-"]),
        ("a number", "5 1×ipv4 v1, 10 all c", "c 10-20",
         ["1×ipv4 v1 5-10", "1×ipv4 c 10-20", "1×ipv4 v1 20-"]),
    ],
)  # fmt: skip
def test_contracts(rule: str, words: str, agreed: str, rows: list[str]) -> None:
    assert costs(words, agreed) == rows, rule


def test_each_charge_of_a_plan_goes_on_for_itself() -> None:
    """Two of one price, in two versions that cost the same."""
    plan = V1.plans["small"]
    both = replace(plan, charges={**plan.charges, "help": plan.charges["rent"]})
    lists = [replace(one, plans={"small": both}) for one in (V1, SAME)]
    found = priced(ITEM, choices("1 small v1, 8 all same"), lists)
    assert [(one.row.charge, one.row.valid) for one in found] == [
        ("rent", Span(day(1))), ("help", Span(day(1))),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "servers"),
    [
        ("1 @s-1, 1 small v1", ["s-1 1-25"]),
        ("1 @s-1, 10 @s-1, 5 @s-2", ["s-1 1-5", "s-2 5-10", "s-1 10-25"]),
        ("1 @s-1, 5 @s-1, 10 @s-2, 26 @s-3", ["s-1 1-10", "s-2 10-25"]),
    ],
)
def test_who_serves_it(words: str, servers: list[str]) -> None:
    """Rented until the 25th."""
    found = served(replace(ITEM, valid=Span(day(1), day(25))), choices(words))
    assert {one.item for one in found} == {"web"}
    assert [f"{x.server} {x.valid.start.day}-{x.valid.end.day if x.valid.end else ''}"
            for x in found] == servers  # fmt: skip


SAID = choices("1 small v1, 20 large v1, 10 large v1, 5 1×ipv4 v1")


@pytest.mark.parametrize(
    ("at", "part", "name", "value"),
    [
        (1, Part.PLAN, "", "small"),
        (9, Part.PLAN, "", "small"),
        (10, Part.PLAN, "", "large"),
        (4, Part.ADDON, "ipv4", None),
        (5, Part.ADDON, "ipv4", "1"),
        (5, Part.ADDON, "ipv6", None),
        (5, Part.SERVER, "", None),
    ],
)
def test_what_holds_at_an_instant(at: int, part: Part, name: str, value: str | None) -> None:
    found = chosen(SAID, part, day(at), name)
    assert (found and found.value) == value


def test_the_plan_of_a_time() -> None:
    before = replace(ITEM, plan="as rented")
    plans = [plan_at(before, SAID[1:], day(at)).plan for at in (9, 10, 20)]
    assert plans == ["as rented", "large", "large"]


APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MAY_IN_BERLIN = datetime(2026, 4, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "existing", "effective", "applied", "zone", "follows"),
    [
        ("on the stated day", day(16), day(1), day(20), "UTC", day(16)),
        ("but in its time", day(16), day(18), day(1), "UTC", day(18)),
        ("or with the next month", Existing.AT_RENEWAL, day(1), day(5), "UTC", APRIL),
        ("the first that begins in its time", Existing.AT_RENEWAL, day(2), day(1), "UTC", APRIL),
        ("at its midnight", Existing.AT_RENEWAL, APRIL, day(5), "UTC", APRIL),
        ("the account's midnight", Existing.AT_RENEWAL, APRIL, day(5), "Europe/Berlin",
         MAY_IN_BERLIN),
    ],
)  # fmt: skip
def test_when_items_follow(
    rule: str, existing: Existing | datetime, effective: datetime, applied: datetime,
    zone: str, follows: datetime,
) -> None:  # fmt: skip
    catalog = replace(V2, existing=existing, effective=effective)
    assert follows_at(catalog, zone, applied) == follows, rule


@pytest.mark.parametrize(
    ("rule", "at", "before", "after", "rows"),
    [
        ("what goes on is one row", 10, "1 small v1", "1 small v1", ["small v1 1-"]),
        ("what was stays", 16, "1 small v1", "10 large v1", ["small v1 1-16", "large v1 16-"]),
        ("what comes", 10, "1 small v1", "1 small v1, 16 large v1",
         ["small v1 1-16", "large v1 16-"]),
        ("what was to come comes no more", 10, "1 small v1, 16 large v1", "1 small v1",
         ["small v1 1-"]),
        ("other prices begin then", 10, "1 small v1", "1 small v2",
         ["small v1 1-10", "small v2 10-"]),
        ("what is over by then is not asked", 10, "1 large v1, 5 small v1",
         "1 large v2, 10 small v1", ["large v1 1-5", "small v1 5-"]),
        ("a gap stays one", 10, "1 1×ipv4 v1, 5 0×ipv4", "1 1×ipv4 v1",
         ["1×ipv4 v1 1-5", "1×ipv4 v1 10-"]),
        ("each goes on for itself", 10, "1 small v1, 1 1×ipv4 v1", "1 small v1, 1 1×ipv4 v2",
         ["small v1 1-", "1×ipv4 v1 1-10", "1×ipv4 v2 10-"]),
    ],
)  # fmt: skip
def test_what_is_changed_from_an_instant_on(
    rule: str, at: int, before: str, after: str, rows: list[str]
) -> None:
    was, comes = (priced(ITEM, choices(words), LISTS) for words in (before, after))
    assert sorted(said(changed_from(day(at), was, comes))) == sorted(rows), rule
