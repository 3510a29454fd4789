"""Outcomes of groups: what of a group is sealed already, and what the last close said of it."""

from collections.abc import Sequence
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


def corrected_outcomes(conn: Connection, groups: Sequence[Group]) -> list[list[Outcome]]:
    """Of each group the documents that only correct and that a close of its period made."""
    rows = conn.execute(
        """
        SELECT w.no - 1, i.kind, i.corrects, i.document->'adjusted'->0->>'invoice',
               i.period_start, i.period_end,
               array_agg(DISTINCT a.scope_id ORDER BY a.scope_id),
               i.invoice_id::text, i.number, i.net, i.tax, i.gross,
               (SELECT count(*) FROM invoice_line l WHERE l.invoice_id = i.invoice_id)
        FROM unnest(%s::text[], %s::text[], %s::timestamptz[])
             WITH ORDINALITY AS w (account_id, currency, close_of, no)
        JOIN invoice i USING (account_id, currency)
        JOIN adjustment a USING (invoice_id, close_of)
        WHERE NOT EXISTS (SELECT FROM scope_seal z WHERE z.invoice_id = i.invoice_id)
        GROUP BY 1, i.invoice_id ORDER BY i.number
        """,
        (
            [group.account for group in groups],
            [group.currency for group in groups],
            [group.period.start for group in groups],
        ),
    )
    found: list[list[Outcome]] = [[] for _ in groups]
    for at, kind, corrects, about, start, end, scopes, *rest in rows:
        corrected = replace(groups[at], period=Span(start, end), scopes=tuple(scopes))
        known = dict(zip(FIELDS, rest, strict=True))
        said = {"kind": kind, "corrects": corrects, "about": about, **known}
        found[at].append(outcome_of(corrected, Status.EXISTS, **said))
    return found


def sealed_outcomes(
    conn: Connection, groups: Sequence[Group]
) -> list[tuple[list[Outcome], tuple[str, ...]]]:
    """Of each group the outcomes of what is sealed, and the scopes that are not."""
    rows = conn.execute(
        """
        SELECT w.no - 1, s.scope_id, i.invoice_id::text, i.number, i.net, i.tax, i.gross,
               (SELECT count(*) FROM invoice_line l WHERE l.invoice_id = i.invoice_id),
               coalesce(i.kind, 'invoice'), coalesce(i.corrects, '')
        FROM unnest(%s::int[], %s::text[], %s::timestamptz[]) AS w (no, scope_id, period_start)
        JOIN scope_seal s USING (scope_id, period_start)
        LEFT JOIN invoice i USING (invoice_id)
        ORDER BY i.number, s.scope_id
        """,
        (
            [at + 1 for at, group in enumerate(groups) for _ in group.scopes],
            [scope for group in groups for scope in group.scopes],
            [group.period.start for group in groups for _ in group.scopes],
        ),
    )
    invoices: list[dict[tuple[Any, ...], list[str]]] = [{} for _ in groups]
    for at, scope, *invoice in rows:
        invoices[at].setdefault(tuple(invoice), []).append(scope)
    return [_sealed(group, mine) for group, mine in zip(groups, invoices, strict=True)]


def _sealed(
    group: Group, invoices: dict[tuple[Any, ...], list[str]]
) -> tuple[list[Outcome], tuple[str, ...]]:
    found = [
        outcome_of(
            replace(group, scopes=tuple(scopes)),
            Status.EXISTS if invoice[0] else Status.EMPTY,
            **dict(zip((*FIELDS, "kind", "corrects"), invoice, strict=True)),
        )
        for invoice, scopes in invoices.items()
    ]
    sealed = {scope for scopes in invoices.values() for scope in scopes}
    return found, tuple(scope for scope in group.scopes if scope not in sealed)


def note(
    conn: Connection, groups: Sequence[Group], outcomes: Sequence[Outcome], closed_at: datetime
) -> None:
    """Enters each in place of the one before; of several for one period the last stays. What a
    close before could not correct of these accounts, and this one had not to, is over.

    An invoice that is found again stays as it was issued: the close that made it checked it.
    """
    whom = [group.account for group in groups], [group.currency for group in groups]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(_NOTE, [_noted(one, closed_at) for one in outcomes])
        cursor.execute(_OVER, (*whom, closed_at))


_NOTE: Final = """
    INSERT INTO close_outcome AS o (account_id, currency, period_start, period_end, closed_at,
                                    status, scopes, checked, differences, reasons, correction,
                                    corrects)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (account_id, currency, period_start, correction, corrects) DO UPDATE
    SET closed_at = excluded.closed_at, status = excluded.status, scopes = excluded.scopes,
        checked = excluded.checked, differences = excluded.differences,
        reasons = excluded.reasons
    WHERE o.closed_at <= excluded.closed_at
      AND NOT (o.status = 'issued' AND excluded.status = 'exists')
"""
_OVER: Final = """
    UPDATE close_outcome o SET status = 'empty', differences = '[]', reasons = '{}'
    FROM unnest(%s::text[], %s::text[]) AS w (account_id, currency)
    WHERE o.account_id = w.account_id AND o.currency = w.currency AND o.correction
      AND o.status IN ('parked', 'waiting') AND o.closed_at < %s
"""


def _noted(outcome: Outcome, closed_at: datetime) -> tuple[Any, ...]:
    return (
        outcome.account, outcome.currency, outcome.period.start, outcome.period.end,
        closed_at, outcome.status.value, len(outcome.scopes), outcome.checked,
        Jsonb(to_json(outcome.differences)), list(outcome.reasons), outcome.about is not None,
        outcome.about or "",
    )  # fmt: skip
