"""Figures as a person reads them: money, quantities, dates. Pure; nothing here rounds money."""

import re
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal, format_percent

from schemas.billing import Span
from schemas.prices import Unit

EXACT = Context(prec=60)
"""Enough for any numeric of the ledger; display never needs more."""
DAY = timedelta(days=1)
LONG: Final = {"en": "d MMMM y", "de": "d. MMMM y"}
SHORT: Final = {"en": "d MMM", "de": "d. MMM"}
MINUTE: Final = {"en": "d MMM y, HH:mm", "de": "d. MMM y, HH:mm"}
PERCENT: Final = {"en": "#,##0.##%", "de": "#,##0.##\u00a0%"}
"""Patterns of Unicode CLDR by language."""
CODE: Final = re.compile(r"(?<=[^\W\d_])(?=\d)")
"""Between a currency's letters and the number, where CLDR wants a space (``currencySpacing``)."""
_DECIMAL, _BINARY = ("B", "kB", "MB", "GB", "TB", "PB"), ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
SMALLER = {big: small for names in (_DECIMAL, _BINARY) for small, big in pairwise(names)}
"""The next smaller unit of bytes."""


def money(amount: Decimal, currency: str, locale: str) -> str:
    """An amount with its currency, all its digits: ``€1,234.50``, ``KWD 1,234.500``."""
    said = format_currency(amount, currency, locale=_known(locale), decimal_quantization=False)
    return CODE.sub("\u00a0", said)


def amount(value: Decimal, locale: str) -> str:
    """An amount or a rate without its currency, all its digits: ``0.0833``."""
    digits = "0" * max(0, -int(value.as_tuple().exponent))
    pattern = f"#,##0.{digits}" if digits else "#,##0"
    return format_decimal(value, format=pattern, locale=_known(locale), decimal_quantization=False)


def quantity(value: Decimal, unit: str, locale: str) -> str:
    """``1.482 TB``."""
    return f"{amount(value, locale)}\u00a0{unit}"


def base_as(value: int, unit: Unit, locale: str) -> str:
    """Base units to three decimals, for reading only: ``20 TB``, and ``3.512 MB`` when few."""
    name, is_ = fitting(value, unit)
    shown = EXACT.divide(Decimal(value), Decimal(is_)).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return f"{format_decimal(shown, format='#,##0.###', locale=_known(locale))}\u00a0{name}"


def fitting(value: int, unit: Unit) -> tuple[str, int]:
    """The billing unit, or for few bytes a smaller one of its kind (IEC 80000-13)."""
    step = 1024 if unit.name.endswith("iB") else 1000
    name, is_ = unit.name, unit.is_
    while 0 < value < is_ and name in SMALLER and is_ % step == 0:
        name, is_ = SMALLER[name], is_ // step
    return name, is_


def percent(value: Decimal, locale: str) -> str:
    """``99.93%`` from 99.93, in German with a space."""
    return format_percent(value / 100, format=PERCENT[locale[:2]], locale=_known(locale))


def day(instant: datetime, zone: ZoneInfo, locale: str) -> str:
    """``1 March 2026``, in that zone."""
    return _date(instant.astimezone(zone).date(), LONG, locale)


def moment(instant: datetime, zone: ZoneInfo, locale: str) -> str:
    """``1 Mar 2026, 00:05``, in that zone."""
    return format_datetime(instant.astimezone(zone), MINUTE[locale[:2]], locale=_known(locale))


def span(value: Span, zone: ZoneInfo, locale: str) -> str:
    """Days inclusive when both edges are midnights, otherwise to the minute.

    2026-02-01 00:00 … 2026-03-01 00:00 → ``1 – 28 February 2026``.
    """
    start = value.start.astimezone(zone)
    if value.end is None:
        return f"{moment(start, zone, locale)} –"
    end = value.end.astimezone(zone)
    if any(
        (edge.hour, edge.minute, edge.second, edge.microsecond) != (0,) * 4 for edge in (start, end)
    ):
        return f"{moment(start, zone, locale)} – {moment(end, zone, locale)}"
    last = end.date() - DAY
    if start.date() == last:
        return _date(last, LONG, locale)
    if (start.year, start.month) == (last.year, last.month):
        first, _, _ = _date(start.date(), LONG, locale).partition(" ")
        return f"{first} – {_date(last, LONG, locale)}"
    return " – ".join(_date(edge, LONG, locale) for edge in (start.date(), last))


def ends(value: Span, zone: ZoneInfo, locale: str) -> tuple[str, str]:
    """First and last day of a month, short: ``1 Feb``, ``28 Feb``."""
    assert value.end is not None
    days = value.start.astimezone(zone).date(), value.end.astimezone(zone).date() - DAY
    first, last = (_date(day, SHORT, locale) for day in days)
    return first, last


def _date(value: date, patterns: dict[str, str], locale: str) -> str:
    return format_date(value, patterns[locale[:2]], locale=_known(locale))


@cache
def _known(locale: str) -> Locale:
    """One object a locale: babel reads its data anew for each."""
    return Locale.parse(locale)
