"""Step 13: tax for each category and rate on the sum of its nets, never line by line. Pure.

EN 16931, BR-CO-17: tax amount = taxable amount × rate ÷ 100, rounded to the currency's minor unit:
half up away from zero, or down where a country truncates, so that a credit note takes back exactly
what its invoice charged. Of prices that include tax the net is rounded, and tax is the rest. Under
reverse charge (category AE, BR-AE-5) the rate is 0: the buyer owes it.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.money import EXACT, exact_sum, round_money, truncate_money
from schemas.billing import Line, Seller, TaxLine
from schemas.errors import ConfigError
from schemas.terms import TaxMode, TaxProfile, TaxRounding

DOMESTIC: Final = TaxProfile()


def rates_of(seller: Seller, profile: TaxProfile) -> dict[str, Decimal]:
    """Category → rate in percent, as the seller charges this buyer."""
    owed = profile.mode is not TaxMode.REVERSE_CHARGE
    return {category: rate if owed else Decimal(0) for category, rate in seller.tax.items()}


def rate_of(line: Line, seller: Seller, profile: TaxProfile = DOMESTIC) -> Decimal:
    """The rate of the line's category in percent, as the seller charges this buyer."""
    if line.tax not in seller.tax:
        raise ConfigError(
            f'line {line.key} has the tax category "{line.tax}", which {seller.entity} does not'
            f" know; the catalogue's [tax] has {', '.join(sorted(seller.tax)) or 'none'}"
        )
    return Decimal(0) if profile.mode is TaxMode.REVERSE_CHARGE else seller.tax[line.tax]


def tax_lines(
    rated: Iterable[tuple[Line, Decimal]], currency: str, profile: TaxProfile = DOMESTIC
) -> tuple[TaxLine, ...]:
    """One line for each (category, rate) that occurs, in order; also where its base is zero."""
    nets: dict[tuple[str, Decimal], list[Decimal]] = defaultdict(list)
    for line, rate in rated:
        nets[line.tax, rate].append(line.net)
    return tuple(
        tax_line(category, exact_sum(nets[category, rate]), rate, currency, profile)
        for category, rate in sorted(nets)
    )


def tax_line(
    category: str, amount: Decimal, rate: Decimal, currency: str, profile: TaxProfile
) -> TaxLine:
    """``amount`` is the sum of the lines: without tax, or with it where prices include it."""
    if profile.mode is TaxMode.INCLUSIVE:
        base = round_money(Fraction(amount) * 100 / (100 + Fraction(rate)), currency)
        return TaxLine(category, rate, base, EXACT.subtract(amount, base))
    rounded = truncate_money if profile.rounding is TaxRounding.DOWN else round_money
    tax = rounded(Fraction(amount) * Fraction(rate) / 100, currency)
    return TaxLine(category, rate, amount, tax)
