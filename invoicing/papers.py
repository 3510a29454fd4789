"""What becomes of an account's corrections: documents of their own, and lines of the next invoice.

Reads the invoices that are corrected; decided is it in ``invoicing.sorting``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from invoicing.document import CREDIT_NOTE, INVOICE, Document, Position
from invoicing.export import load
from invoicing.lines import Header, draft
from invoicing.recompute import Look
from invoicing.sorting import Next, apart, by_invoice, exceeds, may_ride
from pipeline.money import exact_sum
from schemas.billing import TaxLine
from schemas.errors import RefusedError
from schemas.serial import from_json
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
    excess: bool = False
    """It would take back more than was invoiced."""

    def draft(self, cut: Sequence[Position]) -> Document:
        """The document without its number."""
        if self.excess:
            raise RefusedError(
                f"A credit note would take back more than {self.header.corrects} charged: part of"
                " it was billed on later invoices. Correct those by hand."
            )
        return draft(self.header, (), (), cut, (), [look.adjusted for look in self.looks])


@dataclass(frozen=True, slots=True)
class Papers:
    own: tuple[Paper, ...]
    rides: tuple[Look, ...]
    """On the account's next invoice."""


def papers(conn: Connection, looks: Sequence[Look], header: Header, terms: Terms) -> Papers:
    """Every look that differs is in one of the two; ``header`` is what an invoice now would say."""
    then = Next(ended(conn, header.buyer.account), terms.least, header.profile)
    own: list[Paper] = []
    rides: list[Look] = []
    for number, mine in by_invoice(looks).items():
        first = mine[0].billed.invoice_id
        invoice = load(conn, first)[0] if first else None
        paper = Paper(tuple(mine), _header(mine, invoice, header))
        if paper.header.corrects and invoice is not None:
            taxes = paper.draft(()).taxes
            paper = replace(paper, excess=exceeds(invoice, _credited(conn, number), taxes))
        profile = paper.header.profile
        if apart(mine, profile, then) and not (paper.excess and may_ride(profile, then)):
            own.append(paper)
        else:
            rides += mine
    return Papers(tuple(own), tuple(rides))


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
    less = exact_sum(look.net for look in looks) < 0
    same = invoice.seller.entity == header.seller.entity
    return replace(
        header,
        kind=CREDIT_NOTE if less else INVOICE,
        corrects=invoice.number if less else "",
        period=invoice.period,
        timezone=invoice.timezone,
        profile=invoice.profile,
        buyer=replace(header.buyer, vat_id=invoice.profile.vat_id),
        seller=header.seller if same else invoice.seller,
    )


def _credited(conn: Connection, number: str) -> list[tuple[TaxLine, ...]]:
    """The taxes of the credit notes that name the invoice already."""
    rows = conn.execute(
        "SELECT c.document->'taxes' FROM invoice c JOIN invoice i USING (account_id)"
        " WHERE i.number = %(number)s AND c.corrects = %(number)s",
        {"number": number},
    )
    return [from_json(tuple[TaxLine, ...], row[0]) for row in rows]
