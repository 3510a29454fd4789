"""The billing types as JSON and back, exactly; and the digest of what they say. Pure.

Decimals and integers are text (a quantity may pass 2**53, where readers in other languages round
without a word), instants are RFC 3339 in UTC, a quantity or price model carries its name in
``"kind"``. A float has no way in. ``schemas.serial_read`` is the way back.
"""

import hashlib
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import rfc8785

from schemas.serial_read import KINDS, SerialError, from_json

__all__ = [
    "KINDS",
    "Json",
    "SerialError",
    "canonical",
    "decimal_text",
    "digest",
    "from_json",
    "instant_text",
    "to_json",
]

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]

_KINDS: dict[type[Any], str] = {cls: kind for kind, cls in KINDS.items()}


def to_json(value: object) -> Any:
    """Any of the billing types as plain ``Json``. Raises TypeError on a float."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if isinstance(value, dict):
        return {str(key): to_json(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        kind = _KINDS.get(type(value))
        body = {f.name.rstrip("_"): to_json(getattr(value, f.name)) for f in fields(value)}
        return body if kind is None else {"kind": kind, **body}
    raise TypeError(f"{type(value).__name__} has no exact JSON form: {value!r}")


def canonical(value: object) -> bytes:
    """RFC 8785 form. A dataclass goes through ``to_json``; anything else is JSON already."""
    plain = to_json(value) if is_dataclass(value) else value
    _refuse_float(plain)
    return rfc8785.dumps(plain)  # type: ignore[arg-type]  # it checks every part itself


def digest(value: object) -> str:
    """SHA-256, in hex, of the canonical form: equal exactly when the content is."""
    return hashlib.sha256(canonical(value)).hexdigest()


def decimal_text(value: Decimal) -> str:
    """Digits without an exponent, trailing zeros kept: 49.00 stays 49.00."""
    if not value.is_finite():
        raise TypeError(f"{value} is not an amount")
    return format(value, "f")


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; microseconds only where there are any."""
    if value.tzinfo is None:
        raise TypeError(f"{value.isoformat()} has no time zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _refuse_float(value: object) -> None:
    """RFC 8785 itself allows floats; here each would be an amount that is no longer exact."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; write quantities and amounts as text")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            _refuse_float(part)
