"""The price timeline's rows: read and written inside a command's transaction."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from psycopg import errors
from psycopg.types.json import Jsonb

from pipeline.choices import Priced
from schemas.billing import PriceRow, Span
from schemas.errors import RefusedError
from schemas.prices import Charge
from schemas.serial import from_json, to_json
from sinks.database import Connection


def stored_prices(conn: Connection, items: Collection[str]) -> dict[str, list[Priced]]:
    """By item, its price rows by charge and time."""
    found: defaultdict[str, list[Priced]] = defaultdict(list)
    rows = conn.execute(
        """
        SELECT plan, item_id, charge, lower(valid), upper(valid), price, version, reason
        FROM item_price WHERE item_id = ANY(%s) ORDER BY item_id, charge, lower(valid)
        """,
        (list(items),),
    )
    for plan, item, charge, low, high, price, version, reason in rows:
        row = PriceRow(item, charge, Span(low, high), from_json(Charge, price), version, reason)
        found[item].append(Priced(plan, row))
    return found


def write_prices(
    conn: Connection, before: Collection[Priced], after: Collection[Priced], entered_at: datetime
) -> bool:
    """The rows of before become those of after; what is in both stays as it was entered.

    False where they are the same. The exclusion constraint refuses two prices at one time.
    """
    gone = [one.row for one in before if one not in after]
    new = [one for one in after if one not in before]
    with conn.cursor() as cursor:
        cursor.executemany(
            "DELETE FROM item_price WHERE item_id = %s AND charge = %s AND lower(valid) = %s",
            [(row.item, row.charge, row.valid.start) for row in gone],
        )
        try:
            cursor.executemany(
                """
                INSERT INTO item_price
                    (item_id, charge, valid, price, version, reason, entered_at, plan)
                VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s, %s, %s, %s, %s)
                """,
                [_values(one, entered_at) for one in new],
            )
        except errors.ExclusionViolation:
            plan = next((one.plan for one in new if one.plan), "it has")
            raise RefusedError(
                f"Item {new[0].row.item} has an add-on that is called like a charge of the plan"
                f" {plan}: drop it first."
            ) from None
    return bool(gone or new)


def _values(one: Priced, entered_at: datetime) -> tuple[object, ...]:
    row = one.row
    price = Jsonb(to_json(row.price))
    span = (row.valid.start, row.valid.end)
    return (row.item, row.charge, *span, price, row.version, row.reason, entered_at, one.plan)
