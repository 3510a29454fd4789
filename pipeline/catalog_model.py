"""Reads what a charge costs: one price, a package, or tiers, and the unit they are by. Pure."""

import re
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import Final

from pipeline.catalog_text import Table
from pipeline.catalog_units import AMOUNT
from schemas.prices import Graduated, Model, Package, PerUnit, Tier, Volume

MODELS: Final = ("price", "package", "graduated", "volume")
"""A charge has one of these fields."""

PRICE: Final = re.compile(rf"{AMOUNT}(?: ?/ ?(\S+)| (once))")
PACKAGE: Final = re.compile(rf"{AMOUNT} ?/ ?{AMOUNT} (\S+)")
TIER: Final = re.compile(rf"(?:{AMOUNT} flat ?\+ ?)?{AMOUNT} ?/ ?(\S+)|{AMOUNT} flat")
FROM: Final = re.compile(AMOUNT)

_PRICE_MEND: Final = 'write a decimal number and a unit, for example "1.29 / TB"'
_PACKAGE_MEND: Final = 'write a price for every so many units begun, for example "5.00 / 100 GB"'
_TIERS_MEND: Final = (
    "write where each tier begins and what a unit costs there:"
    ' { 0 = "2.19 / GPU-hour", 1000 = "1.89 / GPU-hour" }'
)
_TIER_MEND: Final = 'write a price, a flat fee or both: "10.00 flat + 1.29 / TB"'


def read_model(table: Table, mend: str = _PRICE_MEND) -> tuple[Model, str]:
    """The model, and the word after the slash; "once" for a fee that comes once."""
    found = [key for key in MODELS if key in table.values]
    for more in found[1:]:
        table.note(more, f"a charge has one of {', '.join(MODELS)}: keep {found[0]} or this")
    match found[:1]:
        case ["package"]:
            return _package(table)
        case ["graduated" | "volume" as key]:
            tiers, word = _tiers(table.table(key, _TIERS_MEND))
            return (Graduated(tiers) if key == "graduated" else Volume(tiers)), word
    price = table.match("price", PRICE, mend)
    return PerUnit(Decimal(price[1] if price else 0)), (price[2] or price[3]) if price else ""


def _package(table: Table) -> tuple[Model, str]:
    found = table.match("package", PACKAGE, _PACKAGE_MEND)
    if found is None:
        return Package(Decimal(1), Decimal(0)), ""
    if not Decimal(found[2]):
        table.wrong("package", _PACKAGE_MEND)
    return Package(Decimal(found[2]) or Decimal(1), Decimal(found[1])), found[3]


def _tiers(table: Table) -> tuple[tuple[Tier, ...], str]:
    """Tiers by where they begin: above the number written, which belongs to the tier before."""
    noted = len(table.mistakes.found)
    for key in table.values:
        if not FROM.fullmatch(key):
            table.note(key, f"a tier begins at a number of units; {_TIERS_MEND}")
    begins = sorted((key for key in table.values if FROM.fullmatch(key)), key=Decimal)
    if begins and Decimal(begins[0]):
        table.note(begins[0], "the first tier begins at 0: write one that does")
    for key, after in pairwise(begins):
        if Decimal(key) == Decimal(after):
            table.note(after, f"it begins where {key} does: keep one")
    words: list[str] = []
    tiers = []
    for key, after in zip_longest(begins, begins[1:]):
        flat, price, word = _tier(table, key)
        if word and words and word != words[0]:
            table.note(key, f"found a price by {word}; the tiers before are by {words[0]}")
        words += [word] if word else []
        tiers.append(Tier(Decimal(after) if after else None, price, flat))
    if not table.values:
        table.note("", f"there is no tier; {_TIERS_MEND}")
    elif not words and len(table.mistakes.found) == noted:
        table.note("", 'at least one tier names the unit: write "5.00 flat + 0 / GB"')
    return tuple(tiers), words[0] if words else ""


def _tier(table: Table, key: str) -> tuple[Decimal, Decimal, str]:
    """Flat fee, price of a unit, unit."""
    point = isinstance(table.values[key], dict)  # what TOML makes of 1.5 = "…"
    mend = f'a number with a point is written in quotes: "{key}.5" = "1.29 / TB"'
    found = table.match(key, TIER, mend if point else _TIER_MEND)
    if found is None:
        return Decimal(0), Decimal(0), ""
    return Decimal(found[1] or found[4] or 0), Decimal(found[2] or 0), found[3] or ""
