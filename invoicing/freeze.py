"""Everything that invoices rest on, read in one snapshot; writes nothing.

Rows that the ledger gains afterwards lie above the stored positions: they are adjustments, by
definition, and no reason to read again. What is read is read for many invoices at once; what is
worked out of it is worked out for each, and one that fails keeps nobody else back.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import psycopg

from invoicing.charged import Charged, charged, takeable
from invoicing.document import (
    CREDIT_NOTE,
    INVOICE,
    Buyer,
    Document,
    DocumentLine,
    Position,
    Priced,
    below_zero,
)
from invoicing.evidence import evidence
from invoicing.lines import Header, document_lines, draft, local_days, taxed_at
from invoicing.opened import Opened, opened
from invoicing.outside import lost_of
from invoicing.papers import Papers, Terms, excessive, named, papers
from invoicing.plan import Group
from invoicing.recompute import Look, looks_of
from invoicing.reconcile import Reconciliation, reconcile
from pipeline.periods import closed
from pipeline.rating.adjustment import carried
from pipeline.rating.price import price
from schemas.billing import Inputs, Line, Scope, Seller, Span, Taken
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes
from sinks.tax_profiles import profiles_at, require_verified
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


@dataclass(frozen=True, slots=True)
class Headed:
    """A group that may be invoiced."""

    group: Group
    header: Header
    corrected: Papers

    @property
    def rides(self) -> tuple[Look, ...]:
        """Sealed periods that its invoice corrects."""
        return self.corrected.rides

    @property
    def numbers(self) -> list[str]:
        """The invoices that billed those."""
        return [look.adjusted.invoice for look in self.rides]


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """A transaction that sees one moment and writes nothing."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def headers_of(
    conn: Connection, groups: Sequence[Group], seller: Seller, issued_at: datetime
) -> Callable[[Group], Header]:
    """What an invoice of a group says before its first line; of groups of one period."""
    accounts = [group.account for group in groups]
    customers = buyers(conn, accounts)
    profiles = profiles_at(conn, accounts, taxed_at(groups[0].period))

    def header(group: Group) -> Header:
        if group.currency != seller.currency:
            raise RefusedError(
                f"Account {group.account} pays in {group.currency}, the prices of"
                f" {seller.entity} are in {seller.currency}: rating never converts."
            )
        customer, profile = customers[group.account], profiles[group.account]
        return Header(
            INVOICE, issued_at, group.timezone, group.currency, group.period, seller,
            replace(customer, vat_id=profile.vat_id), profile,
        )  # fmt: skip

    return header


Made = TypeVar("Made")


def attempted(act: Callable[[], Made]) -> Made | Exception:
    """What it makes, or why it cannot; what the database says is of all and raised."""
    try:
        return act()
    except psycopg.Error:
        raise
    except Exception as error:
        return error


def heads(
    conn: Connection, groups: Sequence[Group], seller: Seller, issued_at: datetime, terms: Terms
) -> list[Headed | Exception]:
    """Of each group its header and what it corrects, or why it cannot be invoiced."""
    header = headers_of(conn, groups, seller, issued_at)
    accounts = [group.account for group in groups]
    lost = lost_of(conn, accounts)  # then it is not known what was corrected
    looks = looks_of(conn, [a for a in accounts if a not in lost], found_too=terms.found_too)

    def head(group: Group) -> Headed:
        own = header(group)
        require_verified(own.profile, group.account)
        mine = [look for look in looks if look.due.account == group.account]
        return Headed(group, own, papers(conn, mine, own, terms) if mine else Papers())

    return [attempted(partial(head, group)) for group in groups]


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
        header, known = one.header, one.corrected.known
        priced, lines = [made.priced for made in of], [row for mine in own for row in mine]
        adjusted = [look.adjusted for look in one.rides]
        wallet = wallets[one.group.account]
        invoice = draft(header, priced, lines, cut, wallet, adjusted, _earlier(one, known))
        if not below_zero(invoice):
            return invoice
        known = tuple(charged(conn, [one.group.account])[one.group.account])
        note = replace(header, kind=CREDIT_NOTE)
        return _note(draft(note, priced, lines, cut, wallet, adjusted, _earlier(one, known)))

    drafts = [
        attempted(partial(document, one, of, own)) if isinstance(of, list) else of
        for one, of, own in zip(headed, priced, rows, strict=True)
    ]
    return _proved(conn, headed, drafts, known)


def _earlier(one: Headed, known: Sequence[Charged]) -> list[Taken]:
    """What the document may take back, of the invoices that it corrects before others."""
    head = one.header
    return takeable(known, head.profile, head.currency, head.seller.entity, one.numbers)


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
    made: list[_Priced] = []
    for name in sorted(one.group.scopes):
        scope = scopes[name]
        known = carried(scope, inputs[name], corrected)
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
        made.append(Frozen(document, own, next(found), open_, one.rides))
    return made


def positions(conn: Connection) -> list[Position]:
    """How far each partition is metered, in this snapshot."""
    rows = conn.execute("SELECT topic_id::text, part, next_offset FROM ingest_offset ORDER BY 1, 2")
    return [Position(*row) for row in rows]


def buyers(conn: Connection, accounts: Sequence[str]) -> dict[str, Buyer]:
    """Copies of customers' data; later changes do not reach the invoice."""
    rows = conn.execute(
        "SELECT account_id, name, address, country, vat_id FROM account WHERE account_id = ANY(%s)",
        (list(accounts),),
    )
    return {row[0]: Buyer(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows}
