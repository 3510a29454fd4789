"""What versions call their plans, of those that are published; items that nobody gave a title."""

import tomllib
from typing import Any, Final

from alembic import context, op

from sinks.migrations import revisions, script

revision = "0020_titles"
down_revision = revisions()[revisions().index(revision) - 1]

_BARE: Final = """
    WITH RECURSIVE rented AS (
        (SELECT DISTINCT ON (item_id) item_id, version, value AS plan FROM item_choice
         WHERE part = 'plan' ORDER BY item_id, at)
        UNION ALL
        SELECT content ->> 'item', content ->> 'catalog', content ->> 'plan' FROM timeline_change
        WHERE command = 'rent'
    ), bare AS (
        SELECT i.item_id, i.title
        FROM item i JOIN rented r USING (item_id)
        JOIN catalog_plan p ON (p.version, p.plan) = (r.version, r.plan)
        WHERE p.title = i.title
        UNION
        SELECT t.item_id, t.title
        FROM bare b
        JOIN timeline_change h ON h.command = 'hand-over' AND h.content ->> 'item' = b.item_id
        JOIN item t ON t.item_id = h.content ->> 'to' AND t.title = b.title
        WHERE h.content ->> 'title' IS NULL
    ), past AS (
        UPDATE item_past p SET title = '' FROM bare
        WHERE (p.item_id, p.title) = (bare.item_id, bare.title)
    )
    UPDATE item i SET title = '' FROM bare WHERE i.item_id = bare.item_id
"""
"""A title is written with each item of before: its plan's by the price list it was rented at, and
that of the other where it was handed over. What is neither was given.
"""


def upgrade() -> None:
    if context.config.attributes["second"]:
        return
    cursor = op.get_bind().connection.cursor()
    cursor.execute(script(revision))
    cursor.execute(
        "SELECT v.version, v.body, b.body FROM catalog_version v"
        " LEFT JOIN contract c USING (version) LEFT JOIN catalog_version b ON b.version = c.base"
    )
    cursor.executemany(
        "INSERT INTO catalog_plan (version, plan, title) VALUES (%s, %s, %s)",
        [
            (version, plan, title)
            for version, body, base in cursor.fetchall()
            for plan, title in ({**_plans(base or ""), **_plans(body)}).items()
        ],
    )
    cursor.execute("ALTER TABLE item DISABLE TRIGGER item_kept")
    cursor.execute(_BARE)
    cursor.execute("ALTER TABLE item ENABLE TRIGGER item_kept")


def _plans(body: str) -> dict[str, str]:
    """Names of a file's plans. Published files are sound; another says nothing."""
    try:
        plans: dict[str, Any] = tomllib.loads(body).get("plan", {})
    except tomllib.TOMLDecodeError:
        return {}
    return {name: plan["name"] for name, plan in plans.items() if "name" in plan}
