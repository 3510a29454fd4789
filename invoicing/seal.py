"""The finalising transaction of one or many: number, document, digest, seals, positions, all or
nothing.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from invoicing.booking import book
from invoicing.charged import charged, stands
from invoicing.digest import Unnumbered, finished, unnumbered
from invoicing.document import INVOICE, Document, below_zero, numbered
from invoicing.due import hold_sweeps, note_since
from invoicing.freeze import Frozen
from invoicing.lines import taxed_at
from invoicing.looks import keep_looks, refuse_looked_at, write_lines
from invoicing.number import Number, take_numbers
from invoicing.number_log import Entry, NumberLog
from invoicing.opened import write_opened
from schemas.billing import Scope
from schemas.errors import DependencyError, RefusedError
from schemas.serial import digest
from schemas.terms import Credit, TaxProfile
from sinks.audit import Act, record_all
from sinks.database import Connection, hold_schema
from sinks.scopes import load_scopes
from sinks.tax_profiles import profiles_at
from sinks.wallet import hold, purses

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
    conn: Connection,
    frozen: Sequence[Frozen],
    close_of: datetime,
    log: NumberLog,
    failpoint: Failpoint,
) -> list[Sealed]:
    """Makes drafts final, all or none. Begins with no transaction open and leaves none.

    ``close_of`` is the start of the period in whose close it happens.
    """
    wanted = [_Draft(one, unnumbered(one.draft), seal_rows(one.draft)) for one in frozen]
    entries: list[Entry] = []
    with conn.transaction():
        hold_schema(conn)
        conn.execute("SET LOCAL synchronous_commit = on")  # an invoice never un-happens
        hold_sweeps(conn)
        _lock(conn, frozen)
        failpoint(LOCKED)
        finals, numbers = _numbered(conn, wanted)
        failpoint(NUMBERED)
        write_invoices(conn, [one for one in finals if one.document.number])
        write_seals(conn, [row for one in wanted for row in one.seals])
        write_opened(conn, [row for one in frozen for row in one.opened])
        for one, final in zip(frozen, finals, strict=True):
            write_lines(conn, final.document)
            keep_looks(conn, one.looks, final.document.issued_at, close_of, final.document)
        documents = [one.document for one in finals]
        note_since(conn, documents)
        book(conn, documents)
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
    return [_sealed(document) for document in documents]


@dataclass(frozen=True, slots=True)
class _Draft:
    """What can be written before anything is locked."""

    frozen: Frozen
    unnumbered: Unnumbered
    seals: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Issued:
    """A document as it is stored. Nothing of one without a number is."""

    document: Document
    text: str = ""
    digest: str = ""


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


def final_of(document: Document) -> Issued:
    """A document that has its number."""
    text, proof = finished(unnumbered(document), document.number)
    return Issued(document, text.decode(), proof)


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


def _lock(conn: Connection, frozen: Sequence[Frozen]) -> None:
    """Refuses to go on when anything that the drafts rest on is no longer so."""
    lock_scopes(conn, {name: scope for one in frozen for name, scope in one.scopes.items()})
    closing = [(one.draft, priced) for one in frozen for priced in one.draft.priced]
    found = conn.execute(
        "SELECT 1 FROM scope_seal JOIN unnest(%s::text[], %s::timestamptz[])"
        " AS w (scope_id, period_start) USING (scope_id, period_start) LIMIT 1",
        (
            [priced.scope.scope for _, priced in closing],
            [draft.period.start for draft, _ in closing],
        ),
    ).fetchone()
    if found:
        raise AlreadySealedError
    for one in frozen:
        refuse_looked_at(conn, one.looks)
    _refuse_taken(conn, [one.draft for one in frozen])
    # What only corrects rests on wallet and taxes of the corrected invoice.
    drafts = [one.draft for one in frozen if one.draft.priced]
    if drafts and _money(conn, drafts) != [(one.credits, one.profile) for one in drafts]:
        raise TimelineChangedError


def _refuse_taken(conn: Connection, drafts: Sequence[Document]) -> None:
    """What is taken back of invoices was not taken by somebody else since; nobody does until the
    end of the transaction. And no invoice is below zero.
    """
    for draft in drafts:
        if draft.kind == INVOICE and below_zero(draft):
            raise RefusedError(
                f"The invoice of {draft.buyer.account} comes to {draft.totals.gross}"
                f" {draft.currency}: less than nothing is a credit note."
            )
    taking = [draft for draft in drafts if draft.taken]
    if not taking:
        return
    accounts = sorted({draft.buyer.account for draft in taking})
    conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('rackmeter taken ' || a, 0))"
        " FROM unnest(%s::text[]) AS a",
        (accounts,),
    )
    known = charged(conn, accounts)
    for draft in taking:
        if not all(stands(known[draft.buyer.account], one) for one in draft.taken):
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


def _money(
    conn: Connection, drafts: Sequence[Document]
) -> list[tuple[tuple[Credit, ...], TaxProfile]]:
    """Wallet and tax profile of each account now; of one period and currency."""
    first, accounts = drafts[0], [draft.buyer.account for draft in drafts]
    hold(conn, accounts)
    wallets = purses(conn, accounts, first.currency, first.issued_at)
    profiles = profiles_at(conn, accounts, taxed_at(first.period))
    return [(wallets[account], profiles[account]) for account in accounts]


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
