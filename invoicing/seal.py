"""The finalising transaction of one or many: number, document, digest, seals, positions, all or
nothing.

1. Lock the scopes, in order. Whoever closes them too waits here. A crash: nothing.
2. Refuse what is sealed, and go back when a timeline, the wallet or the tax profile changed after
   the snapshot, or somebody else has corrected the same period (invoicing.held). A crash: nothing.
3. Take the number: from here on nothing is left that can fail but database and log. A crash
   rolls back and gives the number back; nobody else has taken the next one meanwhile.
4. Write the invoice with its document and digest, its lines, the seals, what it corrects, the
   positions (invoicing.rows), what it draws from the wallet, its journal entries, and the act for
   the audit trail. As 3.
5. Write the number into the log outside the database, to the disk. A crash: the log has a number
   as taken that no invoice carries; it goes to whoever is next, as 3 (invoicing.outside).
6. COMMIT. A crash before its answer: the seal says what happened; closing again finds it.
7. Write into the log that it is issued. A crash: the next close does, the database knows it.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.errors import UniqueViolation

from invoicing.booking import book
from invoicing.digest import Unnumbered, finished, unnumbered
from invoicing.document import Document, numbered
from invoicing.due import hold_sweeps, note_later, note_since
from invoicing.freeze import Frozen
from invoicing.held import AlreadySealedError, hold_all
from invoicing.looks import keep_looks, write_lines
from invoicing.number import Number, take_numbers
from invoicing.number_log import Entry, NumberLog
from invoicing.opened import write_opened
from invoicing.rows import Issued, seal_rows, write_invoices, write_seals
from schemas.errors import DependencyError
from sinks.audit import Act, record_all
from sinks.database import Connection, hold_schema

Failpoint = Callable[[str], None]
LOCKED: Final = "seal:locked"
NUMBERED: Final = "seal:numbered"
WRITTEN: Final = "seal:written"
LOGGED: Final = "seal:logged"
COMMITTED: Final = "seal:committed"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is now final; no number where there was nothing to bill."""

    invoice_id: str | None
    number: str | None
    document: Document


def seal(
    conn: Connection,
    frozen: Sequence[Frozen],
    close_of: datetime,
    log: NumberLog,
    failpoint: Failpoint,
) -> list[Sealed]:
    """Makes drafts final, all or none. Begins with no transaction open and leaves none.

    ``close_of`` is the start of the period in whose close it happens.
    """
    wanted = [_draft(one) for one in frozen]
    entries: list[Entry] = []
    with conn.transaction():
        hold_schema(conn)
        conn.execute("SET LOCAL synchronous_commit = on")  # an invoice never un-happens
        hold_sweeps(conn)
        hold_all(conn, frozen)
        failpoint(LOCKED)
        finals, numbers = _numbered(conn, wanted)
        failpoint(NUMBERED)
        _write(conn, wanted, finals, close_of)
        record_all(conn, [_act(one) for one in finals])
        failpoint(WRITTEN)
        entries = [
            _entry(one, numbers[one.document.number]) for one in finals if one.document.number
        ]
        if entries:
            log.take(*entries)
            failpoint(LOGGED)
    failpoint(COMMITTED)
    if entries:
        with contextlib.suppress(DependencyError):  # the next close writes it
            log.issue(*entries)
    return [_sealed(one.document) for one in finals]


def rehearse(conn: Connection, frozen: Sequence[Frozen], close_of: datetime) -> None:
    """Step 4 without what others see or wait for (numbers, log, audit trail): what later periods of
    a dry run rest on. The caller holds the account's scopes and rolls it back.
    """
    wanted = [_draft(one) for one in frozen]
    finals = [
        _final(one, f"draft-{one.frozen.draft.invoice_id[:13]}")
        if one.frozen.draft.lines
        else Issued(one.frozen.draft)
        for one in wanted
    ]
    try:
        with conn.transaction():
            _write(conn, wanted, finals, close_of)
    except UniqueViolation as error:
        raise AlreadySealedError from error


@dataclass(frozen=True, slots=True)
class _Draft:
    """What can be written before anything is locked."""

    frozen: Frozen
    unnumbered: Unnumbered
    seals: list[tuple[Any, ...]]


def _draft(one: Frozen) -> _Draft:
    return _Draft(one, unnumbered(one.draft), seal_rows(one.draft))


def _write(
    conn: Connection, wanted: Sequence[_Draft], finals: Sequence[Issued], close_of: datetime
) -> None:
    """The documents and all that follows from them in tables and books."""
    write_invoices(conn, [one for one in finals if one.document.number])
    write_seals(conn, [row for one in wanted for row in one.seals])
    write_opened(conn, [row for one in wanted for row in one.frozen.opened])
    documents = [one.document for one in finals]
    for one, document in zip(wanted, documents, strict=True):
        write_lines(conn, document)
        keep_looks(conn, one.frozen.looks, document.issued_at, close_of, document)
    note_since(conn, documents)
    note_later(conn, documents)
    book(conn, documents)


def _numbered(conn: Connection, wanted: Sequence[_Draft]) -> tuple[list[Issued], dict[str, Number]]:
    """The documents, with numbers where there is something to bill; credit notes first, so that
    nobody waits for a number who holds another.
    """
    drafts = [one.frozen.draft for one in wanted if one.frozen.draft.lines]
    numbers: dict[str, Number] = {}
    for kind in sorted({draft.kind for draft in drafts}):
        mine = [draft for draft in drafts if draft.kind == kind]
        ids = [draft.invoice_id for draft in mine]
        taken = take_numbers(conn, mine[0].seller, kind, mine[0].issued_at, ids)
        numbers |= zip(ids, taken, strict=True)
    finals = [
        _final(one, str(numbers[one.frozen.draft.invoice_id]))
        if one.frozen.draft.lines
        else Issued(one.frozen.draft)
        for one in wanted
    ]
    return finals, {str(number): number for number in numbers.values()}


def _final(draft: _Draft, number: str) -> Issued:
    text, proof = finished(draft.unnumbered, number)
    return Issued(numbered(draft.frozen.draft, number), text.decode(), proof)


def _sealed(document: Document) -> Sealed:
    made = bool(document.lines)
    return Sealed(document.invoice_id if made else None, document.number or None, document)


def _entry(final: Issued, number: Number) -> Entry:
    document = final.document
    return Entry(
        document.number, number.entity, number.kind, number.year, number.count,
        document.invoice_id, final.digest, document.buyer.account, document.period.start,
        tuple(one.scope.scope for one in document.priced)
        or tuple(sorted({one.priced.scope.scope for one in document.adjusted})),
    )  # fmt: skip


def _act(final: Issued) -> Act:
    action = "invoice.issue" if final.document.lines else "period.close"
    return act(action, final.document, final.digest)


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
