"""The price list as a person writes it: TOML text and a name in, a frozen catalogue out. Pure.

One version per file; a published one never changes. Prices are texts, so that no binary fraction
can enter. Which items a new version touches is decided by who applies it; ``price_rows`` says what
an item of a plan costs from then on. The format is told in ``deploy/catalog/example.toml``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pipeline.catalog_charge import Charge, Plan, read_plan
from pipeline.catalog_text import CatalogError, Table, parse
from pipeline.money import minor_units
from pipeline.periods import midnight, zone
from schemas.billing import Item, PriceRow, Seller, Span, Unit
from schemas.errors import ConfigError

__all__ = ["Catalog", "CatalogError", "Charge", "Existing", "Plan", "load", "price_rows"]

_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_STEP: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_METER: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_UNIT_MEND: Final = 'write TB = { of = "net.bytes", is = 1_000_000_000_000, step = "0.001" }'
_SELLER_FIELDS: Final = ("entity", "name", "address", "vat_id", "timezone", "currency")

BYTES: Final = {f"{letter}B": 1000**i for i, letter in enumerate("kMGTP", 1)} | {
    f"{letter}iB": 1024**i for i, letter in enumerate("KMGTP", 1)
}
"""IEC 80000-13: a TB is 10**12 bytes, a TiB 2**40; a tenth of the bill lies between them."""


class Existing(StrEnum):
    """What a new version does to items that have a price already. A date: from then on."""

    KEEP = "keep"
    AT_RENEWAL = "at_renewal"


@dataclass(frozen=True, slots=True)
class Catalog:
    """One version of the price list of one seller."""

    version: str
    effective: datetime
    """Local midnight of the seller, in UTC."""
    existing: Existing | datetime
    seller: Seller
    units: dict[str, Unit]
    plans: dict[str, Plan]


def load(text: str, name: str) -> Catalog:
    """Read a catalogue. Raises CatalogError, which names every mistake by file, line and mend."""
    file = parse(text, name)
    file.only(("version", "effective", "existing", "seller", "tax", "unit", "plan"))
    seller = _seller(file)
    units = {table.name: _unit(table) for table in file.tables("unit", _UNIT_MEND)}
    plans = file.tables("plan", "write [plan.NAME] with a name and its charges")
    catalog = Catalog(
        version=file.text("version", 'write version = "2026-03"'),
        effective=_day(file, "effective", seller.timezone),
        existing=_existing(file, seller.timezone),
        seller=seller,
        units=units,
        plans={table.name: read_plan(table, seller, units) for table in plans},
    )
    file.mistakes.refuse()
    return catalog


def price_rows(catalog: Catalog, item: Item) -> tuple[PriceRow, ...]:
    """What each charge of the item costs from this version on, as long as the item is rented."""
    plan = catalog.plans.get(item.plan)
    if plan is None:
        raise ConfigError(
            f'item {item.item} has the plan "{item.plan}", which catalogue {catalog.version}'
            f" does not have; its plans are {', '.join(sorted(catalog.plans))}"
        )
    start = max(item.valid.start, catalog.effective)
    if item.valid.end is not None and item.valid.end <= start:
        return ()
    valid = Span(start, item.valid.end)
    return tuple(
        PriceRow(item.item, name, valid, charge.model, charge.tax, catalog.version)
        for name, charge in plan.charges.items()
    )


def _seller(file: Table) -> Seller:
    table = file.table("seller", f"write [seller] with {', '.join(_SELLER_FIELDS)}")
    table.only(_SELLER_FIELDS)
    return Seller(
        entity=table.text("entity", 'write a short name such as "rm-de"'),
        name=table.text("name", "write the company's name as it is registered"),
        address=table.texts("address", 'write its lines: ["Street 1", "10115 Berlin"]'),
        vat_id=table.text("vat_id", 'write the VAT number, for example "DE123456789"'),
        timezone=_known(table, "timezone", zone, "Europe/Berlin"),
        currency=_known(table, "currency", minor_units, "EUR"),
        tax=_tax(file),
    )


def _known(table: Table, key: str, check: Callable[[str], object], example: str) -> str:
    """A text that ``check`` accepts; a mistake in its own words when it does not."""
    value = table.text(key, f'write for example "{example}"') or example
    try:
        check(value)
    except ConfigError as error:
        table.note(key, str(error))
        return example
    return value


def _tax(file: Table) -> dict[str, Decimal]:
    table = file.table("tax", 'write [tax] with a rate for each category: hosting = "19 %"')
    rates = {
        key: table.match(key, _PERCENT, 'write a percentage, for example "19 %"')
        for key in table.values
    }
    return {key: Decimal(rate[1] if rate else 0) for key, rate in rates.items()}


def _unit(table: Table) -> Unit:
    table.only(("of", "is", "step"))
    of = table.match("of", _METER, 'write a meter or family of meters, for example "net.bytes"')
    step = table.match("step", _STEP, 'write the step billed, in quotes, for example "0.001"')
    if step and not Decimal(step[0]):
        table.wrong("step", 'write a step above zero, for example "0.001"')
    base = table.values.get("is")
    if not isinstance(base, int) or isinstance(base, bool) or base < 1:
        table.wrong("is", "write how many base units it is, for example 1_000_000_000_000")
        base = 1
    elif of and of[0].endswith("bytes") and BYTES.get(table.name, base) != base:
        table.wrong(
            "is", f"a {table.name} is {BYTES[table.name]:_} bytes: write that, or rename it"
        )
    return Unit(table.name, of[0] if of else "", base, Decimal(step[0] if step else 1))


def _day(file: Table, key: str, timezone: str) -> datetime:
    value = file.values.get(key)
    if isinstance(value, date) and not isinstance(value, datetime):
        return midnight(value.year, value.month, value.day, timezone)
    file.wrong(key, f"write a date without quotes: {key} = 2026-03-01")
    return datetime.fromtimestamp(0, UTC)


def _existing(file: Table, timezone: str) -> Existing | datetime:
    value = file.values.get("existing", Existing.KEEP.value)
    if isinstance(value, str):
        return Existing(file.choice("existing", [e.value for e in Existing], Existing.KEEP.value))
    return _day(file, "existing", timezone)
