"""Units and amounts as a price list writes them, and which meters a unit fits. Pure."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.catalog_text import Table
from pipeline.money import minor_units
from pipeline.windows import WIDTH_MS
from schemas.prices import Unit

AMOUNT: Final = r"([0-9]{1,18}(?:\.[0-9]{1,20})?)"
"""What pipeline.money.EXACT multiplies exactly, with a step and a month's usage."""
UNIT: Final = r"([^\s/%0-9.][^\s/%]*)"
"""The name of a unit: not a digit first, so that it is told from the number before it."""
MOST: Final = 10**18
"""Base units of one unit, and below what a counter holds."""
RATE_SECONDS: Final = WIDTH_MS // 1000
"""A percentile counts windows: a unit a second is this many base units in each."""
TIME_WORDS: Final = ("hour", "month", "once")
"""What a price without a meter is by; no unit may be called so."""

BYTES: Final = {f"{letter}B": 1000**i for i, letter in enumerate("kMGTP", 1)} | {
    f"{letter}iB": 1024**i for i, letter in enumerate("KMGTP", 1)
}
"""IEC 80000-13: a TB is 10**12 bytes, a TiB 2**40; a tenth of the bill lies between them."""
BITS: Final = {f"{letter}bps": 125 * 1000 ** (i - 1) for i, letter in enumerate("kMGT", 1)}
"""Bytes a second: a kbps is 1,000 bits."""

METER: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
_STEP: Final = re.compile(AMOUNT)
PERCENT: Final = re.compile(rf"{AMOUNT} ?%")
_MEND: Final = 'write TB = { of = "net.bytes", is = 1_000_000_000_000, step = "0.001" }'


@dataclass(frozen=True, slots=True)
class Known:
    """What the charges of a file may name."""

    currency: str
    tax: tuple[str, ...]
    units: dict[str, Unit]
    rates: frozenset[str]
    """Units that are by the second."""
    pools: dict[str, Unit] = field(default_factory=dict)
    """Pools of allowances met so far, with the unit of the first."""
    legible: bool = True
    """The file's [unit] could be read, so a unit that is not there is a mistake of its own."""


def read_units(file: Table) -> tuple[dict[str, Unit], frozenset[str]]:
    """All units of the file, and the names of those that are by the second.

    A list of rents and fees needs none.
    """
    tables = file.tables("unit", _MEND) if "unit" in file.values else []
    units = {table.name: _unit(table) for table in tables}
    return units, frozenset(table.name for table in tables if "per" in table.values)


def _unit(table: Table) -> Unit:
    table.only(("of", "is", "step", "per"))
    if table.name in TIME_WORDS:
        table.note("", f"{table.name} is known already: give the unit another name")
    elif not re.match(UNIT, table.name):
        table.note("", "the name of a unit begins with a letter")
    of = table.match("of", METER, 'write a meter or family of meters, for example "net.bytes"')
    step = table.match("step", _STEP, 'write the step billed, in quotes, for example "0.001"')
    if step and not Decimal(step[0]):
        table.wrong("step", 'write a step above zero, for example "0.001"')
    rate = "per" in table.values and table.choice("per", ("second",)) == "second"
    base = table.values.get("is")
    sizes, one = (BITS, "byte a second") if rate else (BYTES, "byte")
    if not isinstance(base, int) or isinstance(base, bool) or not 1 <= base <= MOST:
        mend = "write how many base units it is, up to 10^18, for example 1_000_000_000_000"
        table.wrong("is", mend)
        base = 1
    elif of and of[0].endswith("bytes") and sizes.get(table.name, base) != base:
        said = f"a {table.name} is {sizes[table.name]:_} {one.replace('byte', 'bytes')}"
        table.wrong("is", f"{said}: write that, or rename it")
    size = base * RATE_SECONDS if rate else base
    return Unit(table.name, of[0] if of else "", size, Decimal(step[0] if step else 1))


def unit(table: Table, key: str, name: str, known: Known) -> Unit:
    """The unit of that name; one without a family, which fits every meter, when it is unknown."""
    if name and known.legible and name not in known.units:
        there = f"known are {', '.join(known.units)}" if known.units else _MEND
        table.wrong(key, f'"{name}" is not in [unit]; {there}')
    return known.units.get(name, Unit(name, "", 1, Decimal(1)))


def base_units(table: Table, key: str, number: str, of: Unit) -> int:
    """``number`` units in base units; noted where that is not whole."""
    base = Fraction(number) * of.is_
    if base.denominator != 1:
        table.wrong(key, "it is not a whole number of base units")
    return int(base)


def minor(table: Table, key: str, amount: str, currency: str) -> Decimal:
    """An amount that is paid as it stands; noted where the currency has fewer decimals."""
    if Fraction(amount) * 10 ** minor_units(currency) % 1:
        digits = minor_units(currency)
        table.wrong(key, f"{currency} is paid in {digits} decimals, so must {key}")
    return Decimal(amount)


def fits(of: Unit, meter: str) -> bool:
    """A unit is of a meter, of a family (``net.bytes``) or of all that count alike (``bytes``)."""
    kind = meter.partition(".")[2].partition("_")[2]
    return not of.of or of.of in {meter, family(meter), kind}


def same_family(one: Unit, other: Unit) -> bool:
    """Quantities of both can be added: their meters or families are one, or one holds the other."""
    a, b = (each.of.replace("port.", "net.") for each in (one, other))
    inside = any(x.endswith((f".{y}", f"_{y}")) for x, y in ((a, b), (b, a)))
    return not a or not b or a == b or inside


def unlike(one: Unit, other: Unit, known: Known) -> str:
    """Why quantities of two units of a file cannot be added; nothing where they can."""
    if not same_family(one, other):
        return f"{one.name} is a unit of {one.of}, {other.name} one of {other.of}"
    rates = [unit.name in known.rates for unit in (one, other)]
    if one.of and other.of and rates[0] != rates[1]:
        return (
            f"{(one, other)[rates[1]].name} is by the second, {(one, other)[rates[0]].name} is not"
        )
    return ""


def family(meter: str) -> str:
    """Meters that count the same: ``net.rx_bytes`` and ``net.tx_bytes`` are ``net.bytes``.

    A switch's ``port`` sees what the server's ``net`` sees, from the other end of the cable.
    """
    room, _, kind = meter.partition(".")
    return f"{'net' if room == 'port' else room}.{kind.partition('_')[2]}"
