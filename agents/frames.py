"""Records as they lie in a segment of the spool, each checked by itself. Pure.

A record is a length, a CRC-32 and a payload, the integers big-endian in 32 bits. The sum covers the
length too: a flipped bit there never finds another record by chance. CRC-32 is the standard
library's; CRC-32C would be a package or a loop in Python, and finds no more in a few kilobytes.
A payload is the boot id, a line feed, and the report's canonical body, as it would be sent.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from schemas.report import MESSAGE_BYTES_MAX, Report, encode

_HEAD: Final = struct.Struct(">II")
_COLUMNS: Final = ("meter", "resource", "value")
_NAMES: Final = ("meter", "resource")
PAYLOAD_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 4_096
"""A report and a boot id. What claims to be longer is none of ours."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report on its way to the broker, and the boot whose clock its ``_up_ms`` stamps are on;
    an empty one is an earlier boot that nobody knows any more.
    """

    report: Report
    boot_id: str = ""


def frame(waiting: Waiting) -> bytes:
    payload = b"%b\n%b" % (waiting.boot_id.encode(), encode(waiting.report))
    size = len(payload).to_bytes(4, "big")
    return size + zlib.crc32(payload, zlib.crc32(size)).to_bytes(4, "big") + payload


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The payloads of the sound prefix, each with the offset of its end."""
    at = 0
    while len(data) - at > _HEAD.size:
        size, check = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + size]
        if not 0 < size <= PAYLOAD_BYTES_MAX or len(payload) < size:
            return
        if zlib.crc32(payload, zlib.crc32(data[at : at + 4])) != check:
            return
        at += _HEAD.size + size
        yield at, payload


def waiting_of(payload: bytes) -> Waiting:
    """Raises ValueError for what only another version would write."""
    boot_id, _, body = payload.partition(b"\n")
    try:
        fields: dict[str, Any] = json.loads(body)
        columns: dict[str, Any] = {name: tuple(fields[name]) for name in _COLUMNS}
        columns |= {name: _shared(columns[name]) for name in _NAMES}
        del fields["v"]
        return Waiting(Report(**{**fields, **columns}), boot_id.decode())
    except (KeyError, TypeError) as error:
        raise ValueError("not a report of this version") from error


@lru_cache(maxsize=8)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names in a hundred reports are one tuple in memory."""
    return names


def thinned(reports: list[Waiting]) -> list[Waiting]:
    """Every second report, counted from the newest, and the last of each origin."""
    last = {one.report.origin: index for index, one in enumerate(reports)}
    newest = len(reports) - 1
    return [
        one
        for index, one in enumerate(reports)
        if (newest - index) % 2 == 0 or last[one.report.origin] == index
    ]
