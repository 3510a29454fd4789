"""Words that the JSON Schemas of files are made of. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

Schema = dict[str, Any]
DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""What taplo, the language server of most editors, reads."""
DATE: Final[Schema] = {
    "type": "string",
    "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$",
    "description": "a day, without quotes: 2026-03-01",
}
"""TOML has dates, JSON has none: an editor sees them as text."""
MOMENT: Final[Schema] = {
    "type": "string",
    "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}([T ].*)?$",
    "description": "a day or a time, without quotes: 2026-03-01T14:30:00",
}
_LINE: Final = r"[^\u0000-\u001f\u007f-\u009f]*"
SAYS: Final = rf"^{_LINE}[^\s\u0000-\u001f\u007f-\u009f]{_LINE}$"
"""One line that says something."""


def whole_file(title: str, properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    return {"$schema": DIALECT, "title": title, **table(properties, required)}


def table(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        "required": list(required),
    }


def tables(value: Schema, *, names: str = "", least: int = 0) -> Schema:
    """A table of such tables, under names that people give; ``names`` is what these match."""
    found: Schema = {"type": "object", "additionalProperties": value}
    found |= {"propertyNames": {"pattern": f"^({names})$"}} if names else {}
    return found | ({"minProperties": least} if least else {})


def text(description: str) -> Schema:
    return {"type": "string", "pattern": SAYS, "description": description}


def texts(description: str, *, once: bool = False) -> Schema:
    """An array of texts; with ``once`` none is named twice."""
    items = {"type": "string", "pattern": SAYS}
    found = {"type": "array", "items": items, "minItems": 1, "description": description}
    return found | ({"uniqueItems": True} if once else {})


def pattern(regex: str, description: str) -> Schema:
    """Blanks around a text are nothing to the readers."""
    return {"type": "string", "pattern": rf"^\s*({regex})\s*$", "description": description}


def one_of(*fields: str) -> Schema:
    """Exactly one of the fields is written."""
    return {"oneOf": [{"required": [field]} for field in fields]}


def at_most_one_of(*fields: str) -> Schema:
    pairs = [{"required": [a, b]} for i, a in enumerate(fields) for b in fields[i + 1 :]]
    return {"not": {"anyOf": pairs}}


def choice(words: type[StrEnum]) -> Schema:
    return {"enum": [word.value for word in words]}
