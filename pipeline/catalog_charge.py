"""What the plans of a catalogue charge: one reader for each price model. Pure.

A charge with a ``meter`` is usage above an allowance; one without is rent by the hour.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from typing import Final

from pipeline.catalog_text import Table
from pipeline.money import minor_units
from schemas.billing import Gap, HourlyCap, Model, Overage, Seller, Source, Unit
from schemas.meters import METERS

_AMOUNT: Final = r"([0-9]+(?:\.[0-9]+)?)"
_PER_HOUR: Final = re.compile(rf"{_AMOUNT} ?/ ?hour")
_PER_MONTH: Final = re.compile(rf"{_AMOUNT} ?/ ?month")
_PER_UNIT: Final = re.compile(rf"{_AMOUNT} ?/ ?(\S+)")
_QUANTITY: Final = re.compile(rf"{_AMOUNT} ?([^\s/]+) ?/ ?month")
_PERCENT: Final = re.compile(r"([1-9][0-9]*) ?%")
_CHARGE_MEND: Final = 'write a charge, for example { price = "0.0833 / hour", tax = "hosting" }'


@dataclass(frozen=True, slots=True)
class Charge:
    """One priced thing of a plan."""

    model: Model
    tax: str
    """Tax category, a key of the seller's ``tax``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be rented: ``name`` in keys, ``title`` for people."""

    name: str
    title: str
    charges: dict[str, Charge]


def read_plan(table: Table, seller: Seller, units: dict[str, Unit]) -> Plan:
    title = table.text("name", 'write the name customers see: name = "AX server, by the hour"')
    charges = {key: table.table(key, _CHARGE_MEND) for key in table.values if key != "name"}
    if not charges:
        table.note("", f"nothing is charged; {_CHARGE_MEND}")
    read = {key: _charge(inner, seller, units) for key, inner in charges.items()}
    return Plan(table.name, title, read)


def _charge(table: Table, seller: Seller, units: dict[str, Unit]) -> Charge:
    metered = not {"meter", "allow", "alert"}.isdisjoint(table.values)
    model = _overage(table, units) if metered else _hourly(table, seller.currency)
    return Charge(model, table.choice("tax", tuple(seller.tax)))


# --- rent by the hour -----------------------------------------------------------------------------


def _hourly(table: Table, currency: str) -> HourlyCap:
    table.only(("price", "cap", "tax"))
    rate = table.match("price", _PER_HOUR, 'write a decimal number by the hour: "0.0833 / hour"')
    cap = None
    if "cap" in table.values:
        cap = table.match("cap", _PER_MONTH, 'write a decimal number a month: "49.00 / month"')
    if cap and Fraction(cap[1]) * 10 ** minor_units(currency) % 1:
        table.wrong("cap", f"{currency} is paid in {minor_units(currency)} decimals, so must a cap")
    return HourlyCap(Decimal(rate[1] if rate else 0), Decimal(cap[1]) if cap else None)


# --- usage above an allowance ---------------------------------------------------------------------


def _overage(table: Table, units: dict[str, Unit]) -> Overage:
    table.only(("meter", "allow", "price", "alert", "tax"))
    mend = 'write a decimal number and a unit, for example "1.29 / TB"'
    price = table.match("price", _PER_UNIT, mend)
    unit = _unit(table, "price", price[2] if price else "", units)
    meters, source, gap = _meter(table, unit)
    allowance, prorate = _allow(table, unit, units)
    return Overage(
        meters=meters,
        unit=unit,
        price=Decimal(price[1] if price else 0),
        allowance=allowance,
        prorate=prorate,
        source=source,
        gap=gap,
        alerts=_alerts(table),
    )


def _unit(table: Table, key: str, name: str, units: dict[str, Unit]) -> Unit:
    """The unit of that name; one without a family, which fits every meter, when it is unknown."""
    if name and units and name not in units:
        table.wrong(key, f'"{name}" is not in [unit]; known are {", ".join(units)}')
    return units.get(name, Unit(name, "", 1, Decimal(1)))


def _meter(table: Table, unit: Unit) -> tuple[tuple[str, ...], Source, Gap]:
    mend = 'write { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }'
    meter = table.table("meter", mend)
    meter.only(("sum", "source", "gap"))
    meters = meter.texts("sum", 'write the meters to add up, for example ["net.tx_bytes"]')
    source = Source(meter.choice("source", [s.value for s in Source]))
    gap = Gap(meter.choice("gap", [g.value for g in Gap]))
    if source is Source.AGENT and gap is Gap.ZERO:
        meter.wrong("gap", 'whoever stops the agent would pay nothing: write "interpolate"')
    for name in meters:
        _check_meter(meter, name, source, unit)
    return meters, source, gap


def _check_meter(meter: Table, name: str, source: Source, unit: Unit) -> None:
    """What the agent reads is known by name; the collectors of a provider may have more."""
    if source is Source.AGENT and name not in METERS:
        near = get_close_matches(name, METERS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(METERS)
        meter.wrong("sum", f'the agent has no meter "{name}"; {hint}')
    elif unit.of and unit.of not in {name, family(name)}:
        meter.wrong("sum", f'"{name}" is not measured in {unit.name}, a unit of {unit.of}')


def family(meter: str) -> str:
    """Meters that count the same: ``net.rx_bytes`` and ``net.tx_bytes`` are ``net.bytes``."""
    room, _, kind = meter.partition(".")
    return f"{room}.{kind.partition('_')[2]}"


def _allow(table: Table, unit: Unit, units: dict[str, Unit]) -> tuple[int, bool]:
    """Base units a month, and whether they are prorated; nothing included when not stated."""
    if "allow" not in table.values:
        return 0, True
    allow = table.table("allow", 'write { quantity = "20 TB / month", prorate = "time" }')
    allow.only(("quantity", "prorate"))
    prorate = allow.choice("prorate", ("time", "none"), "time") == "time"
    mend = 'write a quantity a month, for example "20 TB / month"'
    quantity = allow.match("quantity", _QUANTITY, mend)
    if quantity is None:
        return 0, prorate
    own = _unit(allow, "quantity", quantity[2], units)
    if unit.of and own.of and own.of != unit.of:
        allow.wrong("quantity", f"{own.name} is a unit of {own.of}, the price one of {unit.of}")
    base = Fraction(quantity[1]) * own.is_
    if base.denominator != 1:
        allow.wrong("quantity", "it is not a whole number of base units")
    return int(base), prorate


def _alerts(table: Table) -> tuple[int, ...]:
    if "alert" not in table.values:
        return ()
    mend = 'write whole percentages of the allowance, ascending: ["50 %", "80 %", "100 %"]'
    if "allow" not in table.values:
        table.wrong("alert", "nothing is included that could be used up: write allow too")
    found = [_PERCENT.fullmatch(part) for part in table.texts("alert", mend)]
    percents = [int(match[1]) for match in found if match]
    if len(percents) < len(found) or percents != sorted(set(percents)):
        table.wrong("alert", mend)
    return tuple(percents)
