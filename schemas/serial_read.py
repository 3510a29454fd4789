"""Reads the JSON of ``schemas.serial`` back, strictly, by the types of the fields. Pure.

Each type is compiled once into a function. A field that has a default may be missing, so that old
documents stay readable when a type grows; an unknown field is refused, and so is any number that is
not text.
"""

import re
import types
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from schemas.prices import (
    Allocation,
    Fee,
    Graduated,
    Hours,
    Package,
    Percentile,
    PerUnit,
    Sum,
    Volume,
)

T = TypeVar("T")
Reader = Callable[[object, str], Any]
"""Takes the JSON value and the place where it stands."""

KINDS: Final[dict[str, type[Any]]] = {
    "fee": Fee,
    "hours": Hours,
    "sum": Sum,
    "percentile": Percentile,
    "allocation": Allocation,
    "per_unit": PerUnit,
    "package": Package,
    "graduated": Graduated,
    "volume": Volume,
}
"""Name of each quantity and model in JSON. Stored prices carry these names: never rename one."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z")


class SerialError(ValueError):
    """JSON that is no billing type: the place, what was found, what belongs there."""


def from_json(cls: type[T], value: object) -> T:
    """The value of type ``cls`` that ``to_json`` wrote. Raises SerialError on anything else."""
    hint: Any = cls
    read: T = _reader(hint)(value, cls.__name__)
    return read


@cache
def _reader(hint: Any) -> Reader:
    """The function that reads one type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union} and len(args) == 2 and types.NoneType in args:
        return _optional(_reader(args[0] if args[1] is types.NoneType else args[1]))
    if origin in {types.UnionType, Union} and set(args) <= set(KINDS.values()):
        return _one_of({kind: cls for kind, cls in KINDS.items() if cls in args})
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return _sequence(_reader(args[0]))
    if origin is dict and args[0] is str:
        return _mapping(_reader(args[1]))
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(hint)
    raise TypeError(f"{hint} has no exact JSON form")


def _wrong(where: str, value: object, want: str) -> SerialError:
    return SerialError(f"{where}: found {value!r}; {want} belongs here")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, value, "text")
    return value


def _bool(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    return value


def _integer(value: object, where: str) -> int:
    if not isinstance(value, str) or not _INTEGER.fullmatch(value):
        raise _wrong(where, value, "a whole number as text")
    return int(value)


def _decimal(value: object, where: str) -> Decimal:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise _wrong(where, value, "a decimal number as text")
    return Decimal(value)


def _instant(value: object, where: str) -> datetime:
    want = "an instant such as 2026-03-01T00:00:00Z"
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _wrong(where, value, want)
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise _wrong(where, value, want) from error


_SCALARS: Final[dict[Any, Reader]] = {
    str: _text, bool: _bool, int: _integer, Decimal: _decimal, datetime: _instant,
}  # fmt: skip


def _optional(read: Reader) -> Reader:
    return lambda value, where: None if value is None else read(value, where)


def _sequence(read: Reader) -> Reader:
    def sequence(value: object, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(where, value, "an array")
        return tuple(read(part, f"{where}[{i}]") for i, part in enumerate(value))

    return sequence


def _mapping(read: Reader) -> Reader:
    def mapping(value: object, where: str) -> dict[str, Any]:
        return {key: read(part, f"{where}.{key}") for key, part in _object(value, where).items()}

    return mapping


def _enum(cls: type[Enum]) -> Reader:
    allowed = {member.value: member for member in cls}

    def enum(value: object, where: str) -> Enum:
        if not isinstance(value, str) or value not in allowed:
            raise _wrong(where, value, f"one of {', '.join(allowed)}")
        return allowed[value]

    return enum


def _one_of(known: dict[str, type[Any]]) -> Reader:
    """One of several dataclasses, told apart by ``"kind"``."""

    def one_of(value: object, where: str) -> Any:
        kind = _object(value, where).get("kind")
        if not isinstance(kind, str) or kind not in known:
            raise _wrong(f"{where}.kind", kind, f"one of {', '.join(known)}")
        hint: Any = known[kind]
        return _reader(hint)(value, where)

    return one_of


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    return value


def _record(cls: type[Any]) -> Reader:
    """A dataclass: every field by its type, none missing that has no default, none unknown."""
    hints = get_type_hints(cls)
    known: dict[str, tuple[Field[Any], Reader]] = {
        field.name.rstrip("_"): (field, _reader(hints[field.name])) for field in fields(cls)
    }
    kind = next((kind for kind, known_ in KINDS.items() if known_ is cls), None)

    def record(value: object, where: str) -> Any:
        given = dict(_object(value, where))
        if kind is not None and given.pop("kind", None) != kind:
            raise _wrong(f"{where}.kind", value, kind)
        for name in sorted(given.keys() - known.keys()):
            raise SerialError(f"{where}.{name}: not known; known are {', '.join(known)}")
        for name, (field, _) in known.items():
            if name not in given and field.default is MISSING and field.default_factory is MISSING:
                raise SerialError(f"{where}.{name}: missing")
        return cls(**{known[n][0].name: known[n][1](v, f"{where}.{n}") for n, v in given.items()})

    return record
