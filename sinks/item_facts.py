"""All that is true of one item, or that was known of it at an instant. Reads only."""

from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from schemas.errors import RefusedError
from sinks.database import Connection

_QUERIES = {
    "item": """
        SELECT item_id AS item, s.account_id AS account, t.scope_id AS scope, title,
               (SELECT value FROM {choice} c
                WHERE c.item_id = t.item_id AND c.part = 'plan' AND c.at <= greatest(
                    lower(valid),
                    least(coalesce(%(known)s, now()), upper(valid) - '1us'::interval))
                ORDER BY c.at DESC LIMIT 1) AS plan,
               lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t JOIN rating_scope s USING (scope_id) WHERE item_id = %(item)s
    """,
    "item_choice": """
        SELECT part, name, at, value, version, entered_at
        FROM {t} t WHERE item_id = %(item)s ORDER BY at, part, name
    """,
    "assignment": """
        SELECT server_id AS server, lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t WHERE item_id = %(item)s ORDER BY lower(valid)
    """,
    "item_price": """
        SELECT charge, plan, version, lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t WHERE item_id = %(item)s ORDER BY charge, lower(valid)
    """,
    "item_interval": """
        SELECT kind, reason, lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t WHERE item_id = %(item)s ORDER BY lower(valid), kind
    """,
}


def facts(conn: Connection, item: str, known_at: datetime | None = None) -> dict[str, Any]:
    """The item with its servers, prices and intervals, what was chosen, and its commands by then.

    Its plan is that of now, or of then; of an item that has ended its last.
    """
    wanted = {"item": item, "known": known_at}
    found = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        for name, query in _QUERIES.items():
            tables = {"t": _table(name, known_at), "choice": _table("item_choice", known_at)}
            found[name] = cursor.execute(sql.SQL(query).format(**tables), wanted).fetchall()
        changes = cursor.execute(
            """
            SELECT change_id AS change, command, at, entered_at, entered_by AS by, reason AS why,
                   content
            FROM timeline_change
            WHERE (content ->> 'item' = %(item)s OR content ->> 'to' = %(item)s)
              AND (%(known)s::timestamptz IS NULL OR entered_at <= %(known)s)
            ORDER BY change_id
            """,
            wanted,
        ).fetchall()
    if not found["item"]:
        raise RefusedError(f"There is no item {item}.")
    return {
        **found["item"][0],
        "servers": found["assignment"],
        "prices": found["item_price"],
        "intervals": found["item_interval"],
        "choices": found["item_choice"],
        "changes": changes,
    }


def _table(name: str, known_at: datetime | None) -> sql.Composable:
    """A timeline as it is, or as it was known."""
    if known_at is None:
        return sql.Identifier(name)
    return sql.SQL("{}(%(known)s)").format(sql.Identifier(f"{name}_known"))
