"""Step 7, per unit: quantity × price. Pure."""

from collections.abc import Iterator

from pipeline.rating.part import Part, Position
from schemas.prices import PerUnit


def per_unit(model: PerUnit, at: Position) -> Iterator[Part]:
    yield Part(at.quantity, model.price, above=at.before)
