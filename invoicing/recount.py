"""Quantities and nets of lines, a second time, by the database in numeric. Reads no table."""

from collections.abc import Sequence
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final

from invoicing.pieces import item_of, price_row
from pipeline.money import minor_units
from pipeline.periods import closed
from schemas.billing import HourlyCap, Line, Overage, Scope
from sinks.database import Connection

ARITHMETIC: Final = (files("invoicing") / "queries" / "arithmetic.sql").read_text()


def recount(
    conn: Connection, scope: Scope, lines: Sequence[Line], currency: str
) -> list[tuple[Decimal, Decimal | None]]:
    """(quantity, net) of each line; None where a cap is shared with other lines."""
    if not lines:
        return []
    rows = [_row(scope, lines, number) for number in range(len(lines))]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    found = conn.execute(ARITHMETIC, {**columns, "digits": minor_units(currency)})
    return [(quantity, net) for _, quantity, net in found]


def add_up(conn: Connection, amounts: Sequence[Decimal]) -> Decimal:
    """The sum, by the database."""
    row = conn.execute(
        "SELECT coalesce(sum(a), 0) FROM unnest(%s::numeric[]) AS a", (list(amounts),)
    ).fetchone()
    assert row is not None
    return Decimal(row[0])


def _row(scope: Scope, lines: Sequence[Line], number: int) -> dict[str, Any]:
    line = lines[number]
    model = price_row(scope, line).model
    item = item_of(scope, line)
    same = [other for other in lines if (other.item, other.charge) == (line.item, line.charge)]
    return {
        "no": number,
        "alone": len(same) == 1,
        "capped": line.capped,
        "began": item.valid.start,
        "low": line.service.start,
        "high": closed(line.service),
        "base": Decimal(line.base_quantity),
        "allowance": Decimal(line.allowance),
        "price": line.unit_price,
        **_of_model(model),
    }


def _of_model(model: HourlyCap | Overage) -> dict[str, Any]:
    if isinstance(model, HourlyCap):
        return {"rent": True, "unit": Decimal(1), "step": Decimal(1), "cap": model.cap}
    unit = model.unit
    return {"rent": False, "unit": Decimal(unit.is_), "step": unit.step, "cap": None}
