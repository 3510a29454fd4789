"""What was agreed with one customer: a file that says only what differs from a catalogue. Pure.

The tables of its plans and add-ons are laid over those of the ``base``, field by field; a price
model takes the place of the other one. It holds for the items of one rating scope, for a time, with
discounts and commitments of the scope. ``deploy/catalog/contract.toml`` explains every field.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from pipeline.catalog import Catalog, day, load, read
from pipeline.catalog_head import version
from pipeline.catalog_model import MODELS
from pipeline.catalog_text import Table
from pipeline.catalog_toml import head, parse
from pipeline.catalog_units import AMOUNT, PERCENT, minor
from pipeline.periods import zone
from schemas.billing import Seller, Span
from schemas.terms import Commitment, Discount, Term

FIELDS: Final = (
    "contract", "base", "scope", "effective", "until", "plan", "addon", "discount", "commitment",
)  # fmt: skip
_OFF: Final = re.compile(rf"{AMOUNT} ?/ ?month")
_AGREED: Final = re.compile(rf"{AMOUNT} ?/ ?(month|year)")


@dataclass(frozen=True, slots=True)
class Contract:
    """The prices and terms of one scope during ``valid``."""

    scope: str
    valid: Span
    catalog: Catalog
    """The base with what differs, and after it the base; its version is the contract's name."""
    discounts: tuple[Discount, ...]
    commitments: tuple[Commitment, ...]


def is_contract(text: str) -> bool:
    """The file says that it is one; no more is known of it."""
    return not head(text).keys().isdisjoint({"contract", "base", "scope"})


def is_version(text: str, version: str) -> bool:
    """The file says that it is the catalogue of a version, be it a sound one or not."""
    found = head(text)
    said = found.get("version") == version if found else f'version = "{version}"' in text
    return said and not is_contract(text)


def base_of(text: str, name: str) -> str:
    """The version that the contract rests on."""
    file = parse(text, name)
    version = file.text("base", 'write the version of a catalogue: base = "2026-03"')
    file.mistakes.refuse()
    return version


def load_contract(text: str, name: str, base_text: str, timezone: str = "") -> Contract:
    """Read a contract. Raises CatalogError, which names every mistake by file, line and mend.

    Its days are those of ``timezone``, the customer's; the seller's where none is given.
    """
    base = load(base_text, f"{base_of(text, name)} (base of {name})")
    file = parse(text, name)
    file.only(FIELDS)
    if file.values.get("base") != base.version:
        file.wrong("base", f"the catalogue given is version {base.version}")
    merged = _over(parse(base_text, name).values, _prices(file, base))
    merged |= {key: file.values[key] for key in ("effective",) if key in file.values}
    own = version(file, "contract", "acme-2026") or base.version
    merged |= {"version": own, "existing": "keep"}
    file.mistakes.base = base.version
    catalog = read(Table(merged, (), file.mistakes))
    seller = replace(base.seller, timezone=timezone or base.seller.timezone)
    valid = _valid(file, seller.timezone)
    scope = file.text("scope", 'write the rating scope it holds for: scope = "acme"')
    contract = Contract(
        scope=scope,
        valid=valid,
        catalog=replace(
            catalog,
            effective=valid.start,
            existing=valid.start,
            until=valid.end,
            then=base,
            reason=f"contract {catalog.version}",
            scope=scope,
        ),
        discounts=tuple(_discount(t, seller, valid) for t in _tables(file, "discount")),
        commitments=tuple(_commitment(t, seller, valid) for t in _tables(file, "commitment")),
    )
    _refuse_unknown_charges(file, contract)
    file.mistakes.refuse()
    return contract


def _prices(file: Table, base: Catalog) -> dict[str, Any]:
    """What differs. A plan that the base lacks is the customer's own where it has a name, else a
    slip.
    """
    found: dict[str, Any] = {}
    for key, known in (("plan", base.plans), ("addon", base.addons)):
        found[key] = {table.name: table.values for table in _tables(file, key)}
        for table in _tables(file, key):
            if table.name not in known and "name" not in table.values:
                near = get_close_matches(table.name, known, n=1)
                hint = f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(known)
                table.note("", f"{base.version} has no {key} of that name; {hint}")
                del found[key][table.name]
    return found


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``own`` laid over ``base``; tiers are replaced whole, and so is another price model."""
    model = any(key in own for key in MODELS)
    kept = {key: value for key, value in base.items() if not (model and key in MODELS)}
    both = {
        key: _over(kept[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and isinstance(kept.get(key), dict)
    }
    return {**kept, **own, **both}


def _valid(file: Table, timezone: str) -> Span:
    start = day(file, "effective", timezone)
    if "until" not in file.values:
        return Span(start)
    noted = len(file.mistakes.found)
    end = day(file, "until", timezone)
    if len(file.mistakes.found) > noted:
        return Span(start)
    if end <= start:
        file.wrong("until", f"it ends before it begins, on {_shown(start, timezone)}")
        return Span(start)
    return Span(start, end)


def _tables(file: Table, key: str) -> list[Table]:
    return file.tables(key, f"write [{key}.NAME]") if key in file.values else []


def _discount(table: Table, seller: Seller, valid: Span) -> Discount:
    table.only(("percent", "amount", "charges", "from", "until"))
    if ("percent" in table.values) == ("amount" in table.values):
        table.note("", 'write one of percent = "10 %" and amount = "50.00 / month"')
    percent = amount = None
    if "percent" in table.values:
        percent = table.match("percent", PERCENT, 'write a percentage, for example "10 %"')
        if percent and Decimal(percent[1]) > 100:
            table.wrong("percent", "nothing costs less than nothing: write at most 100 %")
    if "amount" in table.values:
        amount = table.match("amount", _OFF, 'write an amount a month: "50.00 / month"')
    return Discount(
        name=table.name,
        valid=_part(table, seller, valid),
        percent=Decimal(percent[1]) if percent else Decimal(0),
        amount=minor(table, "amount", amount[1], seller.currency) if amount else Decimal(0),
        charges=_charges(table),
    )


def _commitment(table: Table, seller: Seller, valid: Span) -> Commitment:
    table.only(("amount", "tax", "charges", "from", "until"))
    mend = 'write what is paid at least: "500.00 / month" or "6000.00 / year"'
    found = table.match("amount", _AGREED, mend)
    return Commitment(
        name=table.name,
        valid=_part(table, seller, valid),
        amount=minor(table, "amount", found[1], seller.currency) if found else Decimal(0),
        term=Term(found[2]) if found else Term.MONTH,
        tax=table.choice("tax", tuple(seller.tax)),
        charges=_charges(table),
    )


def _part(table: Table, seller: Seller, valid: Span) -> Span:
    """The time of one term, all of the contract's where it says nothing."""

    def edge(key: str, default: datetime | None) -> datetime | None:
        return day(table, key, seller.timezone) if key in table.values else default

    noted = len(table.mistakes.found)
    part = Span(edge("from", valid.start) or valid.start, edge("until", None)).inside(valid)
    if part is None and len(table.mistakes.found) == noted:
        holds = f"from {_shown(valid.start, seller.timezone)}"
        holds += f" until {_shown(valid.end, seller.timezone)}" if valid.end else " on"
        said = f"no day of the contract, which holds {holds}"
        table.wrong("until" if "until" in table.values else "from", said)
    return part or valid


def _shown(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(zone(timezone)):%Y-%m-%d}"


def _charges(table: Table) -> tuple[str, ...]:
    mend = 'write names of charges, for example ["rent"]; without it all count'
    return table.names("charges", mend) if "charges" in table.values else ()


def _refuse_unknown_charges(file: Table, contract: Contract) -> None:
    catalog = contract.catalog
    known = {name for plan in catalog.plans.values() for name in plan.charges} | {*catalog.addons}
    tables = (*_tables(file, "discount"), *_tables(file, "commitment"))
    named = [one.charges for one in contract.discounts]
    named += [one.charges for one in contract.commitments]
    for table, charges in zip(tables, named, strict=True):
        if unknown := sorted({*charges} - known):
            said = f'no plan has a charge "{unknown[0]}"; known are {", ".join(sorted(known))}'
            table.wrong("charges", said)
