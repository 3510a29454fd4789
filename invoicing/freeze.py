"""Everything that invoices rest on, read in one snapshot; writes nothing.

Rows that the ledger gains afterwards lie above the stored positions: they are adjustments, by
definition, and no reason to read again. What is read is read for many invoices at once; what is
worked out of it is worked out for each, and one that fails keeps nobody else back.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from invoicing.charged import Charged, charged, takeable
from invoicing.document import (
    CREDIT_NOTE,
    Document,
    DocumentLine,
    Position,
    Priced,
    below_zero,
)
from invoicing.evidence import evidence
from invoicing.heads import Headed, attempted
from invoicing.lines import document_lines, draft, local_days
from invoicing.opened import Opened, opened
from invoicing.papers import excessive, named
from invoicing.recompute import Look, found_on
from invoicing.reconcile import Reconciliation, reconcile
from pipeline.periods import closed
from pipeline.rating.adjustment import carried
from pipeline.rating.advance import retaxed
from pipeline.rating.price import price
from pipeline.rating.tax import rates_of
from schemas.billing import Inputs, Line, LineKind, Scope, Span, Taken
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes
from sinks.wallet import purses


@dataclass(frozen=True, slots=True)
class Frozen:
    """A draft, the scopes as they were read, and whether everything agrees."""

    draft: Document
    scopes: dict[str, Scope]
    reconciliation: Reconciliation
    opened: tuple[Opened, ...] = ()
    """What was still open of the scopes that it seals."""
    looks: tuple[Look, ...] = ()
    """Sealed periods that it corrects."""


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """A transaction that sees one moment and writes nothing."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@dataclass(frozen=True, slots=True)
class _Priced:
    """A scope with the lines that pricing made of it."""

    priced: Priced
    lines: tuple[Line, ...]


def freeze(
    conn: Connection, headed: Sequence[Headed], scopes: dict[str, Scope]
) -> list[Frozen | Exception]:
    """Inputs, prices and evidence of groups of one period and time zone, and what they correct;
    inside one snapshot. What cannot be priced is the error that says so.
    """
    if not headed:
        return []
    cut = positions(conn)
    first = headed[0].header
    rides = [look for one in headed for look in one.rides]
    known = {**scopes, **load_scopes(conn, sorted({look.due.scope for look in rides} - {*scopes}))}
    names = [name for one in headed for name in one.group.scopes]
    wanted = [(known[name], first.period) for name in names]
    inputs = dict(zip(names, usage_inputs_bulk(conn, wanted, closed(first.period)), strict=True))
    priced = [attempted(partial(_price, one, known, inputs)) for one in headed]
    lines = [
        (made.priced.scope, made.lines) for of in priced if isinstance(of, list) for made in of
    ]
    series = iter(evidence(conn, lines, local_days(first.period, first.timezone)))
    rows = [
        [document_lines(made.priced.scope, made.lines, next(series)) for made in of]
        if isinstance(of, list)
        else []
        for of in priced
    ]
    accounts = [one.group.account for one in headed]
    wallets = purses(conn, accounts, first.currency, first.issued_at)

    def document(one: Headed, of: list[_Priced], own: list[list[DocumentLine]]) -> Document:
        header = one.header
        priced, lines = [made.priced for made in of], [row for mine in own for row in mine]
        adjusted = [look.adjusted for look in one.rides]
        wallet = wallets[one.group.account]
        known = [of for of in _earlier(one, one.corrected.known) if of.invoice in one.numbers]
        invoice = plain = draft(header, priced, lines, cut, wallet, adjusted, known)
        less, fees = below_zero(plain), any(row.line.kind is LineKind.BILLED for row in lines)
        if not less and not fees:
            return plain
        known = _earlier(one, charged(conn, [one.group.account])[one.group.account])
        if fees:
            invoice = draft(header, priced, lines, cut, wallet, adjusted, known)
        if not below_zero(invoice) and not (less and _nothing(invoice)):
            return invoice
        note = replace(header, kind=CREDIT_NOTE)
        return _note(draft(note, priced, lines, cut, wallet, adjusted, known))

    drafts = [
        attempted(partial(document, one, of, own)) if isinstance(of, list) else of
        for one, of, own in zip(headed, priced, rows, strict=True)
    ]
    return _proved(conn, headed, drafts, known)


def _earlier(one: Headed, known: Sequence[Charged]) -> list[Taken]:
    """What the document may take back, of the invoices that it corrects before others."""
    head = one.header
    return takeable(known, head.profile, head.currency, head.seller.entity, one.numbers)


def _nothing(document: Document) -> bool:
    """Nothing is owed, either way."""
    return not document.totals.net and not document.totals.gross


def _note(document: Document) -> Document:
    """What comes to less than nothing is a credit note for earlier invoices: they charged it."""
    if excessive(document):
        totals = document.totals
        raise RefusedError(
            f"The invoice of {document.buyer.account} would come to {totals.gross}"
            f" {document.currency}, less than nothing, and earlier invoices have not charged as"
            " much: correct its prices or what was billed in advance."
        )
    return named(document)


def _price(one: Headed, scopes: dict[str, Scope], inputs: dict[str, Inputs]) -> list[_Priced]:
    """Each scope of the group, by name."""
    corrected = [found for look in one.rides for found in look.corrections]
    as_of = closed(one.group.period)
    rates = rates_of(one.header.seller, one.header.profile)
    made: list[_Priced] = []
    for name in sorted(one.group.scopes):
        scope = scopes[name]
        known = retaxed(found_on(inputs[name], one.handed.get(name)), rates)
        known = carried(scope, known, corrected)
        made.append(_Priced(Priced(scope, known, as_of), price(scope, known, as_of)))
    return made


def _proved(
    conn: Connection,
    headed: Sequence[Headed],
    drafts: Sequence[Document | Exception],
    scopes: dict[str, Scope],
) -> list[Frozen | Exception]:
    """The drafts reconciled, and what was still open of their scopes."""
    good = [one for one in drafts if isinstance(one, Document)]
    found = iter(reconcile(conn, good))
    wanted: list[tuple[Scope, Span]] = [
        (priced.scope, document.period) for document in good for priced in document.priced
    ]
    heads_of: dict[str, list[Opened]] = defaultdict(list)
    for head in opened(conn, wanted):
        heads_of[head.scope].append(head)
    made: list[Frozen | Exception] = []
    for one, document in zip(headed, drafts, strict=True):
        if not isinstance(document, Document):
            made.append(document)
            continue
        names = {*one.group.scopes, *(look.due.scope for look in one.rides)}
        open_ = tuple(head for name in sorted(one.group.scopes) for head in heads_of[name])
        own = {name: scopes[name] for name in sorted(names)}
        made.append(Frozen(document, own, next(found), open_, one.looks))
    return made


def positions(conn: Connection) -> list[Position]:
    """How far each partition is metered, in this snapshot."""
    rows = conn.execute("SELECT topic_id::text, part, next_offset FROM ingest_offset ORDER BY 1, 2")
    return [Position(*row) for row in rows]
