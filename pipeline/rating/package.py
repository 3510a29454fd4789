"""Step 7, per package: every package begun is paid whole; none at zero. Pure.

Packages are a cumulative function of the quantity, p(q) = ceil(q ÷ size), so that a price change in
the middle of a package does not begin another.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil

from pipeline.money import exact_text
from pipeline.rating.part import Part, Position
from schemas.prices import Package


def package(model: Package, at: Position, unit: str) -> Iterator[Part]:
    count = _begun(model, at.after) - _begun(model, at.before)
    name = f"package of {exact_text(model.size)} {unit}"
    yield Part(Decimal(count), model.price, unit=name, above=at.before)


def _begun(model: Package, quantity: Decimal) -> int:
    return ceil(Fraction(quantity) / Fraction(model.size))
