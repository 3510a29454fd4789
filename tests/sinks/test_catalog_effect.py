"""What changed prices mean for the last whole month: by plans, add-ons, contracts and their terms.

Each server meters 150 MB in March, of which 100 are included: 40.00 of capped rent and 50.00 of
traffic at 1.00 a MB.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.catalog import Catalog, load
from pipeline.contract import load_contract
from schemas.billing import Span
from sinks.alterations import add_addon, resize
from sinks.catalog_effect import Agreed, agreed_on, between, effects, in_force, without_plan
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection
from sinks.timelines import end
from sinks.versions import read_contract
from tests.fix_billing import CATALOG, START, TX, a_catalog, meter_windows, rent_small

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, tzinfo=UTC)
NOW = APRIL + timedelta(days=9)
ADDONS = """
[addon.ipv4]
name = "IPv4 address"
price = "2.00 / month"
each = true
tax = "hosting"
[addon.ssd]
name = "SSD"
price = "7.00 / month"
tax = "hosting"
[plan.big]
name = "Big server"
rent = { price = "99.00 / month", tax = "hosting" }
"""
CONTRACT = """
contract = "acme-2026"
base = "v1"
scope = "i-1"
effective = 2026-05-01
"""
TERMS = """
[discount.loyal]
percent = "10 %"
[commitment.least]
amount = "100.00 / month"
tax = "hosting"
[commitment.year]
amount = "9000.00 / year"
tax = "hosting"
[discount.later]
amount = "5.00 / month"
from = 2026-08-01
"""


def listed(**changes: str) -> Catalog:
    text = CATALOG + ADDONS
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return load(text, "test.toml")


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """Two small servers, the first with three addresses and an SSD."""
    for number in (1, 2):
        rent_small(customer, f"i-{number}", f"s-{number}")
        meter_windows(customer, f"s-{number}", {(TX, "eth0"): [100_000_000, 50_000_000]})
    catalog = listed(v1="v1-more")
    apply(customer, catalog, (CATALOG + ADDONS).replace("v1", "v1-more"), START)
    for addon, count in (("ipv4", 3), ("ssd", 1)):
        add_addon(customer, "i-1", addon=addon, count=count, at=START, catalog=catalog, entered_at=START)  # fmt: skip  # noqa: E501
    return customer


def told(conn: Connection, old: Catalog, new: Catalog, at: datetime = NOW) -> dict[str, str]:
    found = effects(conn, between(conn, old, new, at), at)
    return {one.scope: f"{one.before} {one.after} {one.change:+}" for one in found}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # 40.00 + 50.00 and 3 × 2.00 + 7.00 for the first server
        ("1.00 / MB", "2.00 / MB", {"i-1": "103.00 153.00 +50.00", "i-2": "90.00 140.00 +50.00"}),
        ("2.00 / month", "2.50 / month", {"i-1": "103.00 104.50 +1.50"}),
        ("7.00 / month", "6.00 / month", {"i-1": "103.00 102.00 -1.00"}),
        ("99.00 / month", "89.00 / month", {}),
        ("Small server", "Little server", {}),
        ("[addon.ipv4]", "[addon.ipv6]", {}),
        ("[plan.small]", "[plan.little]", {}),
    ],
)
def test_what_every_item_concerned_would_have_cost(
    rented: Connection, old: str, new: str, expected: dict[str, str]
) -> None:
    assert told(rented, listed(), listed(**{old: new})) == expected


def test_an_item_with_a_known_end_is_concerned_until_then(rented: Connection) -> None:
    end(rented, "i-2", at=NOW + timedelta(days=1), entered_at=NOW)
    dearer = listed(**{"1.00 / MB": "2.00 / MB"})
    assert set(told(rented, listed(), dearer)) == {"i-1", "i-2"}
    later = NOW + timedelta(days=1)
    assert {one.item.item for one in between(rented, listed(), dearer, later)} == {"i-1"}


def test_items_of_a_contract_are_left_out(rented: Connection) -> None:
    """docs/price.md, Contracts: "until then a new catalogue leaves its items alone"."""
    text = CONTRACT.replace("2026-05-01", "2026-04-01")
    apply_contract(rented, read_contract(rented, text, "acme.toml"), text, NOW)
    dearer = listed(**{"1.00 / MB": "2.00 / MB"})
    assert told(rented, listed(), dearer) == {"i-2": "90.00 140.00 +50.00"}


def test_items_of_a_contract_to_come_are_not(rented: Connection) -> None:
    """A list that is applied changes them until it begins: `apply` says so, and so does `diff`."""
    text = CONTRACT.replace("2026-05-01", "2026-06-01")
    apply_contract(rented, read_contract(rented, text, "acme.toml"), text, NOW)
    changed = {"1.00 / MB": "2.00 / MB", "v1": "v2", '"keep"': '"at_renewal"'}
    dearer = listed(**changed)
    text = CATALOG + ADDONS
    for old, new in changed.items():
        text = text.replace(old, new)
    concerned = between(rented, listed(), dearer, NOW)
    with rented.transaction(force_rollback=True):
        applied = apply(rented, dearer, text, NOW)
    assert {one.item.item for one in concerned} == {*applied.items} == {"i-1", "i-2"}
    assert {one.start for one in applied.touched} == {MAY}


def test_an_item_is_named_from_when_it_costs_something_else(rented: Connection) -> None:
    """It becomes big on the 20th of May, and big alone costs more by the list of the first."""
    twentieth = MAY + timedelta(days=19)
    resize(
        rented, "i-1", plan="big", at=twentieth, catalog=listed(v1="v1-more"), entered_at=NOW
    )  # fmt: skip
    text = (CATALOG + ADDONS).replace('"v1"', '"v2"').replace('"keep"', '"at_renewal"')
    text = text.replace("99.00 / month", "120.00 / month")
    applied = apply(rented, load(text, "v2"), text, NOW)
    assert [(one.item.item, one.start) for one in applied.touched] == [("i-1", twentieth)]
    [effect] = effects(rented, applied.touched, NOW)
    assert (effect.before, effect.after) == (Decimal("112.00"), Decimal("133.00"))  # 13.00 more


def test_a_plan_that_a_list_lacks_is_that_of_when_it_is_followed(rented: Connection) -> None:
    resize(
        rented, "i-1", plan="big", at=NOW + timedelta(days=5), catalog=listed(v1="v1-more"),
        entered_at=NOW,
    )  # fmt: skip
    poorer = listed(**{"[plan.big]": "[plan.huge]", '"keep"': '"at_renewal"'})
    assert without_plan(rented, poorer, NOW) == [("i-1", "acme", "big")]


def test_a_contract_is_compared_for_its_scope(rented: Connection) -> None:
    text = CONTRACT + '[plan.small]\ntraffic.price = "0.50 / MB"\n'
    contract = load_contract(text, "acme.toml", CATALOG)
    base = a_catalog()[0]
    assert told(rented, base, contract.catalog) == {"i-1": "103.00 78.00 -25.00"}
    assert told(rented, contract.catalog, base) == {"i-1": "78.00 103.00 +25.00"}


@pytest.mark.parametrize(
    ("terms", "before", "after"),
    [
        (TERMS, "103.00", "100.00"),  # 92.70, 7.30 lack; no year ends, and "later" is not yet
        ('[discount.off]\namount = "30.00 / month"\n', "103.00", "73.00"),
        (TERMS + '[plan.small]\ntraffic.price = "2.00 / MB"\n', "103.00", "137.70"),  # 153 − 15.30
    ],
)
def test_the_terms_of_a_contract_count(
    rented: Connection, terms: str, before: str, after: str
) -> None:
    contract = read_contract(rented, CONTRACT + terms, "acme.toml")
    agreed = agreed_on(rented, contract)
    applied = apply_contract(rented, contract, CONTRACT + terms, NOW)
    [effect] = effects(rented, applied.touched, NOW, agreed)
    assert (effect.account, effect.scope, effect.period) == ("acme", "i-1", Span(START, APRIL))
    assert (effect.before, effect.after) == (Decimal(before), Decimal(after))
    assert agreed_on(rented, contract).before == agreed.after


def test_the_next_contract_is_compared_with_the_one_before(rented: Connection) -> None:
    first = CONTRACT.replace("2026-05-01", "2026-03-01") + '[discount.a]\npercent = "10 %"\n'
    apply_contract(rented, read_contract(rented, first, "a.toml"), first, START)
    text = CONTRACT.replace("acme-2026", "acme-2027") + '[discount.b]\npercent = "20 %"\n'
    contract = read_contract(rented, text, "b.toml")
    agreed = agreed_on(rented, contract)
    applied = apply_contract(rented, contract, text, NOW)
    assert applied.touched == ()
    [effect] = effects(rented, applied.touched, NOW, agreed)
    assert (effect.items, effect.before, effect.after) == ((), Decimal("92.70"), Decimal("82.40"))


def test_terms_that_stay_mean_nothing(rented: Connection) -> None:
    contract = load_contract(CONTRACT + TERMS, "acme.toml", CATALOG)
    terms = in_force((contract.discounts, contract.commitments), contract.valid.start)
    assert [one.name for one in terms[0]] == ["loyal"]
    assert effects(rented, [], NOW, Agreed("i-1", terms, terms)) == []
