"""A whole invoice as a tree: lines → discounts → true-up → credit → tax → due. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from invoicing.document import Document, DocumentLine
from invoicing.explaining.quantity import span_text
from invoicing.explaining.tree import Node
from pipeline.money import exact_sum, exact_text
from pipeline.rating.credit import draw
from schemas.billing import LineKind, Taken, TaxLine
from schemas.serial import instant_text
from schemas.terms import CreditKind, TaxMode, TaxRounding

STEPS: Final = (
    ("charges", (LineKind.CHARGE, LineKind.FLAT)),
    ("discounts", (LineKind.DISCOUNT,)),
    ("true-ups", (LineKind.TRUE_UP,)),
    ("billed in advance", (LineKind.BILLED,)),
    ("adjustments", (LineKind.ADJUSTMENT,)),
    ("credit", (LineKind.CREDIT,)),
)


def whole(document: Document, said: str) -> Node:
    """Every amount of the invoice, in the order in which it is computed."""
    totals, currency = document.totals, document.currency
    notes = [f"{document.kind} for {document.buyer.account}, {span_text(document.period)}"]
    if document.corrects:
        notes.append(f"corrects {document.corrects}")
    return Node(
        document.number, f"{totals.due} {currency} due", (*notes, said),
        (
            *_steps(document),
            Node("net", f"{totals.net} {currency}", ("the sum of the rounded lines",)
                 if document.profile.mode is not TaxMode.INCLUSIVE
                 else ("prices include tax: the sum of the taxable amounts below",)),
            _profile(document),
            *(_tax(document, one) for one in document.taxes),
            Node("gross", f"{totals.net} + {totals.tax} = {totals.gross} {currency}"),
            *_paid(document),
            Node("due", f"{totals.gross} − {exact_sum(one.amount for one in document.paid)}"
                 f" = {totals.due} {currency}", (f"by {instant_text(document.due_at)}",)),
            _coverage(document),
        ),
    )  # fmt: skip


def _steps(document: Document) -> Iterator[Node]:
    for name, kinds in STEPS:
        mine = [(at, row) for at, row in enumerate(document.lines, 1) if row.line.kind in kinds]
        if mine:
            total = exact_sum(row.line.net for _, row in mine)
            yield Node(name, f"{total} {document.currency}", (),
                       tuple(_line(document, at, row) for at, row in mine))  # fmt: skip


def _line(document: Document, at: int, row: DocumentLine) -> Node:
    line = row.line
    notes = [f"{line.quantity} {line.unit} × {line.unit_price}{', capped' if line.capped else ''}"]
    notes += [f"rounding of {one.what}: {one.exact} → {one.rounded}" for one in line.roundings]
    if line.corrects:
        notes.append(f"corrects {line.corrects}")
    return Node(f"{document.number}/{at} {line.title}", f"{line.net} {document.currency}",
                tuple(notes))  # fmt: skip


def _profile(document: Document) -> Node:
    profile = document.profile
    where = f" in {profile.country}" if profile.country else ""
    notes = [f"VAT id {profile.vat_id or 'none'}{where}"]
    if profile.evidence:
        notes.append(f"checked: {profile.evidence}")
    return Node("tax treatment", f"{profile.mode.value}, rounded {profile.rounding.value}",
                tuple(notes))  # fmt: skip


def _tax(document: Document, one: TaxLine) -> Node:
    """On the sum of a category and rate, rounded once."""
    currency, profile = document.currency, document.profile
    taken = [t for t in document.taken if (t.category, t.rate) == (one.category, one.rate)]
    if any(t.back for t in taken):
        return Node(f"tax {one.category} {one.rate} %", f"{one.tax} {currency} on {one.base}", (),
                    tuple(_taken(t, currency) for t in taken if t.back))  # fmt: skip
    mine = [row for row in document.lines if (row.line.tax, row.rate) == (one.category, one.rate)]
    amount = exact_sum(row.line.net for row in mine)
    rate = Fraction(one.rate)
    if profile.mode is TaxMode.INCLUSIVE:
        exact, rounded = exact_text(Fraction(amount) * 100 / (100 + rate)), one.base
        rule = f"net rounded {exact} → {rounded}; tax is the rest of {amount} {currency}"
    else:
        exact, rounded = exact_text(Fraction(amount) * rate / 100), one.tax
        way = "towards zero" if profile.rounding is TaxRounding.DOWN else "half up away from zero"
        rule = f"rounded once, {way}: {exact} → {rounded}"
    return Node(f"tax {one.category} {one.rate} %", f"{one.tax} {currency} on {one.base}",
                (f"{len(mine)} lines come to {amount} {currency}", rule))  # fmt: skip


def _taken(one: Taken, currency: str) -> Node:
    """Of all that was taken back of an invoice by now, less the taxes of the notes before."""
    total, tax = one.before + one.back, one.before_tax + one.back_tax
    return Node(f"taken back of {one.invoice}", f"{one.back} {currency}, tax {one.back_tax}", (
        f"it charged {one.charged} {currency}, tax {one.tax}",
        f"credit notes before took {one.before}, tax {one.before_tax}",
        f"of {total} until now the tax is {tax}: {tax} − {one.before_tax} = {one.back_tax}",
    ))  # fmt: skip


def _paid(document: Document) -> Iterator[Node]:
    known = {one.credit: one for one in document.credits}
    ask = draw(document.credits, CreditKind.PAID, max(Decimal(0), document.totals.gross),
               document.issued_at)  # fmt: skip
    for one in ask:
        yield Node("paid", f"{one.amount} {document.currency} with credit {one.credit}",
                   (f"{known[one.credit].left} was left of it",))  # fmt: skip


def _coverage(document: Document) -> Node:
    """What was observed of everything metered, and by what: the least first."""
    found: dict[str, list[str]] = defaultdict(list)
    metered = [(row.coverage, at, row) for at, row in enumerate(document.lines, 1)
               if row.coverage is not None]  # fmt: skip
    for coverage, at, row in sorted(metered, key=lambda one: one[:2]):
        found[f"{coverage} %"].append(f"{document.number}/{at} {row.line.title}")
    least = (
        f"{min(one[0] for one in metered)} % observed at least" if metered else "nothing metered"
    )
    return Node("coverage", least, (), tuple(Node(said, f"{len(lines)} lines", tuple(lines))
                                              for said, lines in found.items()))  # fmt: skip
