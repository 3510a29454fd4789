"""The price timeline's rows: opening and closing them inside a command's transaction."""

from collections.abc import Iterable
from datetime import datetime

from psycopg import errors
from psycopg.types.json import Jsonb

from schemas.billing import PriceRow
from schemas.errors import RefusedError
from schemas.serial import to_json
from sinks.database import Connection


def add_prices(
    conn: Connection,
    rows: Iterable[PriceRow],
    entered_at: datetime,
    *,
    plan: str | None = None,
) -> None:
    """Writes price rows; the exclusion constraint refuses two prices at one time.

    `plan` is the plan that the item has then, its present one where it is not said.
    """
    values = [
        (
            row.item,
            row.charge,
            row.valid.start,
            row.valid.end,
            Jsonb(to_json(row.price)),
            row.version,
            row.reason,
            entered_at,
            plan,
            row.item,
        )
        for row in rows
    ]
    with conn.cursor() as cursor:
        try:
            cursor.executemany(
                """
                INSERT INTO item_price
                    (item_id, charge, valid, price, version, reason, entered_at, plan)
                VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s, %s, %s, %s,
                        coalesce(%s, (SELECT plan FROM item WHERE item_id = %s)))
                """,
                values,
            )
        except errors.ForeignKeyViolation:
            raise RefusedError(
                f"Catalogue {values[0][5]} has not been applied: `rackmeter catalog apply` it."
            ) from None


def close_prices(conn: Connection, item: str, at: datetime) -> None:
    """Prices end at `at`; those that were to begin later never do."""
    conn.execute(
        "DELETE FROM item_price WHERE item_id = %s AND lower(valid) >= %s",
        (item, at),
    )
    conn.execute(
        """
        UPDATE item_price SET valid = tstzrange(lower(valid), %s, '[)')
        WHERE item_id = %s AND (upper_inf(valid) OR upper(valid) > %s)
        """,
        (at, item, at),
    )
