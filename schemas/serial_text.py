"""The billing types as RFC 8785 text at once, without the objects that ``to_json`` makes. Pure.

Each type is compiled once into a form with a place for each field, in the order of the names.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring as quoted
from operator import attrgetter
from types import NoneType
from typing import Any, Final, NoReturn

from schemas.prices import Charge
from schemas.serial_leaf import decimal_text, instant_text
from schemas.serial_read import KINDS

Writer = Callable[[Any], str]
_KINDS: Final = {cls: kind for kind, cls in KINDS.items()}
CHARGES_KEPT: Final = 4096
"""A catalogue has tens, and thousands of servers have the same."""


def text_of(value: object) -> str:
    """Any of the billing types in canonical form. Raises TypeError on a float."""
    return _WRITERS[type(value)](value)


class _Writers(dict[type[Any], Writer]):
    """Type → the function that writes it, made when it is met first."""

    def __missing__(self, cls: type[Any]) -> Writer:
        self[cls] = made = _writer(cls)
        return made


_WRITERS: Final = _Writers()


def _writer(cls: type[Any]) -> Writer:
    if cls is NoneType:
        return lambda value: "null"
    if cls is bool:
        return lambda value: "true" if value else "false"
    if cls is Charge:
        return _charge
    if issubclass(cls, Enum):
        return lambda value: text_of(value.value)
    for known, write in (
        (str, quoted),
        (int, lambda value: f'"{value}"'),
        (Decimal, lambda value: f'"{decimal_text(value)}"'),
        (datetime, lambda value: f'"{instant_text(value)}"'),
        (tuple | list, lambda value: f"[{','.join([_WRITERS[type(one)](one) for one in value])}]"),
        (dict, _mapping),
    ):
        if issubclass(cls, known):
            return write
    return _record(cls) if is_dataclass(cls) else _refuse


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no exact JSON form: {value!r}")


def _mapping(value: dict[Any, Any]) -> str:
    named = {str(key): part for key, part in value.items()}
    order = sorted(named, key=lambda name: name.encode("utf-16-be"))
    return f"{{{','.join(f'{quoted(name)}:{text_of(named[name])}' for name in order)}}}"


def _record(cls: type[Any]) -> Writer:
    """Of a dataclass: its fields by name, and the name of a quantity or price model."""
    names = {field.name.rstrip("_"): field.name for field in fields(cls)}
    kind = _KINDS.get(cls)
    parts = {name: f"{quoted(name)}:%s" for name in names}
    if kind is not None:
        parts["kind"] = f'"kind":{quoted(kind)}'
    form = f"{{{','.join(parts[name] for name in sorted(parts))}}}"
    wanted = [names[name] for name in sorted(names)]
    if not wanted:
        return lambda value: form
    if len(wanted) == 1:
        get = attrgetter(wanted[0])
        return lambda value: form % text_of(get(value))
    get_all = attrgetter(*wanted)
    return lambda value: form % tuple([_WRITERS[type(one)](one) for one in get_all(value)])


_charge_text: Final = _record(Charge)
_kept: Final[dict[int, tuple[Charge, str]]] = {}
"""By identity, each with the price that it is of: no other can have its place."""


def _charge(value: Charge) -> str:
    found = _kept.get(id(value))
    if found is None:
        if len(_kept) >= CHARGES_KEPT:
            _kept.clear()
        found = _kept[id(value)] = (value, _charge_text(value))
    return found[1]
