"""Steps 12 to 14, on the lines of a whole invoice: promotional credit, tax, paid credit. Pure.

What lowers earlier invoices gives back their promotional credit before anything is drawn, and what
has not expired of it may be drawn again (``pipeline.rating.taken``). A credit note draws nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from pipeline.money import exact_sum
from pipeline.rating.credit import Draw, draw, holds, promotional_lines
from pipeline.rating.extra import nets
from pipeline.rating.taken import NOTHING, Taking, given_lines, note_taxes, purse, taken_back
from pipeline.rating.tax import rate_of, tax_lines
from schemas.billing import Line, Seller, Taken, TaxLine
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile

TODAY: Final[Mapping[str, Decimal]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an invoice comes to. ``lines`` are those given, then promotional credit: what is given
    back, and what is drawn.
    """

    lines: tuple[Line, ...]
    rates: tuple[Decimal, ...]
    """Tax rate of each line, in percent."""
    taxes: tuple[TaxLine, ...]
    net: Decimal
    tax: Decimal
    gross: Decimal
    paid: tuple[Draw, ...]
    due: Decimal
    taken: tuple[Taken, ...]


def settle(
    lines: Sequence[Line], seller: Seller, currency: str, profile: TaxProfile,
    credits_: Iterable[Credit], at: datetime, own: Mapping[str, Decimal] = TODAY,
    taking: Taking = NOTHING,
) -> Settlement:  # fmt: skip
    """``own`` holds the rates, by key, of lines that do not have today's: adjustments, and what
    takes off fees that were billed in advance.
    """
    rated = [
        (line, own[line.key] if line.key in own else rate_of(line, seller, profile))
        for line in lines
    ]
    there = tuple(credits_)
    again = {credit.credit for credit in there if holds(credit, at)}
    taken = taken_back(rated, taking, currency, profile, again)
    known = () if taking.note else purse(there, taken)
    rated += list(given_lines(rated, taken))
    rated += promotional_lines(rated, known, currency, at)
    taxes = tax_lines(rated, currency, profile)
    if taking.note:
        taxes = note_taxes(taxes, taken, currency, profile)
    tax = exact_sum(one.tax for one in taxes)
    inclusive = profile.mode is TaxMode.INCLUSIVE
    net = exact_sum(one.base for one in taxes) if inclusive else nets(line for line, _ in rated)
    gross = net + tax
    paid = draw(known, CreditKind.PAID, max(Decimal(0), gross), at)
    due = gross - exact_sum(one.amount for one in paid)
    all_lines, rates = tuple(line for line, _ in rated), tuple(rate for _, rate in rated)
    return Settlement(all_lines, rates, taxes, net, tax, gross, paid, due, taken)
