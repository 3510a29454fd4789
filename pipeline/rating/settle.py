"""Steps 12 to 14, on the lines of a whole invoice: promotional credit, tax, paid credit. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pipeline.money import exact_sum
from pipeline.rating.credit import Draw, draw, promotional_lines
from pipeline.rating.extra import nets
from pipeline.rating.tax import tax_lines
from schemas.billing import Line, Seller, TaxLine
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an invoice comes to. ``lines`` are those given and the promotional credit."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    net: Decimal
    tax: Decimal
    gross: Decimal
    paid: tuple[Draw, ...]
    due: Decimal


def settle(
    lines: Sequence[Line], seller: Seller, currency: str, profile: TaxProfile,
    credits_: Iterable[Credit], at: datetime,
) -> Settlement:  # fmt: skip
    known = tuple(credits_)
    all_lines = (*lines, *promotional_lines(lines, known, currency, at))
    taxes = tax_lines(all_lines, seller, currency, profile)
    tax = exact_sum(one.tax for one in taxes)
    inclusive = profile.mode is TaxMode.INCLUSIVE
    net = exact_sum(one.base for one in taxes) if inclusive else nets(all_lines)
    gross = net + tax
    paid = draw(known, CreditKind.PAID, max(Decimal(0), gross), at)
    due = gross - exact_sum(one.amount for one in paid)
    return Settlement(all_lines, taxes, net, tax, gross, paid, due)
