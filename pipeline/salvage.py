"""Records of a batch read one by one, for batches that are large or damaged. Pure.

Each record stands alone: one that cannot be read is followed by the next, as long as its length
holds. What no length leads to stands in for all the offsets that are left. Slow and small in
memory; what a batch of ordinary size holds is read by aiokafka in C (``pipeline/batches.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.records import unread
from schemas.verdict import Verdict

KEPT_BYTES_MAX: Final = 2**20
"""Of what could not be read: a whole batch of Kafka's default max.message.bytes."""
HEADERS_MAX: Final = 1000
"""A report has eight; as Python objects they take twenty times what they take in a batch."""
_VARINT_BYTES_MAX: Final = 10

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Plain:
    """A record as aiokafka's own: what its consumer asks a record for."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    checksum: None = None


class Frame(NamedTuple):
    """What a batch's header says of all its records."""

    first: int
    last: int
    first_ms: int
    max_ms: int
    by_broker: int
    """Kafka's timestamp type: 1 when the broker dated the batch."""


class Torn(NamedTuple):
    """Why a batch does not hold what it should, as a clause."""

    detail: str
    reason: Verdict = Verdict.MALFORMED
    packed: bytes | memoryview = b""
    """The batch as it came, where it could not be unpacked: what is kept of it."""


def stand_in(frame: Frame, at: int, rest: bytes | memoryview, torn: Torn) -> Plain:
    """For everything from ``at`` to the end of the batch."""
    raw = torn.packed or rest
    which = f"offset {at}" if at >= frame.last else f"offsets {at} to {frame.last}"
    detail = f"the batch of {which} {torn.detail}"
    value = unread(bytes(raw[:KEPT_BYTES_MAX]), torn.reason, detail, max(at, frame.last) + 1)
    return Plain(at, frame.max_ms, frame.by_broker, None, value, [])


def refused(frame: Frame, record: Plain, raw: bytes | memoryview, torn: Torn) -> Plain:
    """For one record that can be told from its neighbours."""
    value = unread(bytes(raw[:KEPT_BYTES_MAX]), torn.reason, torn.detail, record.offset + 1)
    return Plain(record.offset, record.timestamp, frame.by_broker, record.key, value, [])


def salvage(
    frame: Frame, data: bytes | bytearray | memoryview, at: int, skip: int, fault: Torn | None
) -> Iterator[Plain]:
    """Records from number ``skip`` on, the first at offset ``at`` or later.

    ``data`` is what could be unpacked; where ``fault`` says why that is not all, or bytes are left
    over, the rest has one stand-in.
    """
    view = memoryview(data)
    number, pos = 0, 0
    while pos < len(data) and at <= frame.last:
        try:
            size, begin = number_at(view, pos)
            raw = view[begin : begin + size]
            if size <= 0 or len(raw) < size:
                break
            if number >= skip:
                record = _read(frame, raw, at)
                yield record
                at = record.offset + 1
        except (IndexError, ValueError):
            break
        number, pos = number + 1, begin + size
    if at <= frame.last and (fault is not None or pos < len(data)):
        yield stand_in(frame, at, view[pos:], fault or Torn("is damaged"))


def _read(frame: Frame, raw: memoryview, at: int) -> Plain:
    """The record, or what stands in for it at the offset where one is due."""
    due = Plain(at, frame.max_ms, frame.by_broker, None, None, [])
    try:
        _, pos = number_at(raw, 0)
        delta_ms, pos = number_at(raw, pos)
        delta, pos = number_at(raw, pos)
        key, pos = bytes_at(raw, pos)
        value, pos = bytes_at(raw, pos)
        count, pos = number_at(raw, pos)
        offset = frame.first + delta
        if not at <= offset <= frame.last:
            return refused(frame, due, raw, Torn(f"its offset {offset} lies outside its batch"))
        dated = frame.max_ms if frame.by_broker else frame.first_ms + delta_ms
        record = Plain(offset, dated, frame.by_broker, key, value, [])
        return _whole(frame, record, raw, pos, count)
    except (IndexError, ValueError):
        return refused(frame, due, raw, Torn("the record is damaged"))


def _whole(frame: Frame, record: Plain, raw: memoryview, pos: int, count: int) -> Plain:
    if count > HEADERS_MAX:
        torn = Torn(f"it has {count} headers: at most {HEADERS_MAX} are read", Verdict.OVERSIZED)
        return refused(frame, record, record.value or b"", torn)
    if len(record.value or b"") > KEPT_BYTES_MAX:
        size = len(record.value or b"")
        torn = Torn(f"the body has {size} bytes, the first are kept", Verdict.OVERSIZED)
        return refused(frame, record, record.value or b"", torn)
    for _ in range(count):
        size, pos = number_at(raw, pos)
        if not 0 <= size <= len(raw) - pos:
            raise ValueError
        name = bytes(raw[pos : pos + size])
        value, pos = bytes_at(raw, pos + size)
        try:
            record.headers.append((name.decode(), value))
        except UnicodeDecodeError:
            torn = Torn(f"the header name {name[:40]!r} is not UTF-8")
            return refused(frame, record, record.value or b"", torn)
    if pos != len(raw) or count < 0:
        raise ValueError
    return record


def bytes_at(raw: memoryview, pos: int) -> tuple[bytes | None, int]:
    size, pos = number_at(raw, pos)
    if size < 0:
        return None, pos
    if size > len(raw) - pos:
        raise ValueError
    return bytes(raw[pos : pos + size]), pos + size


def number_at(raw: memoryview, pos: int) -> tuple[int, int]:
    """Zigzag, as Kafka's records write every number."""
    number = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        byte = raw[pos]
        pos += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), pos
    raise ValueError
