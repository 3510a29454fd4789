"""The billing types as JSON and back, exactly; and the digest of what they say. Pure.

Decimals and integers are text (a quantity may pass 2**53, where readers in other languages round
without a word), instants are RFC 3339 in UTC, a quantity or price model carries its name in
``"kind"``. A float has no way in. ``schemas.serial_read`` is the way back.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NoReturn

from schemas.serial_leaf import decimal_text, instant_text
from schemas.serial_read import KINDS, SerialError, from_json
from schemas.serial_text import text_of

__all__ = [
    "KINDS",
    "Json",
    "SerialError",
    "canonical",
    "canonical_text",
    "decimal_text",
    "digest",
    "from_json",
    "instant_text",
    "text_digest",
    "text_of",
    "to_json",
]

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]

_KINDS: dict[type[Any], str] = {cls: kind for kind, cls in KINDS.items()}
_BEYOND: Final = re.compile("[\ud800-\U0010ffff]")
"""From here on RFC 8785 orders names otherwise than by code points, or refuses."""


def to_json(value: object) -> Any:
    """Any of the billing types as plain ``Json``. Raises TypeError on a float."""
    return _WRITERS[type(value)](value)


class _Writers(dict[type[Any], Callable[[Any], Any]]):
    """Type → the function that writes it, made when it is met first."""

    def __missing__(self, cls: type[Any]) -> Callable[[Any], Any]:
        self[cls] = made = _writer(cls)
        return made


_WRITERS: Final = _Writers()


def _writer(cls: type[Any]) -> Callable[[Any], Any]:
    if issubclass(cls, bool | NoneType):
        return lambda value: value
    if issubclass(cls, Enum):
        return lambda value: to_json(value.value)
    for known, write in (
        (str | int, str),
        (Decimal, decimal_text),
        (datetime, instant_text),
        (tuple | list, lambda value: [_WRITERS[type(part)](part) for part in value]),
        (dict, lambda value: {str(key): to_json(part) for key, part in value.items()}),
    ):
        if issubclass(cls, known):
            return write
    return _record(cls) if is_dataclass(cls) else _refuse


def _record(cls: type[Any]) -> Callable[[Any], Any]:
    """Of a dataclass: its fields in their order, after the name of a quantity or price model."""
    kind = {"kind": _KINDS[cls]} if cls in _KINDS else {}
    names = [(field.name.rstrip("_"), field.name) for field in fields(cls)]

    def write(value: object) -> dict[str, Any]:
        parts = ((name, getattr(value, attribute)) for name, attribute in names)
        return kind | {name: _WRITERS[type(part)](part) for name, part in parts}

    return write


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no exact JSON form: {value!r}")


def canonical(value: object) -> bytes:
    """RFC 8785 form of a dataclass, as it is in JSON; anything else is JSON already."""
    if is_dataclass(value):
        return text_of(value).encode()
    _refuse_float(value)
    import rfc8785  # noqa: PLC0415 - whoever verifies an invoice may not have it

    return rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks every part itself


def canonical_text(value: Json) -> bytes:
    """RFC 8785 form of what ``to_json`` has written: without numbers it is what ``json`` writes in
    C, a tenth of the time.
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if not text.isascii() and _BEYOND.search(text):
        import rfc8785  # noqa: PLC0415 - for few texts

        return rfc8785.dumps(value)
    return text.encode()


def digest(value: object) -> str:
    """SHA-256, in hex, of the canonical form: equal exactly when the content is."""
    return hashlib.sha256(canonical(value)).hexdigest()


def text_digest(value: Json) -> str:
    """The same of what has no numbers, such as whatever ``to_json`` has written."""
    return hashlib.sha256(canonical_text(value)).hexdigest()


def _refuse_float(value: object) -> None:
    """RFC 8785 itself allows floats; here each would be an amount that is no longer exact."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; write quantities and amounts as text")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            _refuse_float(part)
