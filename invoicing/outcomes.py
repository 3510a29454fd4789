"""Outcomes of groups: what of a group is sealed already, and what the last close said of it."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from invoicing.document import Document
from invoicing.plan import Group
from invoicing.reconcile import Reconciliation
from invoicing.report import Outcome, Status
from schemas.billing import Span
from schemas.serial import to_json
from sinks.database import Connection

FIELDS: Final = ("invoice_id", "number", "net", "tax", "gross", "lines")


def outcome_of(group: Group, status: Status, **rest: Any) -> Outcome:
    """An outcome of these scopes."""
    return Outcome(group.account, group.currency, group.period, group.scopes, status, **rest)


def made(group: Group, status: Status, document: Document, checked: int) -> Outcome:
    """Of a document, final or not."""
    billed = bool(document.lines)
    return outcome_of(
        group,
        status,
        kind=document.kind,
        corrects=document.corrects,
        invoice_id=document.invoice_id if billed and document.number else None,
        number=document.number or None,
        net=document.totals.net,
        tax=document.totals.tax,
        gross=document.totals.gross,
        lines=len(document.lines),
        checked=checked,
    )


def parked(group: Group, found: Reconciliation) -> Outcome:
    """Of what does not reconcile."""
    return outcome_of(
        group,
        Status.PARKED,
        checked=found.checked,
        differences=found.differences,
        reasons=tuple(str(difference) for difference in found.differences),
    )


def corrected_outcomes(conn: Connection, group: Group) -> list[Outcome]:
    """Documents that only correct and that a close of the group's period made."""
    rows = conn.execute(
        """
        SELECT i.kind, i.corrects, i.period_start, i.period_end,
               array_agg(DISTINCT a.scope_id ORDER BY a.scope_id),
               i.invoice_id::text, i.number, i.net, i.tax, i.gross,
               (SELECT count(*) FROM invoice_line l WHERE l.invoice_id = i.invoice_id)
        FROM invoice i JOIN adjustment a USING (invoice_id)
        WHERE (i.account_id, i.currency) = (%s, %s) AND a.close_of = %s
          AND NOT EXISTS (SELECT FROM scope_seal z WHERE z.invoice_id = i.invoice_id)
        GROUP BY i.invoice_id ORDER BY i.number
        """,
        (group.account, group.currency, group.period.start),
    ).fetchall()
    return [
        outcome_of(
            replace(group, period=Span(start, end), scopes=tuple(scopes)),
            Status.EXISTS,
            kind=kind,
            corrects=corrects,
            **dict(zip(FIELDS, rest, strict=True)),
        )
        for kind, corrects, start, end, scopes, *rest in rows
    ]


def sealed_outcomes(conn: Connection, group: Group) -> tuple[list[Outcome], tuple[str, ...]]:
    """Outcomes of what is sealed, and the scopes that are not."""
    rows = conn.execute(
        """
        SELECT s.scope_id, i.invoice_id::text, i.number, i.net, i.tax, i.gross,
               (SELECT count(*) FROM invoice_line l WHERE l.invoice_id = i.invoice_id)
        FROM scope_seal s LEFT JOIN invoice i USING (invoice_id)
        WHERE s.scope_id = ANY(%s) AND s.period_start = %s ORDER BY i.number, s.scope_id
        """,
        (list(group.scopes), group.period.start),
    ).fetchall()
    invoices: dict[tuple[Any, ...], list[str]] = {}
    for scope, *invoice in rows:
        invoices.setdefault(tuple(invoice), []).append(scope)
    found = [
        outcome_of(
            replace(group, scopes=tuple(scopes)),
            Status.EXISTS if invoice[0] else Status.EMPTY,
            **dict(zip(FIELDS, invoice, strict=True)),
        )
        for invoice, scopes in invoices.items()
    ]
    sealed = {row[0] for row in rows}
    return found, tuple(scope for scope in group.scopes if scope not in sealed)


def note(conn: Connection, outcome: Outcome, closed_at: datetime) -> None:
    """Enters the outcome in place of the one before; of several for one period the last stays.

    An invoice that is found again stays as it was issued: the close that made it checked it.
    """
    conn.execute(
        """
        INSERT INTO close_outcome AS o (account_id, currency, period_start, period_end, closed_at,
                                        status, scopes, checked, differences, reasons)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (account_id, currency, period_start) DO UPDATE
        SET closed_at = excluded.closed_at, status = excluded.status, scopes = excluded.scopes,
            checked = excluded.checked, differences = excluded.differences,
            reasons = excluded.reasons
        WHERE o.closed_at <= excluded.closed_at
          AND NOT (o.status = 'issued' AND excluded.status = 'exists')
        """,
        (
            outcome.account, outcome.currency, outcome.period.start, outcome.period.end,
            closed_at, outcome.status.value, len(outcome.scopes), outcome.checked,
            Jsonb(to_json(outcome.differences)), list(outcome.reasons),
        ),
    )  # fmt: skip
