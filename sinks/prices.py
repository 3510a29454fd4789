"""The price timeline's rows: opening and closing them inside a command's transaction."""

from collections.abc import Iterable
from datetime import datetime

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from schemas.billing import PriceRow
from schemas.errors import RefusedError
from schemas.serial import to_json
from sinks.database import Connection


def add_prices(conn: Connection, rows: Iterable[PriceRow], entered_at: datetime) -> None:
    """Writes price rows; the exclusion constraint refuses two prices at one time."""
    values = [
        (
            row.item,
            row.charge,
            row.valid.start,
            row.valid.end,
            Jsonb(to_json(row.price)),
            row.price.tax,
            row.version,
            row.reason,
            entered_at,
        )
        for row in rows
    ]
    with conn.cursor() as cursor:
        try:
            cursor.executemany(
                """
                INSERT INTO item_price
                    (item_id, charge, valid, price, tax, version, reason, entered_at)
                VALUES (%s, %s, tstzrange(%s, %s, '[)'), %s, %s, %s, %s, %s)
                """,
                values,
            )
        except errors.ForeignKeyViolation:
            raise RefusedError(
                f"Catalogue {values[0][6]} has not been applied: `rackmeter catalog apply` it."
            ) from None


def close_prices(conn: Connection, item: str, at: datetime) -> None:
    """Prices end at `at`; those that were to begin later never do."""
    conn.execute("DELETE FROM item_price WHERE item_id = %s AND lower(valid) >= %s", (item, at))
    close_rows(conn, "item_price", item, at)


def close_rows(conn: Connection, table: str, item: str, at: datetime) -> None:
    """Ends the item's rows in force at `at`; one that begins there is left alone."""
    conn.execute(
        sql.SQL(
            """
            UPDATE {} SET valid = tstzrange(lower(valid), %s, '[)')
            WHERE item_id = %s AND lower(valid) < %s AND (upper_inf(valid) OR upper(valid) > %s)
            """
        ).format(sql.Identifier(table)),
        (at, item, at, at),
    )
