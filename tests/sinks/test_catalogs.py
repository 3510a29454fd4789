"""Publishing price lists and contracts: which items change, when, and what that comes to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from pipeline.contract import Contract
from schemas.billing import Span
from schemas.errors import ConfigError, RefusedError
from schemas.prices import Fee, PerUnit
from schemas.terms import Discount
from sinks.alterations import add_addon, resize
from sinks.catalog_effect import Effect, between, effects
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection
from sinks.scopes import load_scope
from sinks.timelines import add_account, end
from sinks.versions import published, read_contract
from tests.fix_billing import START, TX, a_catalog, meter_windows, rent_small

DAY = timedelta(days=1)
APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5))
ADDONS = """
[addon.ipv4]
name = "IPv4 address"
price = "2.00 / month"
each = true
tax = "hosting"
"""
CONTRACT = """
contract = "acme-2026"
base = "v1"
scope = "i-1"
effective = 2026-04-01
until = 2026-05-01
[plan.small]
traffic.price = "0.50 / MB"
[discount.loyal]
percent = "10 %"
"""


def agreed(conn: Connection, **changes: str) -> tuple[Contract, str]:
    text = CONTRACT
    for old, new in changes.items():
        text = text.replace(old, new)
    return read_contract(conn, text, "acme.toml"), text


def rows(conn: Connection, charge: str, item: str = "i-1") -> list[tuple[str, Span]]:
    prices = load_scope(conn, item).prices
    return [(row.version, row.valid) for row in prices if row.charge == charge]


class TestContract:
    def test_it_holds_for_its_scope_and_its_time(self, customer: Connection) -> None:
        rent_small(customer)
        rent_small(customer, "i-2", "s-2")
        applied = apply_contract(customer, *agreed(customer), START)
        assert (applied.published, applied.items) == (True, ("i-1",))
        assert rows(customer, "traffic") == [
            ("v1", Span(START, APRIL)),
            ("acme-2026", Span(APRIL, MAY)),
            ("v1", Span(MAY)),
        ]
        assert rows(customer, "traffic", "i-2") == [("v1", Span(START))]
        scope = load_scope(customer, "i-1")
        assert scope.discounts == (Discount("loyal", Span(APRIL, MAY), percent=Decimal(10)),)
        assert {r.reason for r in scope.prices if r.version == "acme-2026"} == {
            "contract acme-2026"
        }
        assert not load_scope(customer, "i-2").discounts

    def test_what_is_rented_before_it_begins_changes_when_it_does(
        self, customer: Connection
    ) -> None:
        """Agreed in March for April; rented in March after that, into the same scope."""
        rent_small(customer)
        apply_contract(customer, *agreed(customer), START)
        rent_small(customer, "i-2", "s-2", at=START + DAY, scope="i-1")
        found = [row for row in load_scope(customer, "i-1").prices if row.item == "i-2"]
        assert [(r.version, r.valid) for r in found if r.charge == "traffic"] == [
            ("v1", Span(START + DAY, APRIL)),
            ("acme-2026", Span(APRIL, MAY)),
            ("v1", Span(MAY)),
        ]
        rent_small(customer, "i-3", "s-3", at=START + DAY)
        assert rows(customer, "traffic", "i-3") == [("v1", Span(START + DAY))]

    def test_applying_it_again_changes_nothing(self, customer: Connection) -> None:
        rent_small(customer)
        apply_contract(customer, *agreed(customer), START)
        before = load_scope(customer, "i-1")
        assert not apply_contract(customer, *agreed(customer), START + DAY).published
        assert load_scope(customer, "i-1") == before
        with pytest.raises(RefusedError, match="acme-2026 is published and this file differs"):
            apply_contract(customer, *agreed(customer, **{"0.50": "0.40"}), START)

    def test_the_next_contract_ends_the_one_before(self, customer: Connection) -> None:
        rent_small(customer)
        apply_contract(customer, *agreed(customer, **{"until = 2026-05-01": ""}), START)
        later = {"acme-2026": "acme-2027", "2026-04-01": "2026-04-11", "until = 2026-05-01": ""}
        apply_contract(customer, *agreed(customer, **later), START + DAY)
        change = APRIL + 10 * DAY
        assert [d.valid for d in load_scope(customer, "i-1").discounts] == [
            Span(APRIL, change), Span(change),
        ]  # fmt: skip

    @pytest.mark.parametrize("first", ["acme-2026", "acme-2027"])
    def test_in_whichever_order_they_are_entered(self, customer: Connection, first: str) -> None:
        """acme-2027 begins where acme-2026 ends; it was entered before that one, or after it."""
        rent_small(customer)
        both = {
            "acme-2026": agreed(customer),
            "acme-2027": agreed(customer, **{
                "acme-2026": "acme-2027", "2026-04-01": "2026-05-01", "until = 2026-05-01": "",
                "0.50": "0.70", "10 %": "20 %",
            }),
        }  # fmt: skip
        for name in (first, *(both.keys() - {first})):
            apply_contract(customer, *both[name], START)
        assert rows(customer, "traffic") == [
            ("v1", Span(START, APRIL)),
            ("acme-2026", Span(APRIL, MAY)),
            ("acme-2027", Span(MAY)),
        ]
        assert [(d.valid, int(d.percent)) for d in load_scope(customer, "i-1").discounts] == [
            (Span(APRIL, MAY), 10), (Span(MAY), 20),
        ]  # fmt: skip

    def test_a_resize_before_it_begins_leaves_it(self, customer: Connection) -> None:
        """To the plan that it has, at a price list that is newer than the contract."""
        rent_small(customer)
        apply_contract(customer, *agreed(customer), START)
        newer, text = a_catalog(**{'"v1"': '"v2"', "1.00 / MB": "2.00 / MB"})
        apply(customer, newer, text, START + DAY)
        resize(customer, "i-1", plan="small", at=START + DAY, catalog=newer, entered_at=START)
        assert rows(customer, "traffic")[1:] == [("acme-2026", Span(APRIL, MAY)), ("v1", Span(MAY))]

    @pytest.mark.parametrize(("timezone", "hour"), [("Asia/Tokyo", -9), ("America/New_York", 4)])
    def test_it_begins_with_the_customers_day(
        self, customer: Connection, timezone: str, hour: int
    ) -> None:
        """Else it would begin within a month of his and count a part of it."""
        add_account(
            customer, account="far", name="Far", country="JP", currency="EUR", timezone=timezone
        )
        rent_small(customer, account="far")
        apply_contract(customer, *agreed(customer), START)
        there = timedelta(hours=hour)
        [discount] = load_scope(customer, "i-1").discounts
        assert discount.valid == Span(APRIL + there, MAY + there)
        assert rows(customer, "traffic")[1] == ("acme-2026", discount.valid)

    @pytest.mark.parametrize("entered", [START, APRIL + 2 * DAY])
    def test_an_item_that_ends_in_its_time_has_its_prices(
        self, customer: Connection, entered: datetime
    ) -> None:
        """Whether the contract was entered before the end or after it."""
        rent_small(customer)
        end(customer, "i-1", APRIL + DAY)
        apply_contract(customer, *agreed(customer), entered)
        assert rows(customer, "traffic")[1:] == [("acme-2026", Span(APRIL, APRIL + DAY))]

    def test_what_was_agreed_is_known_as_it_was(self, customer: Connection) -> None:
        rent_small(customer)
        apply_contract(customer, *agreed(customer), START)
        change = {"acme-2026": "acme-2027", "until = 2026-05-01": "", "10 %": "20 %"}
        apply_contract(customer, *agreed(customer, **change), START + 2 * DAY)
        scopes = [load_scope(customer, "i-1", at) for at in (START + DAY, START + 3 * DAY, None)]
        assert [[d.percent for d in scope.discounts] for scope in scopes] == [[10], [20], [20]]
        assert load_scope(customer, "i-1", START - DAY).discounts == ()

    def test_a_new_catalogue_leaves_its_items_alone_until_it_ends(
        self, customer: Connection
    ) -> None:
        rent_small(customer)
        rent_small(customer, "i-2", "s-2")
        apply_contract(customer, *agreed(customer), START)
        text = {'"v1"': '"v2"', '"keep"': '"at_renewal"', "1.00 / MB": "2.00 / MB"}
        assert apply(customer, *a_catalog(**text), START + DAY).items == ("i-2",)

    def test_newly_rented_at_the_price_of_the_contract(self, customer: Connection) -> None:
        rent_small(customer)
        apply_contract(customer, *agreed(customer), START)
        catalog = published(customer, "acme-2026")
        assert catalog is not None
        assert catalog.plans["small"].charges["traffic"].model == PerUnit(Decimal("0.50"))

    @pytest.mark.parametrize(
        ("old", "new", "error", "said"),
        [
            ('"v1"', '"v0"', ConfigError, "base: v0 is no published catalogue; apply that one"),
            ('"i-1"', '"i-9"', RefusedError, "There is no rating scope i-9: rent an item in it"),
        ],
    )
    def test_refused(
        self, customer: Connection, old: str, new: str, error: type[Exception], said: str
    ) -> None:
        rent_small(customer)
        with pytest.raises(error, match=said):
            apply_contract(customer, *agreed(customer, **{old: new}), START)


class TestAddons:
    """Booked rows stay booked when a new version comes; their price follows it."""

    def book(self, conn: Connection, count: int) -> None:
        catalog, text = a_catalog(**{"[plan.small]": f"{ADDONS}[plan.small]", '"v1"': '"v2"'})
        apply(conn, catalog, text, START)
        add_addon(
            conn, "i-1", addon="ipv4", count=count, at=START, catalog=catalog, entered_at=START
        )

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (("2.00 / month", "3.00 / month"), [("v2", Span(START, APRIL)), ("v3", Span(APRIL))]),
            (("[addon.ipv4]", "[addon.ipv6]"), [("v2", Span(START))]),
        ],
    )
    def test_addons_follow_where_the_new_version_has_them(
        self, customer: Connection, change: tuple[str, str], expected: list[tuple[str, Span]]
    ) -> None:
        rent_small(customer)
        self.book(customer, 4)
        changes = {
            "[plan.small]": f"{ADDONS.replace(*change)}[plan.small]",
            '"v1"': '"v3"', '"keep"': '"at_renewal"', "1.00 / MB": "2.00 / MB",
        }  # fmt: skip
        apply(customer, *a_catalog(**changes), START + DAY)
        assert rows(customer, "ipv4") == expected
        found = [r for r in load_scope(customer, "i-1").prices if r.charge == "ipv4"]
        assert {row.price.quantity for row in found} == {Fee(count=4)}

    @pytest.mark.parametrize("agreed_first", [True, False])
    def test_in_a_contract_they_cost_its_price_for_its_time(
        self, customer: Connection, agreed_first: bool
    ) -> None:
        """Booked in March; the contract is for April, agreed on before or after the booking."""
        rent_small(customer)
        catalog, text = a_catalog(**{"[plan.small]": f"{ADDONS}[plan.small]", '"v1"': '"v2"'})
        apply(customer, catalog, text, START)
        cheaper = '[addon.ipv4]\nprice = "1.50 / month"\n[discount'
        terms = {'base = "v1"': 'base = "v2"', "[discount": cheaper}

        def agree() -> None:
            apply_contract(customer, *agreed(customer, **terms), START)

        def book() -> None:
            add_addon(
                customer, "i-1", addon="ipv4", count=4, at=START + DAY, catalog=catalog,
                entered_at=START,
            )  # fmt: skip

        for act in (agree, book) if agreed_first else (book, agree):
            act()
        found = [r for r in load_scope(customer, "i-1").prices if r.charge == "ipv4"]
        assert [(r.version, r.valid, r.price.model) for r in found] == [
            ("v2", Span(START + DAY, APRIL), PerUnit(Decimal("2.00"))),
            ("acme-2026", Span(APRIL, MAY), PerUnit(Decimal("1.50"))),
            ("v2", Span(MAY), PerUnit(Decimal("2.00"))),
        ]
        assert {row.price.quantity for row in found} == {Fee(count=4)}

    def test_in_a_contract_without_the_plan_they_cost_its_price(self, customer: Connection) -> None:
        rent_small(customer)
        self.book(customer, 4)
        text = f"{ADDONS}[plan.other]".replace("2.00 / month", "1.50 / month")
        other, words = a_catalog(**{"[plan.small]": text, '"v1"': '"v3"'})
        apply(customer, other, words, START + DAY)
        terms = {
            'base = "v1"': 'base = "v3"',
            CONTRACT[CONTRACT.index("[plan") :]: "",
        }
        apply_contract(customer, *agreed(customer, **terms), START + DAY)
        assert rows(customer, "ipv4")[1] == ("acme-2026", Span(APRIL)), "its base costs the same"


def test_items_that_would_cost_the_same_are_left_alone(customer: Connection) -> None:
    rent_small(customer)
    applied = apply(customer, *a_catalog(**{'"v1"': '"v2"', '"keep"': '"at_renewal"'}), START + DAY)
    assert (applied.published, applied.items) == (True, ())
    assert rows(customer, "rent") == [("v1", Span(START))]


def test_a_published_version_cannot_be_changed_by_sql(customer: Connection) -> None:
    rent_small(customer)
    apply_contract(customer, *agreed(customer), START)
    for change in (
        "UPDATE catalog_version SET body = ''",
        "DELETE FROM catalog_version",
        "UPDATE contract SET discounts = '[]'",
        "DELETE FROM contract",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
            customer.execute(change)


class TestEffect:
    """150 MB of which 100 are included, in March: 50.00 at 1.00 a MB, 100.00 at 2.00."""

    NOW = APRIL + 9 * DAY
    CHANGES = {'"v1"': '"v2"', '"keep"': '"at_renewal"', "1.00 / MB": "2.00 / MB"}  # noqa: RUF012

    def world(self, conn: Connection) -> None:
        rent_small(conn)
        meter_windows(conn, "s-1", {(TX, "eth0"): [100_000_000, 50_000_000]})

    def check(self, found: list[Effect]) -> None:
        [effect] = found
        assert (effect.account, effect.scope, effect.items) == ("acme", "i-1", ("i-1",))
        assert effect.period == Span(START, APRIL)
        assert (effect.before, effect.after) == (Decimal("90.00"), Decimal("140.00"))
        assert (effect.change, effect.currency) == (Decimal("50.00"), "EUR")

    def test_of_applying(self, customer: Connection) -> None:
        self.world(customer)
        with customer.transaction(force_rollback=True):
            applied = apply(customer, *a_catalog(**self.CHANGES), self.NOW)
            self.check(effects(customer, applied.touched, self.NOW))
        [one] = applied.touched
        assert (one.account, one.item.item, one.start) == ("acme", "i-1", MAY)
        assert published(customer, "v2") is None

    def test_between_two_versions(self, customer: Connection) -> None:
        self.world(customer)
        old, new = a_catalog()[0], a_catalog(**self.CHANGES)[0]
        self.check(effects(customer, between(customer, old, new, self.NOW), self.NOW))
        assert between(customer, old, old, self.NOW) == []

    def test_of_an_item_that_was_not_there(self, customer: Connection) -> None:
        rent_small(customer, at=self.NOW)
        applied = apply(customer, *a_catalog(**self.CHANGES), self.NOW)
        [effect] = effects(customer, applied.touched, self.NOW)
        assert (effect.before, effect.after) == (Decimal(0), Decimal(0))
