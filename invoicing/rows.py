"""Final documents and seals as rows, many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg import sql

from invoicing.digest import finished, unnumbered
from invoicing.document import Document
from schemas.serial import digest
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Issued:
    """A document as it is stored. Nothing of one without a number is."""

    document: Document
    text: str = ""
    digest: str = ""


def final_of(document: Document) -> Issued:
    """A document that has its number."""
    text, proof = finished(unnumbered(document), document.number)
    return Issued(document, text.decode(), proof)


def write_invoices(conn: Connection, finals: Sequence[Issued]) -> None:
    """Invoices with their lines and positions."""
    documents = [one.document for one in finals]
    _insert(conn, "invoice", _INVOICE, [_row(one) for one in finals])
    lines = [
        (document.invoice_id, position, row.line.key, row.line.net)
        for document in documents
        for position, row in enumerate(document.lines, 1)
    ]
    _insert(conn, "invoice_line", _LINE, lines)
    cuts = [
        (document.invoice_id, one.topic, one.partition, one.next_offset)
        for document in documents
        for one in document.cut
    ]
    _insert(conn, "invoice_cut", _CUT, cuts)


_INVOICE: Final = """
    invoice_id uuid, number text, kind text, entity text, account_id text,
    period_start timestamptz, period_end timestamptz, currency text, net numeric, tax numeric,
    gross numeric, issued_at timestamptz, document jsonb, digest text, due numeric,
    due_at timestamptz, corrects text
"""
_LINE: Final = "invoice_id uuid, position int, line_key text, net numeric"
_CUT: Final = "invoice_id uuid, topic_id uuid, part int, next_offset bigint"
_SEAL: Final = """
    scope_id text, period_start timestamptz, period_end timestamptz, entered_before timestamptz,
    input_digest text, invoice_id uuid
"""


def _row(final: Issued) -> tuple[Any, ...]:
    document, totals = final.document, final.document.totals
    return (
        document.invoice_id, document.number, document.kind, document.seller.entity,
        document.buyer.account, document.period.start, document.period.end, document.currency,
        totals.net, totals.tax, totals.gross, document.issued_at, final.text, final.digest,
        totals.due, document.due_at, document.corrects,
    )  # fmt: skip


def _insert(
    conn: Connection, table: LiteralString, columns: LiteralString, rows: Sequence[Sequence[Any]]
) -> None:
    """In one statement, binary: no document is escaped. COPY may not where rows are guarded."""
    if not rows:
        return
    named = [column.split() for column in columns.split(",")]
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in named)
    arrays = sql.SQL(", ").join(sql.SQL("%b::{}[]").format(sql.SQL(kind)) for _, kind in named)
    statement = sql.SQL("INSERT INTO {} ({}) SELECT * FROM unnest({})")
    conn.execute(
        statement.format(sql.Identifier(table), names, arrays),
        [list(column) for column in zip(*rows, strict=True)],
    )


def seal_rows(document: Document) -> list[tuple[Any, ...]]:
    """What closes each scope's period."""
    return [
        (
            priced.scope.scope, document.period.start, document.period.end, document.issued_at,
            digest(priced.inputs), document.invoice_id if document.lines else None,
        )
        for priced in document.priced
    ]  # fmt: skip


def write_seals(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Each scope's period is closed."""
    _insert(conn, "scope_seal", _SEAL, rows)
