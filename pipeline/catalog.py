"""The price list as a person writes it: TOML text and a name in, a frozen catalogue out. Pure.

One version per file; a published one never changes. Prices are texts, so that no binary fraction
can enter. Which items a new version touches is decided by who applies it; ``price_rows`` says what
an item of a plan costs from then on, ``addon_row`` what is added to it. The format is told in
``deploy/catalog/example.toml``, what differs for one customer is a ``pipeline.contract``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.catalog_charge import Addon, Plan, read_addon, read_plan
from pipeline.catalog_head import Existing, day, read_existing, read_seller, version
from pipeline.catalog_text import CatalogError, Table
from pipeline.catalog_toml import parse
from pipeline.catalog_units import Known, read_units
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
    "day",
    "load",
    "price_rows",
    "read",
    "rows_until",
]


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
    scope: str = ""
    """The rating scope that a contract holds for."""
    rates: frozenset[str] = frozenset()
    """Units that are by the second."""


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
    seller = read_seller(file)
    units, rates = read_units(file)
    legible = isinstance(file.values.get("unit", {}), dict)
    known = Known(seller.currency, tuple(seller.tax), units, rates, legible=legible)
    effective = day(file, "effective", seller.timezone)
    mend = "write [plan.NAME] with a name and its charges"
    plans = file.tables("plan", mend)
    if file.values.get("plan") == {}:
        file.note("plan", f"there is none; {mend}")
    mend = "write [addon.NAME] with a name, a price and its tax"
    addons = file.tables("addon", mend) if "addon" in file.values else []
    return Catalog(
        version=version(file, "version", "2026-03"),
        effective=effective,
        existing=read_existing(file, seller.timezone, effective),
        seller=seller,
        units=units,
        plans={table.name: read_plan(table, known) for table in plans},
        addons={table.name: read_addon(table, known) for table in addons},
        rates=rates,
    )


def price_rows(catalog: Catalog, item: Item) -> tuple[PriceRow, ...]:
    """What each charge of the item costs from this version on, as long as the item is rented.

    Where the version ends, the prices of the one that follows it come after, if that has the plan.
    """
    plan = catalog.plans.get(item.plan)
    if plan is None:
        raise ConfigError(
            f'item {item.item} has the plan "{item.plan}", which catalogue {catalog.version}'
            f" does not have; its plans are {', '.join(sorted(catalog.plans))}"
        )
    then = catalog.then if catalog.then and item.plan in catalog.then.plans else None
    until = catalog.until if then or catalog.then is None else None
    start = max(item.valid.start, catalog.effective)
    end = min((e for e in (item.valid.end, until) if e is not None), default=None)
    rows = tuple(
        PriceRow(item.item, name, Span(start, end), charge, catalog.version, catalog.reason)
        for name, charge in plan.charges.items()
        if end is None or start < end
    )
    if until is None or then is None or end != until:
        return rows
    rest = replace(item, valid=Span(max(item.valid.start, until), item.valid.end))
    return (*rows, *price_rows(then, rest))


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
