"""Step 5, after what is included: packs and what earlier periods left, by expiry. Pure, base units.

A pack is a number of base units, bought once with an add-on. It serves whole months: that in which
it is booked, from its beginning, and those that follow until it expires; so the order of use within
a month does not matter. It lapses when its add-on is dropped or the item ends. With a rollover what
is left of a period's own allowance serves later periods, after theirs. The earliest expiry is used
first, then the earliest name. What earlier periods used up is in the inputs, never computed anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from pipeline.periods import closed, following, month
from pipeline.rating.bookings import bookings
from schemas.billing import Inputs, Lot, Scope, Span
from schemas.prices import Rollover
from schemas.serial import instant_text

PACK, ROLLOVER = "pack/", "rollover/"


def available(scope: Scope, inputs: Inputs) -> tuple[Lot, ...]:
    """The lots that the period can use, in the order of use."""
    known = {lot.name: lot for lot in inputs.lots if inputs.period.start < lot.expires_at}
    packs = {lot.name: lot for lot in packs_of(scope, inputs.period)}
    rolled = [lot for lot in known.values() if not lot.name.startswith(PACK)]
    return ordered([*rolled, *(known.get(name, lot) for name, lot in packs.items())])


def packs_of(scope: Scope, period: Span) -> Iterator[Lot]:
    """The packs that were booked before the period ends and serve it, each as it was bought."""
    for booking in bookings(scope):
        pack, at = booking.row.price.pack, booking.at
        if pack is None or not booking.until.clip(period.start, closed(period)):
            continue
        expires = last_of(month(at, scope.timezone), pack.months - 1, scope.timezone)
        if period.start < expires:
            name = f"{PACK}{booking.row.item}/{booking.row.charge}/{instant_text(at)}"
            yield Lot(name, f"/{pack.pool}", booking.count * pack.quantity, expires)


def left(
    lots: Iterable[Lot], pot: str, period: Span, included: int, used: int,
    rollover: Rollover | None, timezone: str,
) -> tuple[Lot, ...]:  # fmt: skip
    """What the period leaves to the next: the lots that go on, also empty ones, in order of use."""
    over, kept = max(0, used - included), []
    for lot in ordered(lots):
        taken = min(lot.left, over)
        over -= taken
        kept.append(replace(lot, left=lot.left - taken))
    if rollover and included > used:
        expires = last_of(period, rollover.months, timezone)
        name = f"{ROLLOVER}{pot.removeprefix('/')}/{instant_text(period.start)}"
        kept.append(Lot(name, pot, min(included - used, rollover.most), expires))
    return ordered(lot for lot in kept if closed(period) < lot.expires_at)


def hands_on(scope: Scope) -> bool:
    """Something of a period may be left to later ones: packs, or allowances that roll over."""
    return any(
        row.price.pack is not None
        or (row.price.allowance is not None and row.price.allowance.rollover is not None)
        for row in scope.prices
    )


def handed_on(found: Iterable[Lot], said: Iterable[Lot]) -> tuple[Lot, ...]:
    """What a period hands on that says what it leaves: of what it ``found`` itself, also what it
    says nothing of. One that draws nothing says nothing.
    """
    return ordered({lot.name: lot for lot in (*found, *said)}.values())


def last_of(period: Span, more: int, timezone: str) -> datetime:
    """The end of the period that is so many after this one."""
    for _ in range(more):
        period = following(period, timezone)
    return closed(period)


def ordered(lots: Iterable[Lot]) -> tuple[Lot, ...]:
    return tuple(sorted(lots, key=lambda lot: (lot.expires_at, lot.name)))


def total(lots: Sequence[Lot], pot: str) -> int:
    return sum(lot.left for lot in lots if lot.pot == pot)
