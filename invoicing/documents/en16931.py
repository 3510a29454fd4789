"""An invoice's figures in the terms of EN 16931: lines, allowances, tax breakdown, totals. Pure.

The standard knows only net amounts, prices that are not negative, and a credit note that counts
upwards. So a credit note's signs are turned, a negative price becomes a negative quantity, prices
with tax are taken apart, and what quantity × price does not come to is an allowance on the line.
Codes in brackets are the standard's: BT a term, BG a group, BR a rule.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from invoicing.document import CREDIT_NOTE, Document, DocumentLine
from pipeline.money import EXACT, exact_sum, minor_units, round_money
from schemas.billing import LineKind
from schemas.terms import TaxMode, TaxProfile

DECIMALS_MAX: Final = 2
"""Amounts have no more (BR-DEC-*): an invoice in dinars of three decimals cannot be said."""
TAX_OFF: Final = 1
"""How far, in the currency's unit, a tax amount may be from base × rate (BR-CO-17, BR-S-09)."""
NET_PRICE_STEP: Final = Decimal("0.00000001")
"""Of a price that was taken out of one with tax; what it loses is on the line as allowance."""
OFF: Final = frozenset({LineKind.DISCOUNT, LineKind.CREDIT})
"""Lines that are an allowance on the whole document (BG-20)."""
STANDARD, ZERO, REVERSE = "S", "Z", "AE"


@dataclass(frozen=True, slots=True)
class Tax:
    """Category and rate in percent [BT-151, BT-152]."""

    code: str
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """An invoice line [BG-25]: ``round(quantity × price) + extra = net``."""

    position: int
    """As in the document and on the page, from 1."""
    of: DocumentLine
    quantity: Decimal
    price: Decimal
    extra: Decimal
    """A charge on the line, or below zero an allowance [BG-28, BG-27]."""
    net: Decimal
    tax: Tax


@dataclass(frozen=True, slots=True)
class Part:
    """Of the tax breakdown [BG-23]."""

    tax: Tax
    base: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is computed of an e-invoice."""

    rows: tuple[Row, ...]
    off: tuple[Row, ...]
    """Allowances on the document; one above zero is a charge [BG-20, BG-21]."""
    parts: tuple[Part, ...]
    lines: Decimal
    """Sum of the lines' nets [BT-106]."""
    net: Decimal
    tax: Decimal
    gross: Decimal
    paid: Decimal
    due: Decimal


def sayable(document: Document) -> bool:
    """The standard has words for this currency, and its tax is what the rates give.

    That is so of each category and rate; of several at one rate, in a currency of whole units and
    great roundings, it may not be.
    """
    return minor_units(document.currency) <= DECIMALS_MAX and all(
        abs(Fraction(part.amount) - Fraction(part.base) * Fraction(part.tax.rate) / 100) < TAX_OFF
        for part in _parts(document, 1)
    )


def figures(document: Document) -> Figures:
    """The document's own totals; sums of what is listed, to the last digit."""
    sign = -1 if document.kind == CREDIT_NOTE else 1
    all_rows = _rows(document, sign)
    lines = [row for row in all_rows if row.of.line.kind not in OFF] or all_rows  # BR-16
    off = [row for row in all_rows if row not in lines] if len(lines) < len(all_rows) else []
    totals = document.totals
    return Figures(
        tuple(lines), tuple(off), _parts(document, sign),
        exact_sum(row.net for row in lines),
        sign * totals.net, sign * totals.tax, sign * totals.gross,
        sign * (totals.gross - totals.due), sign * totals.due,
    )  # fmt: skip


def tax_of(rate: Decimal, profile: TaxProfile) -> Tax:
    """Zero is zero-rated, or owed by the buyer where that is how the buyer is taxed."""
    if rate:
        return Tax(STANDARD, rate)
    return Tax(REVERSE if profile.mode is TaxMode.REVERSE_CHARGE else ZERO, Decimal(0))


def _parts(document: Document, sign: int) -> tuple[Part, ...]:
    """Categories of the catalogue that have the same rate are one (BR-S-01, BR-S-08)."""
    bases: dict[Tax, Decimal] = defaultdict(Decimal)
    taxes: dict[Tax, Decimal] = defaultdict(Decimal)
    for one in document.taxes:
        tax = tax_of(one.rate, document.profile)
        bases[tax] = EXACT.add(bases[tax], sign * one.base)
        taxes[tax] = EXACT.add(taxes[tax], sign * one.tax)
    return tuple(Part(tax, base, taxes[tax]) for tax, base in bases.items())


def _rows(document: Document, sign: int) -> list[Row]:
    inclusive = document.profile.mode is TaxMode.INCLUSIVE
    with_tax: dict[tuple[str, Decimal], Decimal] = defaultdict(Decimal)
    found: list[Row] = []
    for position, row in enumerate(document.lines, 1):
        net, price = row.line.net, row.line.unit_price
        if inclusive:
            group = row.line.tax, row.rate
            before = _without(with_tax[group], row.rate, document.currency)
            with_tax[group] = EXACT.add(with_tax[group], net)
            # Differences of rounded sums: together they are the rounded base of the group.
            net = _without(with_tax[group], row.rate, document.currency) - before
            price = _net_price(price, row.rate)
        quantity, price = _upright(sign * row.line.quantity, price)
        net *= sign
        extra = net - round_money(EXACT.multiply(quantity, price), document.currency)
        tax = tax_of(row.rate, document.profile)
        found.append(Row(position, row, quantity, price, extra, net, tax))
    return found


def _upright(quantity: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
    """No price is negative (BR-27), so the quantity is."""
    return (-quantity, -price) if price < 0 else (quantity, price)


def _without(amount: Decimal, rate: Decimal, currency: str) -> Decimal:
    return round_money(Fraction(amount) * 100 / (100 + Fraction(rate)), currency)


def _net_price(price: Decimal, rate: Decimal) -> Decimal:
    exact = Fraction(price) * 100 / (100 + Fraction(rate))
    scaled = Decimal(exact.numerator) / Decimal(exact.denominator)
    return scaled.quantize(NET_PRICE_STEP, ROUND_HALF_UP)
