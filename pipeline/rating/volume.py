"""Step 7, volume tiers: all units cost what the tier of the last unit says. Pure.

A tier's ``up_to`` is inclusive. Tiers with nothing but flat fees are a price a step. The total
decides, also for what an earlier price row used, so the month can become cheaper as it grows.
"""

from collections.abc import Iterator

from pipeline.rating.part import Part, Position, flat
from schemas.prices import Volume


def volume(model: Volume, at: Position) -> Iterator[Part]:
    tiers = enumerate(model.tiers, start=1)
    number, tier = next((n, t) for n, t in tiers if t.up_to is None or at.total <= t.up_to)
    yield Part(at.quantity, tier.price, title=f", tier {number}", above=at.before)
    if tier.flat and at.first:
        yield flat(tier.flat, "flat", f", tier {number}")
