"""What the plans and add-ons of a catalogue charge: a quantity, a model, and their terms. Pure.

A charge with a ``meter`` is for usage; one without is rent by the hour or a fee, as the word after
its price says.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pipeline.catalog_allow import alerts, filled, read_allow
from pipeline.catalog_model import MODELS, read_model
from pipeline.catalog_quantity import read_metered, read_time
from pipeline.catalog_text import Table
from pipeline.catalog_units import AMOUNT, TIME_WORDS, UNIT, Known, minor, unit
from schemas.prices import (
    Charge,
    Commit,
    Every,
    Fee,
    Hours,
    IntervalKind,
    Percentile,
    Quantity,
    Share,
    Unit,
)

_PER_MONTH: Final = re.compile(rf"{AMOUNT} ?/ ?month")
COMMIT: Final = re.compile(rf"{AMOUNT} ?{UNIT}(?: ?/ ?month)?")
COMMIT_PRICE: Final = re.compile(rf"{AMOUNT} ?/ ?(\S+)")
SHARE: Final = re.compile(r"([1-9][0-9]{0,8}) ?/ ?([1-9][0-9]{0,8})")
_CHARGE_MEND: Final = 'write a charge, for example { price = "0.0833 / hour", tax = "hosting" }'
_TIME_MEND: Final = 'write a decimal number by the hour: "0.0833 / hour", a month or "50.00 once"'

METERED: Final = ("meter", "allow", "commit", "alert", "share")
"""Fields of a charge for usage; rent by the hour has those that ``FIELDS`` says."""
COMMON: Final = (*MODELS, "tax", "free")
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "hour": (*COMMON, "cap", "alert"),
    "month": (*COMMON, "bill", "prorate", "count"),
    "once": (*COMMON, "count"),
    "usage": (*COMMON, "meter", "allow", "commit", "share", "cap", "prorate", "alert"),
    "percentile": (*COMMON, "meter", "commit", "share", "cap", "prorate", "alert"),
}
"""Fields of a charge by what it is."""
ANY: Final = tuple(dict.fromkeys(field for fields in FIELDS.values() for field in fields))
"""Fields of some charge: what is allowed as long as nobody knows what the charge is."""
ADDON: Final = ("name", "each", "adds", "to", "expires")
"""Further fields of an add-on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be rented: ``name`` in keys, ``title`` for people."""

    name: str
    title: str
    charges: dict[str, Charge]


@dataclass(frozen=True, slots=True)
class Addon:
    """What can be added to a rented item; with ``each`` by number, four addresses for example."""

    name: str
    title: str
    charge: Charge
    each: bool = False


def read_plan(table: Table, known: Known) -> Plan:
    title = table.text("name", 'write the name customers see: name = "AX server, by the hour"')
    common = table.choice("tax", known.tax) if "tax" in table.values else ""
    own = [key for key in table.values if key not in {"name", "tax"}]
    if not own:
        table.note("", f"nothing is charged; {_CHARGE_MEND}")
    for key in {*own} & {*MODELS}:
        table.note(key, "a charge cannot be called like a price model: give it another name")
    tables = ((key, table.table(key, _CHARGE_MEND)) for key in own)
    return Plan(table.name, title, {key: read_charge(one, known, common) for key, one in tables})


def read_addon(table: Table, known: Known) -> Addon:
    """A fee with a name of its own, that may fill a pool."""
    title = table.text("name", 'write the name customers see: name = "IPv4 address"')
    inner = {key: value for key, value in table.values.items() if key not in ADDON}
    each = table.values.get("each", False)
    if not isinstance(each, bool):
        table.wrong("each", "write true where it is booked by number, else leave it out")
    charge = read_charge(Table(inner, table.path, table.mistakes), known, "", ADDON)
    if not isinstance(charge.quantity, Fee):
        table.note("", 'an add-on is a fee: write price = "1.70 / month" or "50.00 once"')
    return Addon(table.name, title, filled(table, charge, known), each is True)


def read_charge(table: Table, known: Known, tax: str, also: tuple[str, ...] = ()) -> Charge:
    """A charge; ``tax`` is the category of the plan, "" where it states none."""
    named = [key for key in METERED if key in table.values]
    model, word = read_model(table) if named else read_model(table, _TIME_MEND)
    timed = word in TIME_WORDS and "meter" not in named
    if timed:
        table = _of_time(table, [key for key in named if key not in FIELDS[word]], word)
    metered = "meter" in named or bool(named and word and not timed)
    if metered:
        of = unit(table, _model_key(table), word, known)
        quantity: Quantity = read_metered(table, of, known)
    else:
        of = Unit(word, "", 1, Decimal(1))
        if word and word not in TIME_WORDS:
            table.wrong(_model_key(table), f"a price by {word} needs a meter; {_TIME_MEND}")
        quantity = read_time(table, word)
    kind = _kind(quantity, metered)
    table.only((*(FIELDS[kind] if metered or timed else ANY), *also))
    if kind == "usage" and "prorate" in table.values and "commit" not in table.values:
        table.wrong("prorate", "there is no commit that it could be about; allow has its own")
    return Charge(
        quantity=quantity,
        model=model,
        tax=table.choice("tax", known.tax, tax),
        allowance=read_allow(table, of, known),
        commit=_commit(table, of, known),
        cap=_cap(table, known.currency),
        share=_share(table),
        prorate=table.choice("prorate", ("time", "none"), "time") == "time",
        free=_free(table),
        **alerts(table, of, known),
    )


def _of_time(table: Table, named: Sequence[str], word: str) -> Table:
    """The charge without the fields that only what a meter measures has."""
    for key in named:
        table.note(key, f"a price by {word} has none: remove it, or write what the meter measures")
    rest = {key: value for key, value in table.values.items() if key not in named}
    return Table(rest, table.path, table.mistakes)


def _kind(quantity: Quantity, metered: bool) -> str:
    if metered:
        return "percentile" if isinstance(quantity, Percentile) else "usage"
    if isinstance(quantity, Hours):
        return "hour"
    return "once" if isinstance(quantity, Fee) and quantity.every is Every.ONCE else "month"


def _model_key(table: Table) -> str:
    return next((key for key in MODELS if key in table.values), "price")


def _cap(table: Table, currency: str) -> Decimal | None:
    if "cap" not in table.values:
        return None
    cap = table.match("cap", _PER_MONTH, 'write a decimal number a month: "49.00 / month"')
    return minor(table, "cap", cap[1], currency) if cap else None


def _commit(table: Table, of: Unit, known: Known) -> Commit | None:
    if "commit" not in table.values:
        return None
    commit = table.table("commit", 'write { quantity = "250 Mbps", price = "0.60 / Mbps" }')
    commit.only(("quantity", "price"))
    found = commit.match("quantity", COMMIT, 'write what is paid in any case: "250 Mbps"')
    price = commit.match("price", COMMIT_PRICE, 'write what a unit of it costs: "0.60 / Mbps"')
    for key, word in (("quantity", found and found[2]), ("price", price and price[2])):
        if word and of.name and word != of.name:
            commit.wrong(key, f"the charge is by {of.name}, so must be its commit")
    return Commit(Decimal(found[1] if found else 0), Decimal(price[1] if price else 0))


def _share(table: Table) -> Share:
    if "share" not in table.values:
        return Share()
    mend = 'write parts of a whole, for example "1/7"'
    found = table.match("share", SHARE, mend)
    if found and int(found[1]) > int(found[2]):
        table.wrong("share", f"it is more than the whole; {mend}")
    return Share(int(found[1]), int(found[2])) if found else Share()


def _free(table: Table) -> tuple[IntervalKind, ...]:
    kinds = [kind.value for kind in IntervalKind]
    value = table.values.get("free", [IntervalKind.TRIAL.value, IntervalKind.EXCLUSION.value])
    if not isinstance(value, list) or any(part not in kinds for part in value):
        table.wrong("free", f"write in which intervals nothing is charged, of {', '.join(kinds)}")
        return ()
    return tuple(kind for kind in IntervalKind if kind in value)
