"""Quantities and nets of lines, a second time, by the database in numeric. Reads no table."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from importlib.resources import files
from math import lcm
from typing import Any, Final

from invoicing.pieces import item_of, price_row
from pipeline.money import minor_units
from pipeline.periods import closed
from schemas.billing import Line, LineKind, Scope
from schemas.prices import Allocation, Charge, Graduated, Hours, Package, PerUnit, Sum
from sinks.database import Connection

ARITHMETIC: Final = (files("invoicing") / "queries" / "arithmetic.sql").read_text()
GIVEN: Final = {
    "mode": "given", "series": None, "taken": 1, "whole": 1, "unit": Decimal(1), "step": Decimal(1),
    "before": Decimal(0), "floor": Decimal(0), "up_to": None, "size": None, "cap": None,
    "count": None,
}  # fmt: skip
Row = dict[str, Any]


def recount(
    conn: Connection, wanted: Sequence[tuple[Scope, Sequence[Line]]], currency: str
) -> list[list[tuple[Decimal | None, Decimal | None]]]:
    """Of each scope (quantity, net) of each line. No quantity of fees, percentiles, shares of hours
    and what has a commit; no net where a cap is shared with other lines.
    """
    rows = [row for number, one in enumerate(wanted) for row in _rows(*one, number)]
    if not rows:
        return [[] for _ in wanted]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    numbered = {**columns, "no": list(range(len(rows))), "digits": minor_units(currency)}
    found = iter(conn.execute(ARITHMETIC, numbered).fetchall())
    return [[next(found)[1:] for _ in lines] for _, lines in wanted]


def _rows(scope: Scope, lines: Sequence[Line], number: int) -> list[Row]:
    """Lines of one charge and unit are one ``series``, in parts of one whole: it is rounded once.

    What it prices before a line is added up where the charge has no other unit, and else given.
    """
    rows = [_row(scope, lines, at) for at in range(len(lines))]
    of_charge: dict[tuple[str, str], list[tuple[Line, Row]]] = defaultdict(list)
    for line, row in zip(lines, rows, strict=True):
        if row["series"] is not None:
            of_charge[line.item, line.charge].append((line, row))
    for charge, found in of_charge.items():
        units = {row["series"] for _, row in found}
        whole = lcm(*(row["whole"] for _, row in found))
        for line, row in found:
            row["first"] = not line.tier
            row["taken"] *= whole // row["whole"]
            row["whole"] = whole
            row["series"] = "/".join((str(number), *charge, *map(str, row["series"])))
            row["before"] = None if len(units) == 1 else row["before"]
    return rows


def _row(scope: Scope, lines: Sequence[Line], number: int) -> Row:
    line = lines[number]
    same = [other for other in lines if (other.item, other.charge) == (line.item, line.charge)]
    first = next(other for other in same if other.service == line.service)
    return {
        "given": line.quantity,
        "alone": len(same) == 1,
        "capped": line.capped,
        "began": item_of(scope, line).valid.start,
        "low": line.service.start,
        "high": closed(line.service),
        "base": Decimal(first.base_quantity),
        "allowance": Decimal(first.allowance),
        "price": line.unit_price,
        "first": False,
        **_of_charge(scope, line, first.above),
    }


def _of_charge(scope: Scope, line: Line, before: Decimal) -> Row:
    """How the quantity is counted; taken as given where only pricing knows."""
    if line.kind is not LineKind.CHARGE:
        return GIVEN
    charge = price_row(scope, line).price
    counted = {**GIVEN, "cap": charge.cap, "before": before}
    if _committed(scope, line):
        return counted
    match charge.quantity:
        case Hours() if _plain(charge):
            return {**counted, "mode": "hours"}
        case Allocation(count=count):
            return {**counted, "count": Decimal(count), **_of_usage(charge, line)}
        case Sum():
            return {**counted, **_of_usage(charge, line)}
        case _:
            return counted


def _plain(charge: Charge) -> bool:
    """Hours that are billed as they are."""
    whole = charge.share.taken == charge.share.whole
    return whole and charge.allowance is None and isinstance(charge.model, PerUnit)


def _committed(scope: Scope, line: Line) -> bool:
    """A price of the charge has a commit: what an earlier one leaves, a later one uses."""
    own = (line.item, line.charge)
    return any(row.price.commit for row in scope.prices if (row.item, row.charge) == own)


def _of_usage(charge: Charge, line: Line) -> Row:
    unit, share = charge.unit, charge.share
    taken = {
        "series": (type(charge.quantity).__name__, unit.of, unit.name, unit.is_, unit.step),
        "unit": Decimal(unit.is_), "step": unit.step, "taken": share.taken, "whole": share.whole,
    }  # fmt: skip
    match charge.model:
        case Package(size=size):
            return {**taken, "mode": "packages", "size": size}
        case Graduated(tiers=tiers):
            ends = [tier.up_to for tier in tiers]
            floor, up_to = _tier(ends, line.above)
            return {**taken, "mode": "units", "floor": floor, "up_to": up_to}
        case _:
            return {**taken, "mode": "units"}


def _tier(ends: Iterable[Decimal | None], above: Decimal) -> tuple[Decimal, Decimal | None]:
    """The bounds of the tier that holds the unit after ``above``."""
    floor = Decimal(0)
    for end in ends:
        if end is None or above < end:
            return floor, end
        floor = end
    raise LookupError(f"no tier holds what is above {above}")
