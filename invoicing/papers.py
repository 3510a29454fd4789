"""What becomes of an account's corrections: documents of their own, and lines of the next invoice.

Reads the invoices that are corrected; decided is it in ``invoicing.sorting``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from invoicing.charged import Charged, charged, moved, takeable
from invoicing.document import CREDIT_NOTE, INVOICE, Document, Position, below_zero
from invoicing.export import load
from invoicing.lines import Header, draft
from invoicing.recompute import Look
from invoicing.sorting import Next, apart, by_invoice, may_ride
from pipeline.money import exact_sum
from pipeline.rating.taken import beyond
from schemas.billing import Taken
from schemas.errors import RefusedError
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Terms:
    """How corrections are made."""

    least: Decimal = Decimal(0)
    """The least that a credit note is written for."""
    found_too: bool = False
    """Also what nobody has noted yet: of a run that writes nothing."""


@dataclass(frozen=True, slots=True)
class Paper:
    """Corrections of one invoice that make a document of their own."""

    looks: tuple[Look, ...]
    header: Header
    earlier: tuple[Taken, ...]
    """What it may take back."""

    def draft(self, cut: Sequence[Position]) -> Document:
        """The document without its number."""
        document = self.drafted(cut)
        if excessive(document):
            raise RefusedError(
                f"A credit note would take back more than the invoices of {document.buyer.account}"
                " charged in a tax category and rate. Correct them by hand."
            )
        return document

    def drafted(self, cut: Sequence[Position] = ()) -> Document:
        """Whatever it comes to."""
        adjusted = [look.adjusted for look in self.looks]
        return named(draft(self.header, (), (), cut, (), adjusted, self.earlier))


def named(document: Document) -> Document:
    """A credit note corrects, before others, the invoice that it takes back of first."""
    first = next((one.invoice for one in document.taken), document.corrects)
    return replace(document, corrects=first) if document.kind == CREDIT_NOTE else document


def excessive(document: Document) -> bool:
    """A credit note that takes back more than invoices charged."""
    note = document.kind == CREDIT_NOTE
    return note and beyond(document.taxes, document.taken, document.profile)


@dataclass(frozen=True, slots=True)
class Papers:
    own: tuple[Paper, ...] = ()
    rides: tuple[Look, ...] = ()
    """On the account's next invoice."""
    along: tuple[Look, ...] = ()
    """Of the same scopes what comes to the same: kept with that invoice, because what rides on it
    may rest on these.
    """
    known: tuple[Charged, ...] = ()
    """The account's invoices as the documents of their own leave them."""


def papers(conn: Connection, looks: Sequence[Look], header: Header, terms: Terms) -> Papers:
    """Every look that differs is in one of the two; ``header`` is what an invoice now would say."""
    account = header.buyer.account
    then = Next(ended(conn, account), terms.least, header.profile)
    known = charged(conn, [account])[account]
    own: list[Paper] = []
    rides: list[Look] = []
    for number, mine in by_invoice(looks).items():
        first = mine[0].billed.invoice_id
        invoice = load(conn, first)[0] if first else None
        paper = _paper(mine, _header(mine, invoice, header), known, number)
        made = paper.drafted()
        rideable = may_ride(paper.header.profile, then)
        if apart(mine, rideable, then.least) and not (excessive(made) and rideable):
            own.append(paper)
            known = moved(known, made)
        else:
            rides += mine
    scopes = {look.due.scope for look in rides}
    along = tuple(look for look in looks if look.same and look.due.scope in scopes)
    return Papers(tuple(own), tuple(rides), along, tuple(known))


def _paper(looks: Sequence[Look], header: Header, known: Sequence[Charged], number: str) -> Paper:
    """A credit note where it comes to less than nothing, or only gives back credit."""
    earlier = tuple(
        takeable(known, header.profile, header.currency, header.seller.entity, [number])
    )
    note = Paper(tuple(looks), replace(header, kind=CREDIT_NOTE, corrects=number), earlier)
    less = exact_sum(look.net for look in looks) < 0
    totals = note.drafted().totals
    if below_zero(note.drafted()) or (less and not totals.net and not totals.gross):
        return note
    return Paper(tuple(looks), replace(header, kind=INVOICE), earlier)


def ended(conn: Connection, account: str) -> bool:
    """Everything the account rented has ended, and is sealed up to its end."""
    row = conn.execute(
        """
        SELECT NOT EXISTS (
            SELECT FROM rating_scope s JOIN item i USING (scope_id)
            WHERE s.account_id = %s AND (upper_inf(i.valid) OR NOT EXISTS (
                SELECT FROM scope_seal z WHERE z.scope_id = s.scope_id
                AND z.period_start < upper(i.valid) AND upper(i.valid) <= z.period_end)))
        """,
        (account,),
    ).fetchone()
    return row is not None and bool(row[0])


def _header(looks: Sequence[Look], invoice: Document | None, header: Header) -> Header:
    """Of a document for these looks: the period and the taxes of the invoice that it corrects."""
    if invoice is None:
        return replace(header, period=looks[0].due.period)
    seller = invoice.seller
    if seller.entity == header.seller.entity:
        seller = replace(header.seller, tax={**header.seller.tax, **seller.tax})
    return replace(
        header,
        period=invoice.period,
        timezone=invoice.timezone,
        profile=invoice.profile,
        buyer=replace(header.buyer, vat_id=invoice.profile.vat_id),
        seller=seller,
    )
