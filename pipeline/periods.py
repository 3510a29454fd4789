"""Billing periods: months between local midnights, as UTC instants. Pure but for the zone database.

A period is half-open and chained: it starts where the one before it ended, whatever the clocks did
and even when the account moved to another zone. Usage lies in windows that divide 15 minutes, and
since 1972 every zone's offset is a multiple of 15 minutes, so a period's edge never cuts a window.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.billing import Span
from schemas.errors import ConfigError
from schemas.spans import WIDTH_MS

QUARTER_MS: Final = 900_000
"""Offsets of time zones are multiples of 15 minutes (Nepal +5:45, Chatham +12:45)."""
HALF_MONTH: Final = timedelta(days=15)
"""From any edge of a month, this far leads safely inside the neighbouring month of every zone."""
MICROSECOND: Final = timedelta(microseconds=1)

if QUARTER_MS % WIDTH_MS:
    raise AssertionError(f"windows of {WIDTH_MS} ms do not divide 15 minutes")


def zone(timezone: str) -> ZoneInfo:
    """The zone of an IANA name, or one sentence that says what to write."""
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder, "Europe"
        raise ConfigError(
            f'time zone "{timezone}" is not known; write an IANA name, for example "Europe/Berlin"'
        ) from error


def midnight(year: int, month: int, day: int, timezone: str) -> datetime:
    """The instant at which the local day begins; the first where clocks show midnight twice.

    Where the clocks skip midnight the day begins with the skip: the offset before it applies.
    """
    local = datetime(year, month, day, tzinfo=zone(timezone))
    return local.astimezone(UTC)


def month(instant: datetime, timezone: str) -> Span:
    """The calendar month of the zone that holds ``instant``."""
    return _month(instant.astimezone(UTC), timezone)


@lru_cache(1024)
def _month(instant: datetime, timezone: str) -> Span:
    """Of an instant in UTC: in other zones two instants an hour apart can be equal."""
    local = instant.astimezone(zone(timezone))
    start = midnight(local.year, local.month, 1, timezone)
    year, index = divmod(local.year * 12 + local.month, 12)
    end = midnight(year, index + 1, 1, timezone)
    for edge in (start, end):
        if (edge - datetime.fromtimestamp(0, UTC)) % timedelta(milliseconds=WIDTH_MS):
            raise ValueError(f"midnight {edge.isoformat()} of {timezone} is not a window edge")
    return Span(start, end)


def following(period: Span, timezone: str) -> Span:
    """The period after ``period``: starts exactly where that ends."""
    end = closed(period)
    return Span(end, month(end + HALF_MONTH, timezone).end)


def previous(period: Span, timezone: str) -> Span:
    """The period before ``period``: ends exactly where that starts."""
    return Span(month(period.start - HALF_MONTH, timezone).start, period.start)


def anniversary(start: datetime, years: int, timezone: str) -> datetime:
    """The local midnight of the day that many years after the day of ``start``; 28 February of a
    year without a 29th.
    """
    day = start.astimezone(zone(timezone)).date()
    leap = day.month == 2 and day.day == 29 and monthrange(day.year + years, 2)[1] == 28
    return midnight(day.year + years, day.month, 28 if leap else day.day, timezone)


def closed(span: Span) -> datetime:
    """The end of a span that must have one."""
    if span.end is None:
        raise ValueError(f"the span from {span.start.isoformat()} has no end")
    return span.end


def microseconds(start: datetime, end: datetime) -> int:
    """Exact length of ``[start, end)``; a datetime holds nothing finer."""
    return (end - start) // MICROSECOND


def hours(span: Span) -> Fraction:
    """Exact length in hours: 743 or 745 in a month in which the clocks change by one hour."""
    return Fraction(microseconds(span.start, closed(span)), 3_600_000_000)
