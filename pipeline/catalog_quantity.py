"""Reads what a charge measures: time rented, a fee, or the meters of ``meter``. Pure."""

import re
from difflib import get_close_matches
from typing import Final

from pipeline.catalog_text import Table
from pipeline.catalog_units import Known, fits
from schemas.meters import METERS
from schemas.prices import (
    Allocation,
    Below,
    Bill,
    Every,
    Fee,
    Gap,
    Hours,
    Missing,
    Percentile,
    Quantity,
    Source,
    Sum,
    Take,
    Unit,
)

PERCENTILE: Final = re.compile(r"p([1-9][0-9])")
COVERAGE: Final = re.compile(r"([1-9][0-9]*) ?%")
_METER_MEND: Final = 'write { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }'
MOST: Final = 1_000_000
"""Fees, or allocated things, of one item."""
_KINDS: Final = "sum, a percentile (p10 to p99) or allocation"


def read_time(table: Table, word: str) -> Quantity:
    """Rent by the hour, or a fee: what is charged where nothing is metered."""
    if word == "hour":
        return Hours()
    every = Every.ONCE if word == "once" else Every.MONTH
    bill = Bill(table.choice("bill", [b.value for b in Bill], Bill.ARREARS.value))
    return Fee(every, bill, _count(table))


def read_metered(table: Table, unit: Unit, known: Known) -> Quantity:
    """The quantity that the table ``meter`` of a charge describes."""
    meter = table.table("meter", _METER_MEND)
    kinds = [
        key for key in meter.values if key in {"sum", "allocation"} or PERCENTILE.fullmatch(key)
    ]
    if not kinds:
        by = f" by {', '.join(meter.values)}" if meter.values else ""
        meter.note("", f"nothing is measured{by}: write one of {_KINDS}")
        return Sum((), unit)
    if kinds[1:]:
        meter.note(kinds[1], f"a charge measures one of {_KINDS}: keep {kinds[0]} or this")
        return Sum((), unit)
    kind = kinds[0]
    rate = unit.name in known.rates
    percentile = PERCENTILE.fullmatch(kind)
    if unit.of and rate != bool(percentile):
        wants = 'by the second: write per = "second" in [unit]' if percentile else "no rate"
        meter.note(kind, f"{unit.name} does not fit it: its unit is {wants}")
    if percentile:
        return _percentile(meter, kind, int(percentile[1]), unit)
    return _allocation(meter, unit) if kind == "allocation" else _sum(meter, unit)


def _sum(meter: Table, unit: Unit) -> Sum:
    meter.only(("sum", "source", "gap"))
    meters = meter.names("sum", 'write the meters to add up, for example ["net.tx_bytes"]')
    source = Source(meter.choice("source", [s.value for s in Source]))
    gap = Gap(meter.choice("gap", [g.value for g in Gap]))
    if source is Source.AGENT and gap is Gap.ZERO:
        meter.wrong("gap", 'whoever stops the agent would pay nothing: write "interpolate"')
    _check_meters(meter, "sum", meters, source, unit)
    return Sum(meters, unit, source, gap)


def _percentile(meter: Table, key: str, percent: int, unit: Unit) -> Percentile:
    meter.only((key, "take", "pool", "missing", "source", "coverage", "below"))
    meters = meter.names(key, 'write the meters, for example ["port.rx_bytes", "port.tx_bytes"]')
    source = Source(meter.choice("source", [s.value for s in Source], Source.SWITCH.value))
    missing = Missing(meter.choice("missing", [m.value for m in Missing], Missing.SKIP.value))
    take = Take(meter.choice("take", [t.value for t in Take], Take.MAX_OF_P95.value))
    if source is Source.AGENT and missing is Missing.ZERO:
        meter.wrong("missing", 'whoever stops the agent would pay less: write "skip"')
    _check_meters(meter, key, meters, source, unit)
    pool = meter.text("pool", 'write the name of a pool, for example "edge"') if (
        "pool" in meter.values) else ""  # fmt: skip
    coverage, below = _coverage(meter)
    return Percentile(meters, unit, take, percent, pool, missing, source, coverage, below)


def _coverage(meter: Table) -> tuple[int, Below]:
    """Percent of the windows that have to be measured, and what follows where they are not."""
    if "coverage" not in meter.values:
        if "below" in meter.values:
            meter.wrong("below", 'there is no coverage to be below of: write coverage = "90 %"')
        return 0, Below.NOTE
    mend = 'write which share of the windows has to be measured: "90 %"'
    found = meter.match("coverage", COVERAGE, mend)
    if found and int(found[1]) > 100:
        meter.wrong("coverage", f"there are no more than all; {mend}")
    below = Below(meter.choice("below", [b.value for b in Below], Below.NOTE.value))
    return int(found[1]) if found else 0, below


def _allocation(meter: Table, unit: Unit) -> Allocation:
    meter.only(("allocation", "count", "evidence"))
    what = meter.text("allocation", 'write what is allocated, for example "gpu"')
    if what and unit.of and unit.of not in {f"{what}.alloc_ms", f"{what}.ms", "ms"}:
        meter.wrong("allocation", f"{unit.name} is a unit of {unit.of}, not of {what}.alloc_ms")
    evidence = ""
    if "evidence" in meter.values:
        evidence = meter.text("evidence", 'write a meter shown beside it, such as "gpu.busy_ms"')
        _known_to_agent(meter, "evidence", evidence)
    return Allocation(unit, _count(meter), evidence)


def _count(table: Table) -> int:
    value = table.values.get("count", 1)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
        return value
    mend = f"write how many, a whole number from 1 to {MOST:_}, without quotes"
    table.wrong("count", mend)
    return 1


def _check_meters(
    meter: Table, key: str, meters: tuple[str, ...], source: Source, unit: Unit
) -> None:
    """What the agent reads is known by name; the collectors of a provider may have more."""
    for name in meters:
        if (source is not Source.AGENT or _known_to_agent(meter, key, name)) and not fits(
            unit, name
        ):
            meter.wrong(key, f'"{name}" is not measured in {unit.name}, a unit of {unit.of}')


def _known_to_agent(meter: Table, key: str, name: str) -> bool:
    if name.startswith("agent."):
        meter.wrong(key, f'"{name}" counts what the agent itself lost; it is never billed')
        return False
    if name in METERS or not name:
        return True
    near = get_close_matches(name, METERS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(METERS)
    meter.wrong(key, f'the agent has no meter "{name}"; {hint}')
    return False
