"""Is JSON what Grafana's own types say? They are `grafana-foundation-sdk`, made from its schemas.

A field that Grafana does not know is lost on the way through its types; a value of another kind
than the field's is found by the annotations, which the types themselves do not look at.
"""

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

register_default_plugins()


def problems(document: Any, of: Any, path: str = "") -> Iterator[str]:
    """What is wrong with the document as `of`, one of the SDK's classes. Nothing: it is sound."""
    read = of.from_json(document)
    yield from _lost(document, json.loads(json.dumps(read, cls=JSONEncoder)), path)
    yield from _wrong(read, path)


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            if name in kept:
                yield from _lost(value, kept[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown to Grafana"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif given != kept:
        yield f"{path} becomes {kept!r}"


def _wrong(read: Any, path: str) -> Iterator[str]:
    """Fields of an object of the SDK whose value is not of the kind they are annotated with."""
    of = type(read)
    module = __import__(of.__module__, fromlist=["*"])
    hints = typing.get_type_hints(of.__init__, vars(module))
    for name, hint in hints.items():
        if name in vars(read):
            yield from _kind(getattr(read, name), hint, f"{path}.{name}")


def _kind(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        yield from min((list(_kind(value, one, path)) for one in arguments), key=len)
    elif choices := _choices(hint):
        if value not in choices:
            yield f"{path} is {value!r}, not one of {choices}"
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _kind(one, arguments[0], f"{path}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for name, one in value.items():
            yield from _kind(one, arguments[1], f"{path}.{name}")
    elif isinstance(value, dict) and hasattr(hint, "from_json"):
        yield from problems(value, hint, path)
    elif hasattr(value, "to_json"):
        yield from _wrong(value, path)
    elif not _plain(value, origin or hint):
        yield f"{path} is {value!r}, not {hint}"


def _choices(hint: Any) -> list[Any]:
    """The values of a literal or an enumeration; none for any other kind."""
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    is_enum = isinstance(hint, type) and issubclass(hint, enum.Enum)
    return [member.value for member in hint] if is_enum else []


def _plain(value: Any, hint: Any) -> bool:
    if hint in (object, Any):
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)
