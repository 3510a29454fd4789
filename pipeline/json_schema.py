"""Words that the JSON Schemas of files are made of. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

Schema = dict[str, Any]
DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""What taplo, the language server of most editors, reads."""
DATE: Final[Schema] = {"type": "string", "description": "a day, without quotes: 2026-03-01"}
"""TOML has dates, JSON has none: an editor sees them as text."""


def whole_file(title: str, properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    return {"$schema": DIALECT, "title": title, **table(properties, required)}


def table(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        "required": list(required),
    }


def tables(value: Schema) -> Schema:
    """A table of such tables, under names that people give."""
    return {"type": "object", "additionalProperties": value}


def text(description: str) -> Schema:
    return {"type": "string", "description": description}


def texts(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": description}


def pattern(regex: str, description: str) -> Schema:
    return {"type": "string", "pattern": f"^({regex})$", "description": description}


def choice(words: type[StrEnum]) -> Schema:
    return {"enum": [word.value for word in words]}
