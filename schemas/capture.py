"""A captured message as one line of NDJSON: what a topic held, readable and exact. Pure.

``{"key":"ax-017","ts_ms":1772323500000,"headers":{"kid":"k1"},"value_raw":"{…}"}``, in log order.

    key      text, or null; ``key_b64`` for bytes that are no text
    ts_ms    the message's time stamp, Unix epoch milliseconds; ``ts_type`` may say whose it is:
             "append" (the broker's) or "create" (the producer's)
    headers  an object name → value, or a list of [name, value]; may be missing.
             A value is text, null, or {"b64": …}
    value    any JSON: its bytes are the text as written, without white space between the tokens;
             or ``value_raw``: text, its UTF-8 bytes; or ``value_b64``: bytes, null for none
    partition, partitions, offset
             where the message lay, and of how many partitions; may be missing

A lone surrogate in a text becomes the three bytes that UTF-8 would give it if it were allowed:
such a message is refused later, like any other that is not UTF-8. Other fields are ignored.

Written here, read by ``schemas.capture_read``.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CapturedHeaders = tuple[tuple[str, bytes | None], ...]
TS_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999; -1 is Kafka's word for no time stamp."""
TS_TYPES: Final = ("create", "append")
"""By Kafka's numbers, 0 and 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lay in its topic."""

    part: int
    partitions: int
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """One message of a topic. ``ts_type`` is an index into ``TS_TYPES``, None where not known."""

    key: bytes | None
    ts_ms: int
    headers: CapturedHeaders
    value: bytes | None
    ts_type: int | None = None
    place: Place | None = None


def encode_line(message: Captured, **more: object) -> str:
    """One line with its end, ASCII; ``more`` are fields for people, which a reader ignores."""
    fields: dict[str, object] = {}
    key, value = _text(message.key), _text(message.value)
    if message.key is not None and key is None:
        fields["key_b64"] = _base64(message.key)
    else:
        fields["key"] = key
    fields["ts_ms"] = message.ts_ms
    if message.ts_type is not None:
        fields["ts_type"] = TS_TYPES[message.ts_type]
    if message.headers:
        fields["headers"] = _headers_out(message.headers)
    if value is not None:
        fields["value_raw"] = value
    else:
        fields["value_b64"] = None if message.value is None else _base64(message.value)
    if message.place is not None:
        fields |= {"partition": message.place.part, "partitions": message.place.partitions}
        if message.place.offset is not None:
            fields["offset"] = message.place.offset
    return json.dumps(fields | more, separators=(",", ":")) + "\n"


def _headers_out(headers: Sequence[tuple[str, bytes | None]]) -> object:
    shown = [(name, _header_out(value)) for name, value in headers]
    named = dict(shown)
    return named if len(named) == len(shown) else shown


def _header_out(value: bytes | None) -> object:
    text = _text(value)
    return {"b64": _base64(value)} if text is None and value is not None else text


def _text(value: bytes | None) -> str | None:
    """The text of these bytes, None where they are not UTF-8."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
