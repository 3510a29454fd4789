"""Writes down that a sealed period was looked at: what was billed for it, and what it rested on.

Everything here belongs inside the transaction that makes the document final, or, where nothing
differed, inside one of its own.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb

from invoicing.corrections import corrections, left
from invoicing.document import Adjusted, Document
from invoicing.due import settle_due
from invoicing.opened import write_opened
from invoicing.recompute import Look
from schemas.billing import LineKind
from schemas.serial import digest, to_json
from sinks.database import Connection


class LookedAtError(Exception):
    """Somebody else has looked at one of the periods meanwhile."""


def refuse_looked_at(conn: Connection, looks: Iterable[Look]) -> None:
    """Nobody has billed, or found nothing to bill, since these were read. Scopes are locked."""
    for look in looks:
        row = conn.execute(
            "SELECT count(*) FROM adjustment WHERE (scope_id, period_start) = (%s, %s)",
            (look.due.scope, look.due.period.start),
        ).fetchone()
        if row != (look.billed.looks,):
            raise LookedAtError


def keep_looks(
    conn: Connection,
    looks: Sequence[Look],
    looked_at: datetime,
    close_of: datetime,
    document: Document | None = None,
) -> None:
    """The looks as rows, with what was open; what was noted for them is settled. Of those that came
    to the same nothing is in the document.
    """
    for look in looks:
        billed = document if look.corrections else None
        number = write_look(conn, look.adjusted, looked_at, close_of, billed)
        write_opened(conn, look.opened, number)
        settle_due(conn, look.due.ids)


def write_look(
    conn: Connection,
    adjusted: Adjusted,
    looked_at: datetime,
    close_of: datetime,
    document: Document | None = None,
) -> int:
    """One look; returns its number. ``document`` is what bills the difference."""
    inputs = adjusted.priced.inputs
    at = adjusted.priced.scope.scope, inputs.period.start
    row = conn.execute(
        """
        INSERT INTO adjustment
        SELECT %s, %s, coalesce(max(look), 0) + 1, %s, %s, %s, %s, %s FROM adjustment
        WHERE (scope_id, period_start) = (%s, %s) RETURNING look
        """,
        (
            *at,
            looked_at,
            digest(inputs),
            document and document.invoice_id,
            close_of,
            Jsonb(to_json(left(adjusted.priced))),
            *at,
        ),
    ).fetchone()
    assert row is not None  # an aggregate has a row
    return int(row[0])


def write_lines(conn: Connection, document: Document) -> None:
    """Which line of the document corrects what."""
    rows = [
        (position, row.line.key)
        for position, row in enumerate(document.lines, 1)
        if row.line.kind is LineKind.ADJUSTMENT
    ]
    made = [(one, found) for one in document.adjusted for found in corrections(one)]
    if [key for _, key in rows] != [found.line.key for _, found in made]:
        raise ValueError(f"lines of {document.number} are not those of its corrections")
    if not rows:
        return
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO adjustment_line VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    document.invoice_id, position, found.line.scope,
                    one.priced.inputs.period.start, found.line.corrects, found.kind.value,
                )
                for (position, _), (one, found) in zip(rows, made, strict=True)
            ],
        )  # fmt: skip
