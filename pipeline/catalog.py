"""The price list as a person writes it: TOML text and a name in, a frozen catalogue out. Pure.

One version per file; a published one never changes. Prices are texts, so that no binary fraction
can enter. Which items a new version touches is decided by who applies it; ``price_rows`` says what
an item of a plan costs from then on, ``addon_row`` what is added to it. The format is told in
``deploy/catalog/example.toml``, what differs for one customer is a ``pipeline.contract``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pipeline.catalog_charge import Addon, Plan, read_addon, read_plan
from pipeline.catalog_text import CatalogError, Table, parse
from pipeline.catalog_units import Known, read_units
from pipeline.money import minor_units
from pipeline.periods import midnight, zone
from schemas.billing import Item, PriceRow, Seller, Span
from schemas.errors import ConfigError
from schemas.prices import Fee, Unit

__all__ = [
    "Addon",
    "Catalog",
    "CatalogError",
    "Existing",
    "Plan",
    "addon_row",
    "addon_rows",
    "agreed_rows",
    "day",
    "load",
    "price_rows",
    "read",
    "rows_until",
]

_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_BANK_FIELDS: Final = ("iban", "bic")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")  # ISO 13616
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")  # ISO 9362
_SELLER_FIELDS: Final = ("entity", "name", "address", "vat_id", "timezone", "currency")


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
    addons: dict[str, Addon]
    until: datetime | None = None
    """When its prices end and those of ``then`` begin: a contract's end."""
    then: "Catalog | None" = None
    reason: str = ""
    """Why it is not the price list that everybody has."""


def load(text: str, name: str) -> Catalog:
    """Read a catalogue. Raises CatalogError, which names every mistake by file, line and mend."""
    file = parse(text, name)
    if "contract" in file.values:
        file.note("contract", "this is a contract, which is read with the catalogue of its base")
        file.mistakes.refuse()
    catalog = read(file)
    file.mistakes.refuse()
    return catalog


def read(file: Table) -> Catalog:
    """What the outermost table says; the caller refuses its mistakes."""
    file.only(("version", "effective", "existing", "seller", "tax", "unit", "plan", "addon"))
    seller = _seller(file)
    units, rates = read_units(file)
    known = Known(seller.currency, tuple(seller.tax), units, rates)
    plans = file.tables("plan", "write [plan.NAME] with a name and its charges")
    mend = "write [addon.NAME] with a name, a price and its tax"
    addons = file.tables("addon", mend) if "addon" in file.values else []
    return Catalog(
        version=file.text("version", 'write version = "2026-03"'),
        effective=day(file, "effective", seller.timezone),
        existing=_existing(file, seller.timezone),
        seller=seller,
        units=units,
        plans={table.name: read_plan(table, known) for table in plans},
        addons={table.name: read_addon(table, known) for table in addons},
    )


def price_rows(catalog: Catalog, item: Item) -> tuple[PriceRow, ...]:
    """What each charge of the item costs from this version on, as long as the item is rented.

    Where the version ends, the prices of the one that follows it come after.
    """
    plan = catalog.plans.get(item.plan)
    if plan is None:
        raise ConfigError(
            f'item {item.item} has the plan "{item.plan}", which catalogue {catalog.version}'
            f" does not have; its plans are {', '.join(sorted(catalog.plans))}"
        )
    start = max(item.valid.start, catalog.effective)
    end = min((e for e in (item.valid.end, catalog.until) if e is not None), default=None)
    rows = tuple(
        PriceRow(item.item, name, Span(start, end), charge, catalog.version, catalog.reason)
        for name, charge in plan.charges.items()
        if end is None or start < end
    )
    if catalog.until is None or catalog.then is None or end != catalog.until:
        return rows
    rest = replace(item, valid=Span(max(item.valid.start, catalog.until), item.valid.end))
    return (*rows, *price_rows(catalog.then, rest))


def agreed_rows(rows: Iterable[PriceRow], contract: Catalog, item: Item) -> tuple[PriceRow, ...]:
    """The rows until a contract begins, then what the item costs by it and after its end."""
    if item.plan not in contract.plans:
        return tuple(rows)
    return (*rows_until(rows, contract.effective), *price_rows(contract, item))


def rows_until(rows: Iterable[PriceRow], at: datetime) -> Iterator[PriceRow]:
    """What the rows say before an instant."""
    for row in rows:
        if row.valid.start < at:
            end = at if row.valid.end is None else min(row.valid.end, at)
            yield replace(row, valid=Span(row.valid.start, end))


def addon_rows(
    catalog: Catalog, item: Item, name: str, count: int, valid: Span
) -> tuple[PriceRow, ...]:
    """The same as ``addon_row``; where the version ends, the price of the one that follows it."""
    row = addon_row(catalog, item, name, count, valid)
    end, then = catalog.until, catalog.then
    if end is None or then is None or (valid.end is not None and valid.end <= end):
        return (row,)
    if valid.start >= end:
        return addon_rows(then, item, name, count, valid) if name in then.addons else (row,)
    rest = Span(end, valid.end)
    after = addon_rows(then, item, name, count, rest) if name in then.addons else ()
    return (*rows_until([row], end), *after) if after else (row,)


def addon_row(catalog: Catalog, item: Item, name: str, count: int, valid: Span) -> PriceRow:
    """What ``count`` of an add-on cost the item: a row of its own, by the add-on's name."""
    addon = catalog.addons.get(name)
    if addon is None:
        raise ConfigError(
            f'catalogue {catalog.version} has no add-on "{name}"; its add-ons are'
            f" {', '.join(sorted(catalog.addons)) or 'none'}"
        )
    plan = catalog.plans.get(item.plan)
    if plan is not None and name in plan.charges:
        raise ConfigError(f'add-on "{name}" is called like a charge of the plan "{item.plan}"')
    if count < 1 or (count > 1 and not addon.each):
        raise ConfigError(
            f'add-on "{name}" is booked once, not {count} times; each = true in its table of'
            " the catalogue allows more"
        )
    charge, fee = addon.charge, addon.charge.quantity
    if isinstance(fee, Fee):
        charge = replace(charge, quantity=replace(fee, count=fee.count * count))
    if charge.allowance is not None:
        more = replace(charge.allowance, quantity=charge.allowance.quantity * count)
        charge = replace(charge, allowance=more)
    return PriceRow(item.item, name, valid, charge, catalog.version)


def _seller(file: Table) -> Seller:
    table = file.table("seller", f"write [seller] with {', '.join(_SELLER_FIELDS)}")
    table.only((*_SELLER_FIELDS, *_BANK_FIELDS))
    return Seller(
        entity=table.text("entity", 'write a short name such as "rm-de"'),
        name=table.text("name", "write the company's name as it is registered"),
        address=table.texts("address", 'write its lines: ["Street 1", "10115 Berlin"]'),
        vat_id=table.text("vat_id", 'write the VAT number, for example "DE123456789"'),
        timezone=_known(table, "timezone", zone, "Europe/Berlin"),
        currency=_known(table, "currency", minor_units, "EUR"),
        tax=_tax(file),
        iban=_bank(table, "iban", _IBAN, "DE89370400440532013000"),
        bic=_bank(table, "bic", _BIC, "COBADEFFXXX"),
    )


def _bank(table: Table, key: str, pattern: re.Pattern[str], example: str) -> str:
    """Without spaces; nothing where it is not written."""
    if key not in table.values:
        return ""
    value = table.text(key, f'write for example "{example}"').replace(" ", "").upper()
    if not pattern.fullmatch(value):
        table.note(key, f'"{value}" cannot be one; write for example "{example}"')
    return value


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


def day(file: Table, key: str, timezone: str) -> datetime:
    """The local midnight at which the date of a field begins."""
    value = file.values.get(key)
    if isinstance(value, date) and not isinstance(value, datetime):
        return midnight(value.year, value.month, value.day, timezone)
    file.wrong(key, f"write a date without quotes: {key} = 2026-03-01")
    return datetime.fromtimestamp(0, UTC)


def _existing(file: Table, timezone: str) -> Existing | datetime:
    value = file.values.get("existing", Existing.KEEP.value)
    if isinstance(value, str):
        return Existing(file.choice("existing", [e.value for e in Existing], Existing.KEEP.value))
    return day(file, "existing", timezone)
