"""Reads a usage file: what is rented or planned, in a month, as ``price`` wants it. Pure.

TOML or JSON, by the name of the file. Nothing of a ledger is needed: each item stands for a server
of its own. ``deploy/catalog/usage.toml`` explains every field.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from pipeline.catalog import Catalog, addon_row
from pipeline.catalog_text import CatalogError, Mistakes, Table
from pipeline.catalog_toml import parse
from pipeline.catalog_units import AMOUNT, minor
from pipeline.periods import closed, following, midnight, month, zone
from pipeline.quote_earlier import earlier
from pipeline.quote_time import Stretches, intervals, rented, stretches
from pipeline.quote_usage import measured_by, metered
from pipeline.rating.lots import packs_of
from schemas.billing import (
    Assignment,
    Inputs,
    Interval,
    Item,
    PriceRow,
    Samples,
    Scope,
    Span,
    Usage,
)
from schemas.errors import ConfigError
from schemas.terms import Commitment, Credit, CreditKind, Discount, TaxMode, TaxProfile

NAMES: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""Meters are keys here."""
ITEM: Final = (
    "plan", "count", "from", "until", "resize", "addons", "usage", "windows", "intervals",
)  # fmt: skip
MANY: Final = 10_000
"""Items alike, or add-ons of one."""
DAY: Final = timedelta(days=1)
_PERIOD: Final = re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])")
_CREDIT: Final = re.compile(AMOUNT)
_ITEM_MEND: Final = 'write [item.NAME] with plan = "…" and what it used'


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be priced."""

    scope: Scope
    inputs: Inputs
    profile: TaxProfile
    credits: tuple[Credit, ...]
    silent: tuple[str, ...]
    """Meters that a charge measures and the file does not give, ``item meter``: counted as none."""


@dataclass(frozen=True, slots=True)
class _One:
    """One item with all that belongs to it."""

    item: Item
    prices: tuple[PriceRow, ...]
    usage: tuple[Usage, ...]
    samples: tuple[Samples, ...]
    intervals: tuple[Interval, ...]
    silent: tuple[str, ...]


def read_usage(
    text: str,
    name: str,
    catalog: Catalog,
    discounts: tuple[Discount, ...] = (),
    commitments: tuple[Commitment, ...] = (),
) -> Request:
    """The request of a file. Raises CatalogError, which names every mistake."""
    file = _file(text, name)
    file.only(("period", "timezone", "tax", "item", "credit", "earlier"))
    timezone = _timezone(file, catalog.seller.timezone)
    period = _period(file, timezone)
    _in_force(file, catalog, period)
    ones = [
        one
        for table in file.tables("item", _ITEM_MEND)
        for one in _items(table, catalog, period, timezone)
    ]
    mode = TaxMode(file.choice("tax", [m.value for m in TaxMode], TaxMode.EXCLUSIVE.value))
    tables = file.tables("credit", "write [credit.NAME]") if "credit" in file.values else []
    credits_ = tuple(_credit(t, catalog, period) for t in tables)
    spent, lots = earlier(file, catalog, commitments, closed(following(period, timezone)))
    file.mistakes.refuse()
    scope = Scope(
        scope="quote",
        account="quote",
        currency=catalog.seller.currency,
        timezone=timezone,
        items=tuple(one.item for one in ones),
        assignments=tuple(Assignment(o.item.item, o.item.item, o.item.valid) for o in ones),
        prices=tuple(row for one in ones for row in one.prices),
        intervals=tuple(row for one in ones for row in one.intervals),
        discounts=discounts,
        commitments=commitments,
    )
    usage = tuple(row for one in ones for row in one.usage)
    samples = tuple(row for one in ones for row in one.samples)
    silent = tuple(said for one in ones for said in one.silent)
    # Where a pool is said to have something left, that is what its packs of earlier months have.
    said = {lot.pot for lot in lots}
    packs = packs_of(scope, Span(period.start - DAY, period.start))
    lots += tuple(replace(pack, left=0) for pack in packs if pack.pot in said)
    inputs = Inputs(period, usage, samples, spent, lots=lots)
    return Request(scope, inputs, TaxProfile(mode), credits_, silent)


def timezone_of(text: str, name: str) -> str:
    """The customer's zone, if the file says one that there is: by it a contract is read."""
    file = _file(text, name)
    return _timezone(file, "") if isinstance(file.values.get("timezone"), str) else ""


def _file(text: str, name: str) -> Table:
    return _json(text, name) if name.endswith(".json") else parse(text, name, NAMES)


def _json(text: str, name: str) -> Table:
    try:
        values = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        said = f"{name}:{error.lineno}: not JSON: {error.msg}"
        raise CatalogError(said) from error
    except (ValueError, RecursionError) as error:
        said = f"{name}:1: not JSON that can be read: too many digits, or things inside each other"
        raise CatalogError(said) from error
    if not isinstance(values, dict):
        raise CatalogError(f"{name}:1: not an object: write period and item")
    return Table(values, (), Mistakes(name, {}))


def _timezone(file: Table, default: str) -> str:
    if "timezone" not in file.values:
        return default
    value = file.text("timezone", 'write an IANA name, for example "Europe/Berlin"') or default
    try:
        zone(value)
    except ConfigError as error:
        file.note("timezone", str(error))
        return default
    return value


def _period(file: Table, timezone: str) -> Span:
    found = file.match("period", _PERIOD, 'write a month: period = "2026-10"')
    year, number = (int(found[1]), int(found[2])) if found else (2026, 1)
    return month(midnight(year, number, 1, timezone), timezone)


def _in_force(file: Table, catalog: Catalog, period: Span) -> None:
    """A contract is quoted for months that are all its own; zones may differ by a day."""
    late = period.start + DAY < catalog.effective
    over = catalog.until is not None and catalog.until < closed(period) - DAY
    if catalog.then is not None and (late or over):
        there = zone(catalog.seller.timezone)
        first = f"{catalog.effective.astimezone(there):%Y-%m-%d}"
        last = f" until {catalog.until.astimezone(there):%Y-%m-%d}" if catalog.until else ""
        mend = "write a month that is all in it, or quote its base"
        file.wrong("period", f"the contract holds from {first}{last}: {mend}")


def _items(table: Table, catalog: Catalog, period: Span, timezone: str) -> Iterator[_One]:
    """The item, or as many alike as ``count`` says."""
    table.only(ITEM)
    plan = table.choice("plan", sorted(catalog.plans))
    count = _whole(table, "count")
    valid = rented(table, period, timezone)
    plans = stretches(table, plan, valid, catalog.plans, timezone)
    for number in range(1, count + 1):
        name = table.name if count == 1 else f"{table.name}-{number}"
        item = Item(name, name, plans[-1][0], valid)
        yield _one(table, catalog, item, plans, period, timezone)
        if table.mistakes.found:
            return


def _one(
    table: Table, catalog: Catalog, item: Item, plans: Stretches, period: Span, timezone: str
) -> _One:
    prices = [
        PriceRow(item.item, name, span, charge, catalog.version)
        for plan, span in plans
        for name, charge in catalog.plans[plan].charges.items()
    ]
    prices += _addons(table, catalog, item)
    inside = item.valid.clip(period.start, closed(period)) or period
    usage, samples = metered(table, catalog, prices, item, inside, period)
    given = {row.meter for row in usage} | {row.meter for row in samples}
    silent = tuple(f"{item.item} {meter}" for meter in measured_by(prices) if meter not in given)
    return _One(item, tuple(prices), usage, samples, intervals(table, item, timezone), silent)


def _addons(table: Table, catalog: Catalog, item: Item) -> Iterator[PriceRow]:
    if "addons" not in table.values:
        return
    addons = table.table("addons", "write { ipv4 = 4 }")
    for name in addons.values:
        try:
            yield addon_row(catalog, item, name, _whole(addons, name), item.valid)
        except ConfigError as error:
            addons.note(name, str(error))


def _whole(table: Table, key: str) -> int:
    value = table.values.get(key, 1)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MANY:
        return value
    table.wrong(key, f"write how many, a whole number from 1 to {MANY:_}, without quotes")
    return 1


def _credit(table: Table, catalog: Catalog, period: Span) -> Credit:
    table.only(("kind", "amount"))
    amount = table.match("amount", _CREDIT, 'write an amount: "25.00"')
    return Credit(
        credit=table.name,
        kind=CreditKind(table.choice("kind", [kind.value for kind in CreditKind])),
        left=minor(table, "amount", amount[1], catalog.seller.currency) if amount else Decimal(0),
        granted_at=period.start,
    )
