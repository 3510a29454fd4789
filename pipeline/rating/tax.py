"""Step 13: tax for each category on the sum of its nets, never line by line. Pure.

EN 16931, BR-CO-17: tax amount = taxable amount × rate ÷ 100, rounded to the currency's minor unit.
Half up away from zero, so that a credit note takes back exactly what its invoice charged.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from pipeline.money import exact_sum, round_money
from schemas.billing import Line, Seller, TaxLine
from schemas.errors import ConfigError


def tax_lines(lines: Iterable[Line], seller: Seller, currency: str) -> tuple[TaxLine, ...]:
    """One line for each (category, rate) that occurs, by category; also where its base is zero."""
    nets: dict[str, list[Decimal]] = defaultdict(list)
    for line in lines:
        if line.tax not in seller.tax:
            raise ConfigError(
                f'line {line.key} has the tax category "{line.tax}", which {seller.entity} does not'
                f" know; the catalogue's [tax] has {', '.join(sorted(seller.tax)) or 'none'}"
            )
        nets[line.tax].append(line.net)
    return tuple(_tax(category, nets[category], seller, currency) for category in sorted(nets))


def _tax(category: str, nets: Iterable[Decimal], seller: Seller, currency: str) -> TaxLine:
    rate = seller.tax[category]
    base = exact_sum(nets)
    return TaxLine(
        category, rate, base, round_money(Fraction(base) * Fraction(rate) / 100, currency)
    )
