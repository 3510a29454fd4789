"""Records of an ordinary batch read together, column by column. Pure.

What agents send is alike: every record of a batch has the same header names in the same order. Such
records are framed by a few array operations over all of them, where one at a time costs four times
as much; a batch with anything else in it is left to the reader that takes each record for itself
(``pipeline.batches``). Format: Kafka protocol, "Record Batch" and "Record"; numbers are zigzag
varints.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.records import Int64s
from pipeline.salvage import bytes_at

Octets = npt.NDArray[np.uint8]
_NUMBER_BYTES_MAX: Final = 5
HEADERS_MAX: Final = 32
_ONCE: Final = ("ce_id", "kid", "sig")
"""Headers that a signature needs; a record that has one twice is not ordinary."""


class Row(NamedTuple):
    """A record whose headers are still bytes, but for those that every report is asked for."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes
    value: bytes
    names: tuple[str, ...]
    """Of its headers; one object for all rows of a batch."""
    ce_id: bytes | None
    kid: bytes | None
    sig: bytes | None
    block: bytes
    """The headers as they came, after their count."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        found, pos, raw = [], 0, memoryview(self.block)
        for name in self.names:
            _, pos = bytes_at(raw, pos)
            value, pos = bytes_at(raw, pos)
            found.append((name, value or b""))
        return found


class Frames(NamedTuple):
    """Where records lie in some bytes, and what their batches say of them: arrays over the records,
    or one value for all.
    """

    begin: Sequence[int]
    """After the record's length."""
    end: Sequence[int]
    first: Any
    """First offset of the batch."""
    last: Any
    first_ms: Any
    max_ms: Any
    by_broker: Any


def bounds(data: bytes, pos: int, end: int) -> tuple[list[int], list[int]] | None:
    """Where each record begins and ends; None when their lengths do not lead to the end."""
    starts, ends = [], []
    try:
        while pos < end:
            size = data[pos]
            pos += 1
            if size >= 0x80:
                size += (data[pos] << 7) - 0x80
                pos += 1
                if size >= 0x4000:
                    size += (data[pos] << 14) - 0x4000
                    pos += 1
                    if size >= 0x200000:
                        return None
            starts.append(pos)
            pos += size >> 1
            ends.append(pos)
            if size & 1:
                return None
    except IndexError:
        return None
    return (starts, ends) if pos == end else None


def rows_of(data: bytes, frames: Frames) -> list[Row] | None:
    """The records in their order, or None when one of them is not like the others."""
    octets = np.frombuffer(data, np.uint8)
    begin, end = np.array(frames.begin, np.int64), np.array(frames.end, np.int64)
    walk = _Walk(octets, end, begin)
    walk.number()  # attributes, which mean nothing; aiokafka reads them as a number, too
    delta_ms, delta = walk.number(), walk.number()
    keys, values = walk.field(), walk.field()
    count = walk.number()
    block = walk.at
    if walk.broken() or len(set(count.tolist())) != 1 or not 0 <= count[0] <= HEADERS_MAX:
        return None
    names: list[str] = []
    spans: dict[str, tuple[Int64s, Int64s]] = {}
    for _ in range(int(count[0])):
        name, span = walk.same(data), walk.field()
        if name is None or (name in spans and name in _ONCE):
            return None
        names.append(name)
        spans[name] = span
    if walk.broken():
        return None
    offset = frames.first + delta
    if (walk.at != end).any() or (offset > frames.last).any() or (offset < frames.first).any():
        return None
    if (offset[1:] <= offset[:-1]).any():
        return None
    dated = np.where(frames.by_broker, frames.max_ms, frames.first_ms + delta_ms)
    kind = np.broadcast_to(frames.by_broker, dated.shape)
    signed = (_cut(data, *spans[name]) if name in spans else repeat(None) for name in _ONCE)
    columns = (
        offset.tolist(), dated.tolist(), kind.tolist(), _cut(data, *keys), _cut(data, *values),
        repeat(tuple(names)), *signed, _cut(data, block, end),
    )  # fmt: skip
    return list(map(Row._make, zip(*columns, strict=False)))


class _Walk:
    """One position in each record, moved on together."""

    def __init__(self, octets: Octets, end: Int64s, at: Int64s) -> None:
        self._octets, self._end, self.at = octets, end, at
        self._broken = False

    def broken(self) -> bool:
        """Whether a record is not what it should be; nothing read since then means anything."""
        return self._broken

    def number(self) -> Int64s:
        """The varint at each position."""
        octet = self._take(self.at)
        number, at = octet & 0x7F, self.at + 1
        for shift in range(7, 7 * _NUMBER_BYTES_MAX, 7):
            more = octet >= 0x80
            if not more.any():
                break
            octet = np.where(more, self._take(at), 0)
            number = number | (octet & 0x7F) << shift
            at = at + more
        else:
            self._broken |= bool((octet >= 0x80).any())
        self._move(at)
        return (number >> 1) ^ -(number & 1)

    def field(self) -> tuple[Int64s, Int64s]:
        """Begin and end of bytes that follow their length; none is null."""
        size = self.number()
        begin = self.at
        self._broken |= bool((size < 0).any())
        self._move(begin + np.maximum(size, 0))
        return begin, self.at

    def same(self, data: bytes) -> str | None:
        """The text that every record has here."""
        begin, end = self.field()
        size = end - begin
        if self._broken or (size != size[0]).any():
            return None
        first = data[int(begin[0]) : int(end[0])]
        letters = self._octets[begin[:, np.newaxis] + np.arange(len(first))]
        if (letters != np.frombuffer(first, np.uint8)).any():
            return None
        try:
            return first.decode()
        except UnicodeDecodeError:
            return None

    def _take(self, at: Int64s) -> Int64s:
        return self._octets.take(at, mode="clip").astype(np.int64)

    def _move(self, at: Int64s) -> None:
        """Never past a record's end, so that what was read lies within."""
        self._broken |= bool((at > self._end).any())
        self.at = np.minimum(at, self._end)


def _cut(data: bytes, begin: Int64s, end: Int64s) -> list[bytes]:
    return [data[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
