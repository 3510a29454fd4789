"""Steps 12 to 14 of an invoice a second time, by the database in numeric. Reads no table.

What lines come to is taken from the document, how it is drawn, taxed and summed is computed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from importlib.resources import files
from typing import Final

from invoicing.corrections import corrections, invoices_of
from invoicing.document import CREDIT_NOTE, Document, DocumentLine, of_scopes
from pipeline.money import EXACT, exact_sum, minor_units
from pipeline.rating.credit import holds
from pipeline.rating.taken import given, home
from schemas.billing import LineKind, Taken
from schemas.terms import CreditKind, TaxMode, TaxRounding
from sinks.database import Connection

TAKEN: Final = (files("invoicing") / "queries" / "taken.sql").read_text()
DRAWS: Final = (files("invoicing") / "queries" / "draws.sql").read_text()
TAXES: Final = (files("invoicing") / "queries" / "taxes.sql").read_text()

Pair = tuple[str, object, object]
"""What is compared, the figure of the document, the figure of the database."""


Taxes = dict[tuple[str, Decimal], tuple[Decimal, Decimal]]
"""Category and rate → base and tax."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """What the database makes of a document's lines."""

    taxes: Taxes
    net: Decimal
    tax: Decimal
    gross: Decimal


def resettled(conn: Connection, documents: Sequence[Document]) -> Iterator[list[Pair]]:
    """Of each document every figure of the whole beside the same one from the database."""
    again = _taken(conn, documents)
    for number, whole in enumerate(_wholes(conn, documents)):
        document, taken = documents[number], again[number]
        yield [
            *_compared(document, taken),
            *_pairs(conn, document, _noted(document, whole, taken)),
        ]


def _pairs(conn: Connection, document: Document, whole: _Whole) -> Iterator[Pair]:
    yield _promotional(conn, document)
    stated = {(one.category, one.rate): (one.base, one.tax) for one in document.taxes}
    for name in sorted(whole.taxes.keys() | stated.keys()):
        where = f"{name[0]} {name[1]} %"
        base, tax = whole.taxes.get(name, (None, None))
        said_base, said_tax = stated.get(name, (None, None))
        yield f"base of {where}", said_base, base
        yield f"tax of {where}", said_tax, tax
    yield "net", document.totals.net, whole.net
    yield "tax", document.totals.tax, whole.tax
    yield "gross", document.totals.gross, whole.gross
    paid = _draws(conn, document, CreditKind.PAID, whole.gross)
    yield "paid credit", {one.credit: one.amount for one in document.paid}, paid
    yield "due", document.totals.due, exact_sum([whole.gross, *(-one for one in paid.values())])


def _promotional(conn: Connection, document: Document) -> Pair:
    """Each promotional credit: what its lines take off, however they share it."""
    taken: dict[str, Decimal] = {}
    groups: dict[tuple[str, Decimal], Decimal] = {}
    for row in document.lines:
        if row.line.kind is LineKind.CREDIT and row.line.net < 0:
            credit = row.line.title.removeprefix("credit ")
            taken[credit] = taken.get(credit, Decimal(0)) - row.line.net
        else:
            key = row.line.tax, row.rate
            groups[key] = EXACT.add(groups.get(key, Decimal(0)), row.line.net)
    most = Decimal(0) if document.kind == CREDIT_NOTE else _room(groups, document.currency)
    return "promotional credit", taken, _draws(conn, document, CreditKind.PROMOTIONAL, most)


def _room(groups: Mapping[tuple[str, Decimal], Decimal], currency: str) -> Decimal:
    """What credit may take: where a category is below zero, the others keep its tax too."""
    unit = Decimal(1).scaleb(-minor_units(currency))
    below = [-net for net in groups.values() if net < 0]
    most = max((rate for _, rate in groups), default=Decimal(0))
    tax = (exact_sum(below) * most / 100).quantize(unit, ROUND_CEILING) + len(below) * unit
    return max(Decimal(0), exact_sum([*groups.values(), -tax]))


Again = tuple[Decimal, Decimal, Decimal]
"""Taken back, credit given back, tax."""


def _compared(document: Document, again: Sequence[Again]) -> Iterator[Pair]:
    for one, (back, credit, tax) in zip(document.taken, again, strict=True):
        where = f"of {one.invoice}, {one.category} {one.rate} %"
        yield f"taken back {where}", one.back, back
        yield f"credit given back {where}", given(one), credit
        yield f"tax taken back {where}", one.back_tax, tax
    returns = [row.line.net for row in _returns(document)]
    if again or returns:
        yield "credit given back", exact_sum(returns), exact_sum(credit for _, credit, _ in again)


def _returns(document: Document) -> list[DocumentLine]:
    return [row for row in document.lines if row.line.kind is LineKind.CREDIT and row.line.net > 0]


def _taken(conn: Connection, documents: Sequence[Document]) -> list[list[Again]]:
    """Of each document what it takes back of each invoice that it names."""
    found: list[list[Again]] = [[] for _ in documents]
    wanted = [
        (at, place, *_asked(document, one, about))
        for at, document in enumerate(documents)
        if document.taken
        for about in [_about(document)]
        for place, one in enumerate(document.taken)
    ]
    if not wanted:
        return found
    names = (
        "no", "place", "about", "amount", "own", "rate", "charged", "tax", "before", "before_tax",
        "used", "again", "credit_only", "inclusive", "down",
    )  # fmt: skip
    columns = {
        name: list(column) for name, column in zip(names, zip(*wanted, strict=True), strict=True)
    }
    digits = minor_units(documents[0].currency)
    for at, _, *again in conn.execute(TAKEN, {**columns, "digits": digits}):
        found[at].append((again[0], again[1], again[2]))
    return found


def _about(document: Document) -> dict[str, str]:
    """Key of a line → number of the invoice that it corrects."""
    rows = (row.line for row in of_scopes(document))
    made = [(one, corrections(one)) for one in document.adjusted]
    return invoices_of(document.priced, rows, made)


def _asked(document: Document, one: Taken, about: Mapping[str, str]) -> tuple[object, ...]:
    """How much is wanted (by a credit note of a category and rate, by an invoice of the earlier
    one), how much of that by lines of both, and the invoice as it stood.
    """
    note, profile = document.kind == CREDIT_NOTE, document.profile
    rows = [row for row in document.lines if row.line.kind is not LineKind.CREDIT]
    group = [row.line for row in rows if (row.line.tax, row.rate) == (one.category, one.rate)]
    mine = [row.line for row in rows if about.get(row.line.key) == one.invoice]
    own = exact_sum(line.net for line in group if about.get(line.key) == one.invoice)
    whole = exact_sum(line.net for line in (group if note else mine))
    there = {held.credit for held in document.credits if holds(held, document.issued_at)}
    return (
        f"{one.category} {one.rate}" if note else one.invoice, -whole, -own,
        one.rate, one.charged, one.tax, one.before, one.before_tax,
        exact_sum(credit.left for credit in one.used),
        exact_sum(credit.left for credit in one.used if credit.credit in there), not note,
        profile.mode is TaxMode.INCLUSIVE, profile.rounding is TaxRounding.DOWN,
    )  # fmt: skip


def _noted(document: Document, whole: _Whole, again: Sequence[Again]) -> _Whole:
    """Of a credit note the taxes of what it takes back, in place of those of its lines."""
    if document.kind != CREDIT_NOTE:
        return whole
    inclusive = document.profile.mode is TaxMode.INCLUSIVE
    taxes = dict(whole.taxes)
    for group, (base, tax) in whole.taxes.items():
        mine = [
            figures
            for one, figures in zip(document.taken, again, strict=True)
            if (one.category, one.rate) == group
        ]
        amount = base + tax if inclusive else base
        if mine and amount == -exact_sum(back for back, _, _ in mine):
            own = -exact_sum(part for _, _, part in mine)
            taxes[group] = (amount - own if inclusive else base, own)
    net = whole.net if not inclusive else exact_sum(base for base, _ in taxes.values())
    tax = exact_sum(part for _, part in taxes.values())
    return _Whole(taxes, net, tax, net + tax)


def _wholes(conn: Connection, documents: Sequence[Document]) -> list[_Whole]:
    lines = [(at, row) for at, one in enumerate(documents) for row in one.lines]
    profiles = [one.profile for one in documents]
    rows = conn.execute(
        TAXES,
        {
            "document": list(range(len(documents))),
            "inclusive": [one.mode is TaxMode.INCLUSIVE for one in profiles],
            "down": [one.rounding is TaxRounding.DOWN for one in profiles],
            "digits": minor_units(documents[0].currency),
            "no": [at for at, _ in lines],
            "category": [row.line.tax for _, row in lines],
            "rate": [row.rate for _, row in lines],
            "net": [row.line.net for _, row in lines],
        },
    )
    taxes: list[Taxes] = [{} for _ in documents]
    sums: dict[int, tuple[Decimal, Decimal, Decimal]] = {}
    for at, category, rate, base, tax, *own in rows:
        sums[at] = (own[0], own[1], own[2])
        if category is not None:
            taxes[at][category, rate] = (base, tax)
    return [_Whole(taxes[at], *sums[at]) for at in range(len(documents))]


def _draws(
    conn: Connection, document: Document, kind: CreditKind, amount: Decimal
) -> dict[str, Decimal]:
    mine = [credit for credit in document.credits if credit.kind is kind]
    back = home(document.taken)
    if not mine:
        return {}
    rows = conn.execute(
        DRAWS,
        {
            "amount": amount,
            "at": document.issued_at,
            "credit": [one.credit for one in mine],
            "left": [one.left + back.get(one.credit, Decimal(0)) for one in mine],
            "priority": [one.priority for one in mine],
            "granted": [one.granted_at for one in mine],
            "expires": [one.expires_at for one in mine],
        },
    )
    return dict(rows.fetchall())
