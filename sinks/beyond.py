"""What a change of an item does not reach, for whoever makes it to be told. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.choices import Part, chosen
from sinks.choices import load_choices
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Handed:
    """An item that began where another was handed over, and the server or plan that it has then."""

    to: str
    at: datetime
    value: str


def handed_on(conn: Connection, item: str, part: Part) -> Handed | None:
    """The item that goes on with the server of an item that was handed over, or with its plan where
    none was said for it: as they were when it was.
    """
    row = conn.execute(
        """
        SELECT c.content->>'to', c.at, c.content->>'plan' IS NOT NULL
        FROM item i JOIN timeline_change c ON c.scopes @> ARRAY[i.scope_id]
        WHERE i.item_id = %s AND c.content->>'item' = i.item_id AND c.command = 'hand-over'
          AND c.at = upper(i.valid) AND (c.answer->>'changed')::boolean
        ORDER BY c.change_id DESC LIMIT 1
        """,
        (item,),
    ).fetchone()
    if row is None or (part is Part.PLAN and row[2]):
        return None
    to, at, _ = row
    has = chosen(load_choices(conn, [to])[to], part, at)
    return None if has is None else Handed(to, at, has.value)


@dataclass(frozen=True, slots=True)
class Lasting:
    """A contract whose minimum is charged though nothing of its scope is rented any more."""

    scope: str
    contract: str
    until: datetime | None


def minimums_after(conn: Connection, item: str) -> list[Lasting]:
    """The contracts of the item's scope that ask for a minimum after its last item's end."""
    rows = conn.execute(
        """
        SELECT k.scope_id, k.version, nullif(max(least(
                   coalesce(upper(k.valid), 'infinity'),
                   coalesce((one #>> '{valid,end}')::timestamptz, 'infinity'))), 'infinity')
        FROM (SELECT scope_id, max(coalesce(upper(valid), 'infinity')) AS ended
              FROM item WHERE scope_id = (SELECT scope_id FROM item WHERE item_id = %s)
              GROUP BY 1) s
        JOIN contract_known() k USING (scope_id)
        CROSS JOIN jsonb_array_elements(k.commitments) AS one
        WHERE least(upper(k.valid), (one #>> '{valid,end}')::timestamptz) IS NULL
           OR least(upper(k.valid), (one #>> '{valid,end}')::timestamptz) > s.ended
        GROUP BY 1, 2, s.ended HAVING s.ended < 'infinity' ORDER BY 3 NULLS LAST, 2
        """,
        (item,),
    ).fetchall()
    return [Lasting(*row) for row in rows]
