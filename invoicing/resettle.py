"""Steps 12 to 14 of an invoice a second time, by the database in numeric. Reads no table.

What lines come to is taken from the document, how it is drawn, taxed and summed is computed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Final

from invoicing.document import Document
from pipeline.money import EXACT, exact_sum, minor_units
from schemas.billing import LineKind
from schemas.terms import CreditKind, TaxMode, TaxRounding
from sinks.database import Connection

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
    for document, whole in zip(documents, _wholes(conn, documents), strict=True):
        yield list(_pairs(conn, document, whole))


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
        if row.line.kind is LineKind.CREDIT:
            credit = row.line.title.removeprefix("credit ")
            taken[credit] = taken.get(credit, Decimal(0)) - row.line.net
        else:
            key = row.line.tax, row.rate
            groups[key] = EXACT.add(groups.get(key, Decimal(0)), row.line.net)
    sums = groups.values()
    most = min(exact_sum(sums), exact_sum(one for one in sums if one > 0))
    return "promotional credit", taken, _draws(conn, document, CreditKind.PROMOTIONAL, most)


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
    if not mine:
        return {}
    rows = conn.execute(
        DRAWS,
        {
            "amount": amount,
            "at": document.issued_at,
            "credit": [one.credit for one in mine],
            "left": [one.left for one in mine],
            "priority": [one.priority for one in mine],
            "granted": [one.granted_at for one in mine],
            "expires": [one.expires_at for one in mine],
        },
    )
    return dict(rows.fetchall())
