"""A sealed document as lines of Stripe's invoice: whole numbers in their units. Pure.

Each line is the document's net, each tax a line of its own, so nothing of theirs computes; what was
paid, credited or carried before is a line as well, and they come to the amount that is asked for.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from invoicing.document import Document, DocumentLine
from invoicing.gateways.protocol import GatewayRefusedError
from invoicing.gateways.stripe_amounts import to_wire, wire
from pipeline.money import EXACT, exact_sum, round_step
from schemas.terms import TaxMode

LINES_MAX: Final = 200
"""Stripe takes 250 an invoice; ours has all of them."""
TEXT_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class SheetLine:
    """``units`` as Stripe writes amounts."""

    text: str
    units: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """What Stripe shows of one document."""

    number: str
    invoice_id: str
    digest: str
    lines: tuple[SheetLine, ...]
    total: int
    days: int
    """Until it is due."""


def sheet(document: Document, proof: str, amount: Decimal, days: int) -> Sheet:
    """Raises GatewayRefusedError where the document's lines and taxes are not its gross."""
    currency = document.currency
    inclusive = document.profile.mode is TaxMode.INCLUSIVE
    rows = [(_text(row), row.line.net) for row in document.lines]
    for tax in document.taxes:
        name = f"Tax {tax.rate.normalize():f} % on {tax.base} {currency}"
        rows.append((f"Of it: {name}: {tax.tax}", Decimal(0)) if inclusive else (name, tax.tax))
    gross = exact_sum(net for _, net in rows)
    if gross != document.totals.gross:
        raise GatewayRefusedError(
            f"{document.number} has lines and taxes of {gross} {currency}, and says"
            f" {document.totals.gross}: `rackmeter invoice verify`."
        )
    rows = _fewer(rows, document.number)
    if before := EXACT.subtract(amount, gross):
        rows.append(("Paid, credited or carried before", before))
    step, total = wire(currency).step, to_wire(amount, currency)
    found = [SheetLine(text, to_wire(round_step(net, step), currency)) for text, net in rows]
    if rest := total - sum(one.units for one in found):
        found.append(SheetLine("Rounding", rest))
    return Sheet(document.number, document.invoice_id, proof, tuple(found), total, days)


def _text(row: DocumentLine) -> str:
    line = row.line
    figures = f" ({line.quantity} {line.unit} × {line.unit_price})" if line.unit else ""
    return f"{line.title}{figures}"[:TEXT_MAX]


def _fewer(rows: list[tuple[str, Decimal]], number: str) -> list[tuple[str, Decimal]]:
    if len(rows) <= LINES_MAX:
        return rows
    kept, rest = rows[: LINES_MAX - 1], rows[LINES_MAX - 1 :]
    return [*kept, (f"{len(rest)} more lines, as on {number}", exact_sum(net for _, net in rest))]
