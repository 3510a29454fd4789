"""What JSON has as text: amounts and instants. Pure."""

from datetime import UTC, datetime
from decimal import Decimal


def decimal_text(value: Decimal) -> str:
    """Digits without an exponent, trailing zeros kept: 49.00 stays 49.00."""
    if not value.is_finite():
        raise TypeError(f"{value} is not an amount")
    return format(value, "f")


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; microseconds only where there are any."""
    if value.tzinfo is None:
        raise TypeError(f"{value.isoformat()} has no time zone")
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()[:-6] + "Z"
