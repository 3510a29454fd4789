"""All that is true of one item, or that was known of it at an instant. Reads only."""

from datetime import datetime
from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from schemas.errors import RefusedError
from sinks.database import Connection

_QUERIES = {
    "item": """
        SELECT item_id AS item, s.account_id AS account, t.scope_id AS scope, title,
               lower(valid) AS from, upper(valid) AS to, entered_at,
               greatest(lower(valid), least(coalesce(%(known)s, now()),
                                            upper(valid) - '1us'::interval)) AS at
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
        SELECT charge, plan, title, coalesce((price #>> '{{quantity,count}}')::int, 1) AS count,
               version, lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t LEFT JOIN catalog_plan c USING (version, plan)
        WHERE item_id = %(item)s ORDER BY charge, lower(valid)
    """,
    "item_interval": """
        SELECT kind, reason, lower(valid) AS from, upper(valid) AS to, entered_at
        FROM {t} t WHERE item_id = %(item)s ORDER BY lower(valid), kind
    """,
}


def facts(conn: Connection, item: str, known_at: datetime | None = None) -> dict[str, Any]:
    """The item with its plans, add-ons, servers, prices and intervals, what was chosen, and its
    commands by then.

    Plan and title are those of now, or of then; of an item that has ended its last.
    """
    wanted = {"item": item, "known": known_at}
    found: dict[str, list[dict[str, Any]]] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        for name, query in _QUERIES.items():
            table = _table(name, known_at)
            found[name] = cursor.execute(sql.SQL(query).format(t=table), wanted).fetchall()
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
    [shown], prices = found["item"], found["item_price"]
    plans = _plans(prices)
    at = shown.pop("at")
    now: dict[str, Any] = next((one for one in reversed(plans) if one["from"] <= at), {})
    return {
        **shown,
        "title": shown["title"] or now.get("title"),
        "plan": now.get("plan"),
        "plans": plans,
        "addons": [
            {"addon": one["charge"], **{name: one[name] for name in ("count", *_DATED)}}
            for one in prices
            if not one["plan"]
        ],
        "servers": found["assignment"],
        "prices": found["item_price"],
        "intervals": found["item_interval"],
        "choices": found["item_choice"],
        "changes": changes,
    }


_DATED: Final = ("version", "from", "to", "entered_at")


def _plans(prices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Which it has from when to when, at the prices of which version; told by any charge of it."""
    found = {one["from"]: one for one in prices if one["plan"]}
    names = ("plan", "title", *_DATED)
    return [{name: found[at][name] for name in names} for at in sorted(found)]


def _table(name: str, known_at: datetime | None) -> sql.Composable:
    """A timeline as it is, or as it was known."""
    if known_at is None:
        return sql.Identifier(name)
    return sql.SQL("{}(%(known)s)").format(sql.Identifier(f"{name}_known"))
