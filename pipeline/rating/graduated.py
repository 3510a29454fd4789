"""Step 7, graduated tiers: each unit costs what its own tier says. Pure.

A tier's ``up_to`` is inclusive. Its flat fee is charged when its first unit is used; the first
tier's at zero already. One part a tier, so that quantity × price is the amount.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from pipeline.money import exact_text
from pipeline.rating.part import Part, Position, flat
from schemas.prices import Graduated, Tier


def graduated(model: Graduated, at: Position, unit: str) -> Iterator[Part]:
    """The tiers that the position touches; the flat fees after them."""
    floors = lower_bounds(model.tiers)
    used = [
        _part(number, tier, floor, at, unit)
        for number, (tier, floor) in enumerate(zip(model.tiers, floors, strict=True))
    ]
    kept = [part for part in used if part.quantity]
    yield from kept or [_empty(used, floors, at)]
    for number, (tier, floor) in enumerate(zip(model.tiers, floors, strict=True)):
        if tier.flat and _entered(number, floor, at):
            yield flat(tier.flat, f"flat{number + 1}", f", tier {number + 1}")


def lower_bounds(tiers: Sequence[Tier]) -> list[Decimal]:
    """What is below each tier; of ascending tiers that end open."""
    return [Decimal(0), *(tier.up_to for tier in tiers if tier.up_to is not None)]


def _part(number: int, tier: Tier, floor: Decimal, at: Position, unit: str) -> Part:
    top = at.after if tier.up_to is None else min(at.after, tier.up_to)
    low = max(at.before, floor)
    title = f" above {exact_text(floor)} {unit}" if number else ""
    return Part(
        max(top - low, Decimal(0)), tier.price, f"tier{number + 1}" if number else "", title,
        above=low,
    )  # fmt: skip


def _empty(parts: Sequence[Part], floors: Sequence[Decimal], at: Position) -> Part:
    """The line of nothing: of the tier in which the next unit will be."""
    return [part for part, floor in zip(parts, floors, strict=True) if floor <= at.before][-1]


def _entered(number: int, floor: Decimal, at: Position) -> bool:
    return at.first if number == 0 else at.before <= floor < at.after
