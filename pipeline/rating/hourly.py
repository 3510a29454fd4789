"""Step 7 of rent by the hour, with a cap in money for each item and month. Pure.

Hours are a cumulative function of the item: c(t) = ceil((t − start) ÷ 1 h). A segment bills
c(end) − c(begin), the hours that start in it, so midnight on the 1st adds none and neither does a
price change. The cap is never prorated; after a price change an item pays at most the dearest cap
it has touched. Rounds once: the line to the minor unit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.money import exact_text, round_money
from pipeline.periods import MICROSECOND
from pipeline.rating.cut import Segment, line_key, line_title
from schemas.billing import HourlyCap, Line, Rounding, Scope, Span

HOUR: Final = timedelta(hours=1)
MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Rent:
    """What one segment has come to: ``amount`` is exact, ``net`` rounded."""

    segment: Segment[HourlyCap]
    end: datetime
    hours: int
    amount: Fraction
    net: Decimal
    capped: bool


def hours_started(start: datetime, instant: datetime) -> int:
    """Hours since ``start`` that have begun before ``instant``: c(t), and 0 before the start."""
    return max(0, -((start - instant) // HOUR))


def hourly_lines(
    scope: Scope, period: Span, segments: Sequence[Segment[HourlyCap]], as_of: datetime
) -> Iterator[Line]:
    """One line for each segment in which an hour has started by ``as_of``."""
    for rent in rents(segments, as_of, scope.currency):
        if rent.hours:
            yield _line(scope, period, rent)


def rents(segments: Sequence[Segment[HourlyCap]], as_of: datetime, currency: str) -> Iterator[Rent]:
    """Each segment that has begun, in order, the later ones within what the cap leaves."""
    touched: list[Decimal | None] = []
    billed = Fraction(0)
    for segment in segments:
        if segment.start >= as_of:
            return
        touched.append(segment.model.cap)
        rent = _rent(segment, min(segment.end, as_of), _limit(touched, billed), currency)
        billed += Fraction(rent.net)
        yield rent


def next_hour_at(
    segments: Sequence[Segment[HourlyCap]], as_of: datetime, currency: str
) -> datetime | None:
    """The first instant after ``as_of`` at which a further hour has started and costs something.

    An hour has started one microsecond after the full hour: at the full hour itself c(t) has not
    grown yet, and a sweep at that instant would find nothing to do for ever.
    """
    now = sum((rent.amount for rent in rents(segments, as_of, currency)), Fraction(0))
    for segment in segments:
        start = segment.item.valid.start
        hour = start + hours_started(start, max(as_of, segment.start)) * HOUR
        if hour >= segment.end:
            continue
        then = rents(segments, hour + MICROSECOND, currency)
        if sum((rent.amount for rent in then), Fraction(0)) > now:
            return hour + MICROSECOND
    return None


def _limit(touched: Sequence[Decimal | None], billed: Fraction) -> Fraction | None:
    """The most that the last segment may cost: its own cap, within the dearest touched so far."""
    own = touched[-1]
    if own is None or None in touched:
        return None if own is None else Fraction(own)
    dearest = max(Fraction(cap) for cap in touched if cap is not None)
    return min(Fraction(own), dearest - billed)


def _rent(
    segment: Segment[HourlyCap], end: datetime, limit: Fraction | None, currency: str
) -> Rent:
    start = segment.item.valid.start
    hours = hours_started(start, end) - hours_started(start, segment.start)
    full = hours * Fraction(segment.model.rate)
    amount = full if limit is None else min(full, limit)
    return Rent(segment, end, hours, amount, round_money(amount, currency), amount < full)


def _line(scope: Scope, period: Span, rent: Rent) -> Line:
    segment, row = rent.segment, rent.segment.row
    return Line(
        key=line_key(scope, period, segment),
        scope=scope.scope,
        item=row.item,
        charge=row.charge,
        title=line_title(segment),
        service=Span(segment.start, rent.end),
        quantity=Decimal(rent.hours),
        unit="hour",
        unit_price=segment.model.rate,
        net=rent.net,
        tax=row.tax,
        version=row.version,
        base_quantity=(rent.end - segment.start) // MILLISECOND,
        capped=rent.capped,
        roundings=(Rounding("net", exact_text(rent.amount), rent.net),),
    )
