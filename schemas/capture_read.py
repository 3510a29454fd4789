"""Reads a line of a capture (schemas.capture has the form): a message, or one sentence why not.

Pure. ``value`` is cut out of the line as it is written, so that what was signed is what is checked.
"""

import base64
import binascii
import json
import re
from typing import Any, Final

from schemas.capture import TS_MS_MAX, TS_TYPES, Captured, CapturedHeaders, Place

_INTEGER_CHARS_MAX: Final = 20
"""More characters than any number here has, so what is cut stays out of range."""


class CaptureError(ValueError):
    """A line that is no message; the text says why, and the caller which line."""


def decode_line(line: bytes) -> Captured:
    """The message of one line; raises ``CaptureError``."""
    try:
        text = line.decode()
        fields = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise CaptureError("it is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"it is not JSON: {_short(error)}") from None
    if not isinstance(fields, dict):
        raise CaptureError(f"it is {_kind(fields)}; a message is an object")
    if isinstance(fields, _Twice):
        raise CaptureError(f"the field {fields.name} appears twice")
    return Captured(
        _key(fields),
        _ts_ms(fields),
        _headers(fields.get("headers")),
        _value(fields, text),
        _ts_type(fields),
        _place(fields) if "partition" in fields else None,
    )


class _Twice(dict[str, Any]):
    """An object in which a name appears twice."""

    name = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    twice, seen = _Twice(fields), set[str]()
    for name, _ in pairs:
        if name in seen:
            twice.name = json.dumps(name)
        seen.add(name)
    return twice


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value; write the message as value_raw")


_DECODER = json.JSONDecoder(
    parse_int=lambda digits: int(digits[:_INTEGER_CHARS_MAX]),
    parse_constant=_constant,
    object_pairs_hook=_object,
)


def _key(fields: dict[str, Any]) -> bytes | None:
    if "key_b64" in fields:
        if "key" in fields:
            raise CaptureError("it has both key and key_b64")
        return _bytes(fields["key_b64"], "key_b64")
    key = fields.get("key")
    if key is None:
        return None
    if not isinstance(key, str):
        raise CaptureError(f"key is {_kind(key)}; it must be text or null")
    return _encoded(key)


def _ts_ms(fields: dict[str, Any]) -> int:
    if "ts_ms" not in fields:
        raise CaptureError("ts_ms is missing: the time stamp of the message, in milliseconds")
    ts_ms = fields["ts_ms"]
    if type(ts_ms) is not int:
        raise CaptureError(f"ts_ms is {_kind(ts_ms)}; it must be an integer, in milliseconds")
    if not -1 <= ts_ms <= TS_MS_MAX:
        raise CaptureError(f"ts_ms is {ts_ms}; it must be -1 (none) … {TS_MS_MAX}")
    return ts_ms


def _ts_type(fields: dict[str, Any]) -> int | None:
    word = fields.get("ts_type")
    if word is None:
        return None
    if word not in TS_TYPES:
        raise CaptureError(f"ts_type is {_kind(word)}; it must be one of {', '.join(TS_TYPES)}")
    return TS_TYPES.index(word)


def _place(fields: dict[str, Any]) -> Place:
    names = ("partition", "partitions", "offset")
    place: list[Any] = [fields.get(name) for name in names]
    for name, found in zip(names, place, strict=True):
        optional = name == "offset" and found is None
        if not optional and (type(found) is not int or not 0 <= found < 2**63):
            raise CaptureError(f"{name} is {_kind(found)}; it must be an integer from 0")
    part, partitions, offset = place
    if part >= partitions:
        raise CaptureError(f"partition is {part}; it must be less than partitions, {partitions}")
    return Place(part, partitions, offset)


def _headers(found: Any) -> CapturedHeaders:
    if found is None:
        return ()
    if isinstance(found, _Twice):
        raise CaptureError(
            f"headers has {found.name} twice; write them as a list of [name, value] pairs"
        )
    if isinstance(found, dict):
        return tuple([(_name(name), _header(name, value)) for name, value in found.items()])
    if not isinstance(found, list):
        raise CaptureError(f"headers is {_kind(found)}; it must be an object or a list of pairs")
    for pair in found:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise CaptureError(f"headers holds {_kind(pair)}; each must be a pair [name, value]")
    return tuple([(_name(name), _header(name, value)) for name, value in found])


def _name(name: str) -> str:
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CaptureError(f"the header name {json.dumps(name)} is not UTF-8") from None
    return name


def _header(name: str, value: Any) -> bytes | None:
    if isinstance(value, str):
        return _encoded(value)
    if value is None:
        return None
    if isinstance(value, dict) and value.keys() == {"b64"}:
        return _bytes(value["b64"], f"header {name}")
    raise CaptureError(f'header {name} is {_kind(value)}; it must be text, null or {{"b64": …}}')


def _value(fields: dict[str, Any], text: str) -> bytes | None:
    forms = [form for form in ("value", "value_raw", "value_b64") if form in fields]
    if len(forms) != 1:
        has = f"both {forms[0]} and {forms[1]}" if forms else "none"
        raise CaptureError(f"it has {has}; one of value, value_raw, value_b64 is needed")
    found = fields[forms[0]]
    if forms == ["value_raw"]:
        if not isinstance(found, str):
            raise CaptureError(f"value_raw is {_kind(found)}; it must be text")
        return _encoded(found)
    if forms == ["value_b64"]:
        return None if found is None else _bytes(found, "value_b64")
    return _encoded(_compact(_written(text, "value")))


_SPACE = re.compile(r"[ \t\r\n]*")
_SPACES = re.compile(r"[ \t\r\n]")
_SPACE_OR_STRING = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def _written(text: str, wanted: str) -> str:
    """The text of one field of an object that is known to be JSON, exactly as written."""
    at = _after_space(text, text.index("{") + 1)
    while True:
        name, at = _DECODER.raw_decode(text, at)
        start = _after_space(text, _after_space(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        if name == wanted:
            return text[start:at]
        at = _after_space(text, _after_space(text, at) + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _compact(text: str) -> str:
    if _SPACES.search(text) is None:
        return text
    return _SPACE_OR_STRING.sub(lambda found: found[1] or "", text)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bytes(found: Any, where: str) -> bytes:
    if not isinstance(found, str):
        raise CaptureError(f"{where} is {_kind(found)}; it must be base64")
    try:
        return base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        raise CaptureError(f"{where} is not base64") from None


def _kind(found: object) -> str:
    match found:
        case dict():
            return "an object"
        case list():
            return f"an array of {len(found)}"
        case str() if len(found) > 40:
            return "a long text"
        case _:
            return json.dumps(found)


def _short(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
