"""What JSON has as text: amounts and instants. Pure."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

INSTANTS_KEPT: Final = 4096
"""An invoice says the edges of its period in every line."""


def decimal_text(value: Decimal) -> str:
    """Digits without an exponent, trailing zeros kept: 49.00 stays 49.00."""
    if not value.is_finite():
        raise TypeError(f"{value} is not an amount")
    return format(value, "f")


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; microseconds only where there are any."""
    if value.tzinfo is None:
        raise TypeError(f"{value.isoformat()} has no time zone")
    return _utc_text(value if value.tzinfo is UTC else value.astimezone(UTC))


@lru_cache(INSTANTS_KEPT)
def _utc_text(value: datetime) -> str:
    return f"{value.isoformat()[:-6]}Z"
