"""Steps 12 to 14 of an invoice a second time, by the database in numeric. Reads no table.

What lines come to is taken from the document, how it is drawn, taxed and summed is computed here.
"""

from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from typing import Final

from invoicing.document import Document
from invoicing.recount import add_up
from pipeline.money import minor_units
from schemas.billing import LineKind
from schemas.terms import CreditKind, TaxMode, TaxRounding
from sinks.database import Connection

DRAWS: Final = (files("invoicing") / "queries" / "draws.sql").read_text()
TAXES: Final = (files("invoicing") / "queries" / "taxes.sql").read_text()

Pair = tuple[str, object, object]
"""What is compared, the figure of the document, the figure of the database."""


def resettled(conn: Connection, document: Document) -> Iterator[Pair]:
    """Every figure of the whole invoice beside the same one from the database."""
    yield from _promotional(conn, document)
    taxes = _taxes(conn, document)
    stated = {(one.category, one.rate): (one.base, one.tax) for one in document.taxes}
    for name in sorted(taxes.keys() | stated.keys()):
        where = f"{name[0]} {name[1]} %"
        base, tax = taxes.get(name, (None, None))
        said_base, said_tax = stated.get(name, (None, None))
        yield f"base of {where}", said_base, base
        yield f"tax of {where}", said_tax, tax
    net = add_up(conn, [base for base, _ in taxes.values()])
    tax = add_up(conn, [one for _, one in taxes.values()])
    gross = add_up(conn, [net, tax])
    yield "net", document.totals.net, net
    yield "tax", document.totals.tax, tax
    yield "gross", document.totals.gross, gross
    paid = _draws(conn, document, CreditKind.PAID, gross)
    yield "paid credit", {one.credit: one.amount for one in document.paid}, paid
    due = add_up(conn, [gross, *(-amount for amount in paid.values())])
    yield "due", document.totals.due, due


def _promotional(conn: Connection, document: Document) -> Iterator[Pair]:
    """Each promotional credit: what its lines take off, however they share it."""
    taken: dict[str, Decimal] = {}
    for row in document.lines:
        if row.line.kind is LineKind.CREDIT:
            credit = row.line.title.removeprefix("credit ")
            taken[credit] = taken.get(credit, Decimal(0)) - row.line.net
    groups: dict[tuple[str, Decimal], list[Decimal]] = {}
    for row in document.lines:
        if row.line.kind is not LineKind.CREDIT:
            groups.setdefault((row.line.tax, row.rate), []).append(row.line.net)
    sums = [add_up(conn, nets) for nets in groups.values()]
    most = min(add_up(conn, sums), add_up(conn, [one for one in sums if one > 0]))
    yield (
        "promotional credit", taken, _draws(conn, document, CreditKind.PROMOTIONAL, most),
    )  # fmt: skip


def _taxes(
    conn: Connection, document: Document
) -> dict[tuple[str, Decimal], tuple[Decimal, Decimal]]:
    rows = conn.execute(
        TAXES,
        {
            "inclusive": document.profile.mode is TaxMode.INCLUSIVE,
            "down": document.profile.rounding is TaxRounding.DOWN,
            "digits": minor_units(document.currency),
            "category": [row.line.tax for row in document.lines],
            "rate": [row.rate for row in document.lines],
            "net": [row.line.net for row in document.lines],
        },
    )
    return {(category, rate): (base, tax) for category, rate, base, tax in rows}


def _draws(
    conn: Connection, document: Document, kind: CreditKind, amount: Decimal
) -> dict[str, Decimal]:
    mine = [credit for credit in document.credits if credit.kind is kind]
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
