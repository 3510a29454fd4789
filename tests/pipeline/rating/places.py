"""Where a scope is billed: a month of a time zone and a currency. Strategies for its instants."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import floor
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from pipeline.periods import closed, month
from schemas.billing import Span
from schemas.spans import WIDTH_MS

WIDTH = timedelta(milliseconds=WIDTH_MS)
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
DIGITS = {"EUR": 2, "JPY": 0, "KWD": 3}
"""Decimal places by ISO 4217, written by hand: what ``pipeline.money`` says is under test."""


@dataclass(frozen=True, slots=True)
class Place:
    """A period of a zone, and what is paid there."""

    timezone: str
    period: Span
    currency: str = "EUR"
    change: datetime | None = None
    """When the clocks change in the period."""

    @property
    def start(self) -> datetime:
        return self.period.start

    @property
    def end(self) -> datetime:
        return closed(self.period)

    @property
    def next_end(self) -> datetime:
        return self.first(2)

    @property
    def digits(self) -> int:
        return DIGITS[self.currency]

    @property
    def windows(self) -> int:
        """How many windows the period has: 288 a day, 276 or 300 where an hour is gone or twice."""
        return (self.end - self.start) // WIDTH

    def edge(self, window: int) -> datetime:
        return self.start + window * WIDTH

    def first(self, months: int) -> datetime:
        """When the local month begins that is so many after the period's; 1 is its end."""
        return first_of_month(self.start, self.timezone, months)

    def money(self, euro: str) -> Decimal:
        """As many minor units as the text has in euro, so that caps and prices meet alike."""
        return Decimal(euro).scaleb(2 - self.digits)


APRIL = Place("UTC", Span(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)))
"""720 hours: no clock changes."""

MONTHS = (
    ("UTC", None, "2026-04-15T00:00+00:00", "720"),
    ("Europe/Berlin", "forward", "2026-03-29T01:00+00:00", "743"),
    ("Europe/Berlin", "back", "2026-10-25T01:00+00:00", "745"),
    ("America/New_York", "forward", "2026-03-08T07:00+00:00", "743"),
    ("America/New_York", "back, on the first day", "2026-11-01T06:00+00:00", "721"),
    ("Asia/Kolkata", None, "2026-04-15T00:00+00:00", "720"),
    ("Australia/Lord_Howe", "back by half an hour", "2026-04-04T15:00+00:00", "720.5"),
    ("Australia/Lord_Howe", "forward by half an hour", "2026-10-03T15:30+00:00", "743.5"),
)
"""Zone, how its clocks change and when, hours of that month; IANA, 2026a."""


def _place(timezone: str, change: str | None, at: str, currency: str) -> Place:
    instant = datetime.fromisoformat(at)
    return Place(timezone, month(instant, timezone), currency, instant if change else None)


PLACES = tuple(
    _place(timezone, change, at, currency)
    for timezone, change, at, _ in MONTHS
    for currency in DIGITS
)
places = st.sampled_from(PLACES)


@cache
def marks(place: Place) -> tuple[datetime, ...]:
    """Instants at which something may go wrong: both ends, the change of the clock, local days."""
    days = [local_midnight(place, place.start + (24 * day + 12) * HOUR) for day in range(32)]
    near = [place.change + n * HOUR for n in (-1, 0, 1)] if place.change else []
    return tuple(sorted({place.start, place.end, *near, *days}))


def first_of_month(instant: datetime, timezone: str, months: int = 0) -> datetime:
    """When the local month of an instant began, or the one so many later."""
    local = instant.astimezone(ZoneInfo(timezone))
    year, index = divmod(local.year * 12 + local.month - 1 + months, 12)
    return datetime(year, index + 1, 1, tzinfo=local.tzinfo).astimezone(UTC)


def local_midnight(place: Place, instant: datetime, years: int = 0) -> datetime:
    """When the local day of an instant began, or that day so many years later."""
    local = instant.astimezone(ZoneInfo(place.timezone))
    day = datetime(local.year + years, local.month, local.day, tzinfo=local.tzinfo)
    return day.astimezone(UTC)


@cache
def instants(place: Place) -> st.SearchStrategy[datetime]:
    """From an hour before the period to a day after it."""
    minutes = st.integers(-60, place.windows * 5 + 1440)
    return st.one_of(
        minutes.map(lambda minute: place.start + timedelta(minutes=minute)),
        st.sampled_from([*marks(place), place.end + HOUR]),
    )


def share(part: Span, whole: Span) -> Fraction:
    """Of the time that passes, whatever clocks show."""
    lengths = [(closed(span) - span.start) // MICROSECOND for span in (part, whole)]
    return Fraction(*lengths)


def paid(exact: Fraction, currency: str) -> Decimal:
    """In whole minor units, half up away from zero; not by the code that is tested."""
    digits = DIGITS[currency]
    units = floor(abs(exact) * 10**digits + Fraction(1, 2))
    return Decimal(units if exact >= 0 else -units).scaleb(-digits)


def whole(amount: Decimal, currency: str) -> bool:
    """Can be paid: written with the currency's decimals."""
    return amount.as_tuple().exponent == -DIGITS[currency]
