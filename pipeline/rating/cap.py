"""Step 7, cap: the most that one item pays for a charge in a period, in money. Pure.

The cap is never prorated. A price row is bounded by its own cap, and after a price change an item
pays at most the dearest cap it has touched. Caps and lines are whole minor units, so what counts
against a cap is what each line is billed.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction


def limit(touched: Sequence[Decimal | None], billed: Fraction) -> Fraction | None:
    """The most that the last row may cost: its own cap, within the dearest touched so far."""
    own = touched[-1]
    if own is None or None in touched:
        return None if own is None else Fraction(own)
    dearest = max(Fraction(cap) for cap in touched if cap is not None)
    return min(Fraction(own), dearest - billed)
