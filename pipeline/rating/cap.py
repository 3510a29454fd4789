"""Step 7, cap: the most that one item pays for a charge in a period, in money. Pure.

The cap is never prorated. All that an item is billed under one cap is bounded by it, however often
that is interrupted; and after a change an item pays at most the dearest cap it has touched. Caps
and lines are whole minor units, so what counts against a cap is what each line is billed.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

Billed = Mapping[Decimal | None, Fraction]
"""Of each cap that was touched: what was billed under it."""


def limit(own: Decimal | None, billed: Billed) -> Fraction | None:
    """The most that a row may cost: what its own cap leaves, within the dearest touched so far."""
    if own is None:
        return None
    left = Fraction(own) - billed.get(own, Fraction(0))
    if None in billed:
        return left
    dearest = max(Fraction(cap) for cap in [*billed, own] if cap is not None)
    return min(left, dearest - sum(billed.values(), Fraction(0)))
