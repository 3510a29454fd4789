"""The price list: what the files say, and what a person is told about each mistake."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.catalog import Existing, addon_row, load, price_rows
from pipeline.catalog_units import family
from schemas.billing import Item, PriceRow, Span
from schemas.errors import ConfigError
from schemas.meters import METERS
from schemas.prices import Allowance, Charge, Fee, Hours, PerUnit, Sum, Unit

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
EFFECTIVE = datetime(2023, 12, 31, 23, tzinfo=UTC)
TB = Unit("TB", "net.bytes", 10**12, Decimal("0.001"))
NAME = "deploy/catalog/demo.toml"
DEMO = (FOLDER / "demo.toml").read_text("utf-8")


def changed(*changes: tuple[str, str]) -> str:
    """The demo's price list with each first occurrence replaced."""
    text = DEMO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


CATALOGUES = [path for path in sorted(FOLDER.glob("*.toml")) if path.stem in {"demo", "example"}]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.name))
def test_every_file_of_the_folder_is_good(path: Path) -> None:
    assert load(path.read_text("utf-8"), path.name).plans


class TestDemo:
    """The figures that the demo's invoices come from."""

    CATALOG = load(DEMO, NAME)

    def test_head(self) -> None:
        catalog = self.CATALOG
        assert (catalog.version, catalog.effective) == ("demo-1", EFFECTIVE)
        assert catalog.existing is Existing.KEEP
        seller = catalog.seller
        assert (seller.entity, seller.name) == ("rm-de", "Rackmeter Hosting GmbH")
        assert (seller.timezone, seller.currency) == ("Europe/Berlin", "EUR")
        assert seller.tax == {"hosting": Decimal("19")}
        assert catalog.units["TB"] == TB

    def test_plan(self) -> None:
        plan = self.CATALOG.plans["ax-hourly"]
        assert (plan.name, plan.title) == ("ax-hourly", "AX server, by the hour")
        assert plan.charges["rent"] == Charge(
            Hours(), PerUnit(Decimal("0.0833")), "hosting", cap=Decimal("49.00")
        )
        assert plan.charges["traffic"] == Charge(
            Sum(("net.tx_bytes",), TB),
            PerUnit(Decimal("1.29")),
            "hosting",
            Allowance(20 * 10**12),
            alerts=(50, 80, 100),
        )

    def test_small_plan(self) -> None:
        traffic = self.CATALOG.plans["demo-hourly"].charges["traffic"]
        assert traffic.allowance == Allowance(256 * 10**6, prorate=False)
        assert (traffic.model, traffic.unit.name) == (PerUnit(Decimal("2.00")), "GB")


class TestPriceRows:
    CATALOG = load(DEMO, NAME)

    def rows(self, *valid: datetime, plan: str = "ax-hourly") -> tuple[PriceRow, ...]:
        return price_rows(self.CATALOG, Item("web", "web-1", plan, Span(*valid)))

    def test_one_row_a_charge_as_long_as_the_item_is_rented(self) -> None:
        span = Span(datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 5, 6, tzinfo=UTC))
        rows = self.rows(span.start, datetime(2026, 5, 6, tzinfo=UTC))
        assert [(row.item, row.charge) for row in rows] == [("web", "rent"), ("web", "traffic")]
        assert {(row.valid, row.version) for row in rows} == {(span, "demo-1")}

    def test_no_price_before_the_version_is_effective(self) -> None:
        before = datetime(2023, 6, 1, tzinfo=UTC)
        assert {row.valid for row in self.rows(before)} == {Span(EFFECTIVE)}
        assert self.rows(before, EFFECTIVE) == ()

    def test_an_unknown_plan_names_the_known_ones(self) -> None:
        with pytest.raises(ConfigError, match=r'plan "ax", .* ax-hourly, ax-large-hourly, demo-ho'):
            self.rows(EFFECTIVE, plan="ax")


class TestAddons:
    """What a rented item gets besides its plan."""

    CATALOG = load((FOLDER / "example.toml").read_text("utf-8"), "example.toml")
    ITEM = Item("web", "web-1", "ax-hourly", Span(EFFECTIVE))

    def row(self, name: str, count: int = 1) -> PriceRow:
        return addon_row(self.CATALOG, self.ITEM, name, count, Span(EFFECTIVE))

    def test_four_addresses_are_one_row(self) -> None:
        row = self.row("ipv4", 4)
        assert (row.item, row.charge, row.version) == ("web", "ipv4", "2026-03")
        assert row.price.quantity == Fee(count=4)

    def test_two_packs_bring_twice_their_traffic(self) -> None:
        assert self.row("bw-10tb", 2).price.allowance == Allowance(20 * 10**12, pool="traffic-eu")

    @pytest.mark.parametrize(
        ("name", "count", "said"),
        [
            ("ipv5", 1, 'has no add-on "ipv5"; its add-ons are bw-100tb, bw-10tb'),
            ("ssd-3840", 2, 'add-on "ssd-3840" is booked once, not 2 times; each = true'),
            ("ipv4", 0, "not 0 times"),
        ],
    )
    def test_what_cannot_be_booked(self, name: str, count: int, said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            self.row(name, count)

    def test_a_name_that_the_plan_has_already(self) -> None:
        text = DEMO + '[addon.rent]\nname = "Rent"\nprice = "1.00 / month"\ntax = "hosting"\n'
        with pytest.raises(ConfigError, match='is called like a charge of the plan "ax-hourly"'):
            addon_row(load(text, NAME), self.ITEM, "rent", 1, Span(EFFECTIVE))


def test_an_account_to_pay_to_is_without_spaces() -> None:
    bank = 'currency = "EUR"\niban = "de89 3704 0044 0532 0130 00"\nbic = "COBADEFFXXX"'
    seller = load(changed(('currency = "EUR"', bank)), NAME).seller
    assert (seller.iban, seller.bic) == ("DE89370400440532013000", "COBADEFFXXX")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("iban", "DE1", "it cannot be one; write for example"),
        ("bic", "COBA", "it cannot be one; write for example"),
        ("iban", "DE88 3704 0044 0532 0130 00", "its check digits do not fit: some character is"),
    ],
)
def test_an_account_that_cannot_be_one(key: str, value: str, said: str) -> None:
    wrong = f'currency = "EUR"\n{key} = "{value}"'
    with pytest.raises(ConfigError, match=f'seller.{key}: found "{value}"; {said}'):
        load(changed(('currency = "EUR"', wrong)), NAME)


def test_an_existing_date_is_a_midnight_of_the_seller() -> None:
    catalog = load(changed(('"keep"', "2026-03-01")), NAME)
    assert catalog.existing == datetime(2026, 2, 28, 23, tzinfo=UTC)


def test_a_provider_may_have_meters_of_its_own() -> None:
    text = changed(
        (
            'sum = ["net.tx_bytes"], source = "agent"',
            'sum = ["net.uplink_bytes"], source = "switch"',
        ),
        ('gap = "interpolate"', 'gap = "zero"'),
    )
    used = load(text, NAME).plans["ax-hourly"].charges["traffic"].quantity
    assert isinstance(used, Sum)
    assert (used.meters, used.source, used.gap) == (("net.uplink_bytes",), "switch", "zero")


@pytest.mark.parametrize("meter", sorted(METERS))
def test_meters_of_a_family_have_one_base_unit(meter: str) -> None:
    same = [other for other in METERS if family(other) == family(meter)]
    assert {METERS[other].unit for other in same} == {METERS[meter].unit}
