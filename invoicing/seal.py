"""The finalising transaction: number, document, digest, seals, positions, all or nothing.

1. Lock the scopes, in order. Whoever closes them too waits here. A crash: nothing.
2. Refuse what is sealed, and go back when a timeline, the wallet or the tax profile changed after
   the snapshot, or somebody else has corrected the same period. A crash: nothing.
3. Take the number: from here on nothing is left that can fail but database and log. A crash
   rolls back and gives the number back; nobody else has taken the next one meanwhile.
4. Write the invoice with its document and digest, its lines, the seals, what it corrects, the
   positions, what it draws from the wallet, its journal entries, and the act for the audit trail.
   As 3.
5. Write the number into the log outside the database, to the disk. A crash: the log has a number
   as taken that no invoice carries; it goes to whoever is next, as 3 (invoicing.outside).
6. COMMIT. A crash before its answer: the seal says what happened; closing again finds it.
7. Write into the log that it is issued. A crash: the next close does, the database knows it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from psycopg.types.json import Jsonb

from invoicing.booking import book
from invoicing.digest import DIGEST, sealed
from invoicing.document import Document, numbered
from invoicing.due import hold_sweeps, note_since
from invoicing.freeze import Frozen
from invoicing.lines import taxed_at
from invoicing.looks import keep_looks, refuse_looked_at, write_lines
from invoicing.number import Number, take_number
from invoicing.number_log import Entry, NumberLog
from invoicing.opened import write_opened
from schemas.billing import Scope
from schemas.errors import DependencyError
from schemas.serial import digest
from schemas.terms import Credit, TaxProfile
from sinks.audit import Act, record
from sinks.database import Connection, hold_schema
from sinks.scopes import load_scopes
from sinks.tax_profiles import profile_at
from sinks.wallet import hold, purse

Failpoint = Callable[[str], None]
LOCKED: Final = "seal:locked"
NUMBERED: Final = "seal:numbered"
WRITTEN: Final = "seal:written"
LOGGED: Final = "seal:logged"
COMMITTED: Final = "seal:committed"


class AlreadySealedError(Exception):
    """Somebody else has closed one of the scopes meanwhile."""


class TimelineChangedError(Exception):
    """What was priced is no longer what timelines, wallet and tax profile say."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is now final; no number where there was nothing to bill."""

    invoice_id: str | None
    number: str | None
    document: Document


def seal(
    conn: Connection, frozen: Frozen, close_of: datetime, log: NumberLog, failpoint: Failpoint
) -> Sealed:
    """Makes the draft final. Begins with no transaction open and leaves none.

    ``close_of`` is the start of the period in whose close it happens.
    """
    draft = frozen.draft
    final, entry, proof = draft, None, ""
    with conn.transaction():
        hold_schema(conn)
        conn.execute("SET LOCAL synchronous_commit = on")  # an invoice never un-happens
        hold_sweeps(conn)
        _lock(conn, frozen)
        failpoint(LOCKED)
        if draft.lines:
            number = take_number(conn, draft.seller, draft.kind, draft.issued_at, draft.invoice_id)
            failpoint(NUMBERED)
            final = numbered(draft, str(number))
            proof = write_invoice(conn, final)
            write_lines(conn, final)
            entry = _entry(final, number, proof)
        write_seals(conn, final)
        write_opened(conn, frozen.opened)
        keep_looks(conn, frozen.looks, final.issued_at, close_of, final)
        note_since(conn, final)
        book(conn, final)
        record(conn, act("invoice.issue" if final.lines else "period.close", final, proof))
        failpoint(WRITTEN)
        if entry is not None:
            log.take(entry)
            failpoint(LOGGED)
    failpoint(COMMITTED)
    if entry is not None:
        with contextlib.suppress(DependencyError):  # the next close writes it
            log.issue(entry)
    made = bool(final.lines)
    return Sealed(final.invoice_id if made else None, final.number or None, final)


def _entry(document: Document, number: Number, proof: str) -> Entry:
    return Entry(
        document.number, number.entity, number.kind, number.year, number.count,
        document.invoice_id, proof, document.buyer.account, document.period.start,
        tuple(one.scope.scope for one in document.priced)
        or tuple(sorted({one.priced.scope.scope for one in document.adjusted})),
    )  # fmt: skip


def act(action: str, document: Document, proof: str) -> Act:
    """A document that becomes final, for the audit trail."""
    account = document.buyer.account
    said = {
        "invoice": document.invoice_id if document.lines else None,
        "period": document.period.start, "currency": document.currency,
        "net": document.totals.net, "gross": document.totals.gross,
        "digest": proof,
        "scopes": [priced.scope.scope for priced in document.priced],
    }  # fmt: skip
    return Act(action, f"invoice/{document.number or account}", account, document.issued_at,
               after=said)  # fmt: skip


def _lock(conn: Connection, frozen: Frozen) -> None:
    """Refuses to go on when anything that the draft rests on is no longer so."""
    draft = frozen.draft
    lock_scopes(conn, frozen.scopes)
    found = conn.execute(
        "SELECT 1 FROM scope_seal WHERE scope_id = ANY(%s) AND period_start = %s",
        ([one.scope.scope for one in draft.priced], draft.period.start),
    ).fetchone()
    if found:
        raise AlreadySealedError
    refuse_looked_at(conn, frozen.looks)
    if _money(conn, draft) != (draft.credits, draft.profile):
        raise TimelineChangedError


def lock_scopes(conn: Connection, scopes: dict[str, Scope]) -> None:
    """Scopes first, then their items, whose rows are the locks of every change to a timeline."""
    names = sorted(scopes)
    conn.execute(
        "SELECT 1 FROM rating_scope WHERE scope_id = ANY(%s) ORDER BY scope_id FOR NO KEY UPDATE",
        (names,),
    )
    conn.execute("SELECT 1 FROM item WHERE scope_id = ANY(%s) ORDER BY item_id FOR SHARE", (names,))
    if load_scopes(conn, names) != scopes:
        raise TimelineChangedError


def _money(conn: Connection, draft: Document) -> tuple[tuple[Credit, ...], TaxProfile]:
    """Wallet and tax profile now; what only corrects rests on those of the corrected invoice."""
    if not draft.priced:
        return draft.credits, draft.profile
    account = draft.buyer.account
    hold(conn, account)
    return (
        purse(conn, account, draft.currency, draft.issued_at),
        profile_at(conn, account, taxed_at(draft.period)),
    )


def write_invoice(conn: Connection, document: Document) -> str:
    """The invoice with its lines and positions; returns its digest."""
    final = sealed(document)
    proof = cast("str", final[DIGEST])
    conn.execute(
        """
        INSERT INTO invoice (invoice_id, number, kind, entity, account_id, period_start,
                             period_end, currency, net, tax, gross, issued_at, document, digest,
                             due, due_at, corrects)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            document.invoice_id, document.number, document.kind, document.seller.entity,
            document.buyer.account, document.period.start, document.period.end,
            document.currency, document.totals.net, document.totals.tax, document.totals.gross,
            document.issued_at, Jsonb(final), proof, document.totals.due, document.due_at,
            document.corrects,
        ),
    )  # fmt: skip
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO invoice_line (invoice_id, position, line_key, net)"
            " VALUES (%s, %s, %s, %s)",
            [
                (document.invoice_id, position, row.line.key, row.line.net)
                for position, row in enumerate(document.lines, 1)
            ],
        )
        cursor.executemany(
            "INSERT INTO invoice_cut (invoice_id, topic_id, part, next_offset)"
            " VALUES (%s, %s, %s, %s)",
            [(document.invoice_id, c.topic, c.partition, c.next_offset) for c in document.cut],
        )
    return proof


def write_seals(conn: Connection, document: Document) -> None:
    """Each scope's period is closed."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO scope_seal (scope_id, period_start, period_end, entered_before,
                                    input_digest, invoice_id)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    priced.scope.scope, document.period.start, document.period.end,
                    document.issued_at, digest(priced.inputs),
                    document.invoice_id if document.lines else None,
                )
                for priced in document.priced
            ],
        )  # fmt: skip
