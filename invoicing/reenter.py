"""Enters an invoice again that a restore of the database lost, from its own file: the same document
under the same number, or none.
"""

import json
from dataclasses import replace
from pathlib import Path

from psycopg import errors

from invoicing.booking import book
from invoicing.digest import DIGEST
from invoicing.document import Document
from invoicing.export import read
from invoicing.looks import write_lines, write_look
from invoicing.outside import number_log, settle_numbers
from invoicing.rows import final_of, seal_rows, write_invoices, write_seals
from invoicing.seal import act
from invoicing.verify import content, verify
from schemas.errors import DifferenceError, RefusedError
from sinks.audit import record
from sinks.database import Connection, hold_schema


def reenter(conn: Connection, path: Path, numbers: Path) -> Document:
    """Writes invoice, lines, positions, seals, draws and journal as the close wrote them, in one
    transaction.

    Raises DifferenceError where the file was altered or is not the one that was issued,
    RefusedError where the number is not missing, a scope was billed otherwise since, or what it
    names is lost too.
    """
    if findings := verify(path):
        raise DifferenceError(f"{path} is not what was sealed: {findings[0]}.")
    body = json.loads(content(path))
    document = read(body)
    with conn.transaction():
        hold_schema(conn)
        _check(conn, document, body[DIGEST], path)
        try:
            write_invoices(conn, [final_of(document)])
            write_lines(conn, document)
            write_seals(conn, seal_rows(document))
            for one in document.adjusted:
                write_look(conn, one, document.issued_at, document.period.start, document)
            book(conn, [document])
            record(conn, replace(act("invoice.reenter", document, body[DIGEST]), at=None))
        except errors.ForeignKeyViolation as error:
            raise RefusedError(
                f"{document.number} names what this database does not have"
                f" ({error.diag.message_detail}): enter that first."
            ) from error
        except errors.UniqueViolation as error:
            raise RefusedError(
                f"{document.number} cannot be entered: its period is closed already"
                f" ({error.diag.message_detail})."
            ) from error
    settle_numbers(conn, number_log(conn, numbers))
    return document


def _check(conn: Connection, document: Document, proof: str, path: Path) -> None:
    row = conn.execute(
        "SELECT digest FROM number_outside WHERE number = %s", (document.number,)
    ).fetchone()
    there = conn.execute("SELECT 1 FROM invoice WHERE number = %s", (document.number,)).fetchone()
    if row is None or there is not None:
        known = "is in the database" if there else "is no number that the database lost"
        raise RefusedError(f"{document.number} {known}: see `rackmeter invoice outside`.")
    if row[0] != proof:
        raise DifferenceError(
            f"{path} is not the {document.number} that was issued: the number log has digest"
            f" {row[0]}, the file {proof}."
        )
