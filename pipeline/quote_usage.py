"""Reads what an item of a usage file used: totals, rates, or window by window. Pure."""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from pipeline.catalog import Catalog
from pipeline.catalog_text import Table
from pipeline.catalog_units import AMOUNT, UNIT
from pipeline.periods import closed, microseconds
from pipeline.windows import WIDTH_MS
from schemas.billing import Item, PriceRow, Samples, Span, Usage
from schemas.prices import Percentile, Sum, Unit

COUNTER: Final = 2**63
"""No counter of a server holds more."""
WIDTH_US: Final = WIDTH_MS * 1000
_TOTAL: Final = re.compile(rf"{AMOUNT} ?{UNIT}")
_TOTAL_MEND: Final = 'write a quantity in a unit of the catalogue, for example "21.5 TB"'


def measured_by(prices: list[PriceRow]) -> Mapping[str, list[Unit]]:
    """Meter → units of the charges that measure it."""
    found: dict[str, list[Unit]] = {}
    for row in prices:
        quantity = row.price.quantity
        if isinstance(quantity, Sum | Percentile):
            for meter in quantity.meters:
                found.setdefault(meter, []).append(quantity.unit)
    return found


def _rates(prices: list[PriceRow]) -> dict[str, Unit]:
    """Units of percentiles, by name."""
    quantities = (row.price.quantity for row in prices)
    return {q.unit.name: q.unit for q in quantities if isinstance(q, Percentile)}


def metered(
    table: Table, catalog: Catalog, prices: list[PriceRow], item: Item, inside: Span, period: Span
) -> tuple[tuple[Usage, ...], tuple[Samples, ...]]:
    """Totals lie evenly in the time rented; rates are the same in every window of the period."""
    usage: list[Usage] = []
    samples: list[Samples] = []
    measured, rates = measured_by(prices), _rates(prices)
    count = microseconds(period.start, closed(period)) // WIDTH_US
    first, end = (microseconds(period.start, at) for at in (inside.start, closed(inside)))

    def total(meter: str, quantity: int) -> None:
        usage.append(Usage(item.item, meter, "", inside.start, closed(inside), quantity))

    def each(meter: str, windows: tuple[int | None, ...]) -> None:
        """Windows that begin in the time rented add up to the total."""
        samples.append(Samples(item.item, meter, "", period.start, windows))
        mine = windows[-(-first // WIDTH_US) : -(-end // WIDTH_US)]
        total(meter, sum(value or 0 for value in mine))

    for key, meter, given in _given(table, measured, item.plan):
        if key.path[-1] == "windows":
            each(meter, _windows(key, meter, given, count))
            continue
        base, unit = _total(key, meter, given, catalog)
        if unit in rates:
            each(meter, (base,) * count)
        elif any(one.name in rates for one in measured[meter]):
            key.wrong(meter, f'it is charged by percentile: write a rate, "300 {min(rates)}"')
        else:
            total(meter, base)
    return tuple(usage), tuple(samples)


def _given(
    table: Table, measured: Mapping[str, object], plan: str
) -> Iterator[tuple[Table, str, Any]]:
    for kind in ("usage", "windows"):
        if kind not in table.values:
            continue
        inner = table.table(kind, 'write { "net.tx_bytes" = "21.5 TB" }')
        for meter, value in inner.values.items():
            if meter in measured:
                yield inner, meter, value
            else:
                known = ", ".join(measured) or "none"
                inner.note(meter, f'no charge of plan "{plan}" measures it; measured are {known}')


def _total(table: Table, meter: str, value: object, catalog: Catalog) -> tuple[int, str]:
    """Base units and the name of the unit; a whole number is in base units."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < COUNTER:
        return value, ""
    found = table.match(meter, _TOTAL, _TOTAL_MEND)
    if found is None:
        return 0, ""
    if found[2] not in catalog.units:
        table.wrong(meter, f'"{found[2]}" is not in [unit]; known are {", ".join(catalog.units)}')
        return 0, ""
    base = Fraction(found[1]) * catalog.units[found[2]].is_
    if base.denominator != 1:
        table.wrong(meter, "it is not a whole number of base units")
    return int(base), found[2]


def _windows(table: Table, meter: str, value: object, count: int) -> tuple[int | None, ...]:
    """Base units of every five minutes from the beginning of the period on."""
    whole = isinstance(value, list) and all(
        part is None
        or (isinstance(part, int) and not isinstance(part, bool) and 0 <= part < COUNTER)
        for part in value
    )
    if not isinstance(value, list) or not whole or len(value) > count:
        table.note(meter, f"write whole numbers, one for each of at most {count} windows of 300 s")
        return ()
    return tuple(value)
