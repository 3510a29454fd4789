"""A fetch answer's bytes as batches whose reading no bytes can stop.

Takes the place of ``MemoryRecords`` and ``PartitionRecords`` in aiokafka's fetcher (private API of
the pinned version, held by ``tests/pipeline/test_batches.py``), which raises on a header name that
is not UTF-8, a wrong checksum or an unknown codec, and unpacks without a bound. Here records are
read by aiokafka all the same; what it cannot read has a stand-in (``pipeline.records.Unread``) at
its offset, and the records around it are read. Everything else of the fetcher stays.

Memory of one fetch of a partition: its bytes, ``FETCH_UNPACKED_BYTES`` of records and one batch.
"""

import logging
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from pipeline.rows import Frames, Row, bounds, rows_of
from pipeline.salvage import HEADERS_MAX, Frame, Torn, salvage, stand_in
from pipeline.unpack import unpack
from schemas.errors import RackmeterError
from schemas.verdict import Verdict

log = logging.getLogger(__name__)

FETCH_UNPACKED_BYTES: Final = 32 * 2**20
"""Unpacked of one fetch; the rest of its batches is fetched again. A chunk of 20,000 reports of 24
series has 20 MiB."""
SMALL_BYTES: Final = 4 * 2**20
"""Read in C up to this size: a record of nothing but headers becomes 32 times as large in Python.
What is larger is read in bounds, five times as slowly."""

ALIKE_MIN: Final = 128
"""So many records at least are read together: fewer are not worth the array operations."""

ALIKE_MAX: Final = 512
"""Once there are so many, no batch is added: an odd one among them holds up no more."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_HEADER_BYTES: Final = 61
_CRC_FROM: Final = 21
_BY_BROKER: Final = 0x08
_TRANSACTION: Final = 0x10
_OFFSET: Final = struct.Struct(">q")
_LENGTH: Final = struct.Struct(">i")
_LENGTH_AT: Final = 8
_OVERHEAD: Final = 12
_MAGIC_AT: Final = 16
_MAGIC: Final = 2
_LEGACY_BYTES: Final = 26
_CODEC_AT: Final = 22
_CODEC_MASK: Final = 0x07
_NONE, _DAMAGED = 0, -1


class DamagedLogError(RackmeterError):
    """The broker's own framing is broken: nothing says where the next batch begins."""


class Batch:
    """The records of one batch, and the offset after it.

    What was aborted is read as well; a counter's reading is true whoever took it back.
    """

    __slots__ = ("next_offset", "records")

    def __init__(self, after: int, records: Iterable[Any]) -> None:
        self.next_offset, self.records = after, records


class Batches:
    """The batches of one fetch of one partition, one after the other."""

    __slots__ = ("_at", "_data", "_end", "_odd_until", "_room")

    suspects: ClassVar[deque[int]] = deque(maxlen=64)
    """Batches with a wrong checksum. The same bytes twice are the log's fault, not the wire's."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._room = FETCH_UNPACKED_BYTES
        self._odd_until = 0
        self._end = self._frame_end()

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return self._end != _NONE and self._room > 0

    def next_batch(self) -> Batch:
        if self._end == _DAMAGED:
            raise DamagedLogError("a batch says that it is shorter than its own header")
        if self._at >= self._odd_until and (run := self._run()) is not None:
            return run
        raw = memoryview(self._data)[self._at : self._end]
        self._at = self._end
        self._end = self._frame_end()
        if raw[_MAGIC_AT] != _MAGIC:
            return self._foreign(raw)
        inner = DefaultRecordBatch(raw)
        after = max(inner.next_offset, inner.base_offset + 1)
        if not inner.validate_crc():
            return self._suspect(inner, raw)
        if inner.is_control_batch:
            return Batch(after, ())
        return Batch(after, self._records(inner, raw, after))

    def _frame_end(self) -> int:
        """Where the batch at ``_at`` ends. Fetches end anywhere, so the last may be cut off."""
        data, at = self._data, self._at
        if len(data) - at <= _MAGIC_AT:
            return _NONE
        size = _LENGTH.unpack_from(data, at + _LENGTH_AT)[0] + _OVERHEAD
        if size < (_HEADER_BYTES if data[at + _MAGIC_AT] == _MAGIC else _LEGACY_BYTES):
            # What lies before it is read first; the next fetch begins with it.
            return _DAMAGED if at == 0 else _NONE
        return at + size if at + size <= len(data) else _NONE

    def _run(self) -> Batch | None:
        """Plain batches read together, as many as follow: agents send a record in each."""
        start, end = self._at, self._end
        found: list[_Plain] = []
        count = 0
        while self._end > 0 and count < ALIKE_MAX:
            if (one := _plain(self._data, self._at, self._end)) is None:
                break
            found.append(one)
            count += len(one.begin)
            self._at = self._end
            self._end = self._frame_end()
        rows = rows_of(self._data, _together(found)) if count >= ALIKE_MIN else None
        if rows is None:
            self._odd_until, self._at, self._end = self._at, start, end
            return None
        self._room -= self._at - start
        return Batch(found[-1].last + 1, rows)

    def _records(self, inner: Any, raw: memoryview, after: int) -> Iterable[object]:
        data, fault = bytes(raw[_HEADER_BYTES:]), None
        if inner.compression_type:
            inner, data, fault = _unpacked(inner.compression_type, raw)
        self._room -= len(data)
        if fault is not None or len(data) > SMALL_BYTES:
            return salvage(_frame(inner, after), data, inner.base_offset, 0, fault)
        return _alike(inner, raw, data, after) or _each(inner, data, after)

    def _suspect(self, inner: Any, raw: memoryview) -> Batch:
        """Fetched once more; then read as far as it goes, for what is signed is its own proof."""
        first, seen = inner.base_offset, hash(bytes(raw))
        if seen not in self.suspects:
            log.warning("wrong checksum at offset %d: the batch is fetched again", first)
            self.suspects.append(seen)
            self._end = _NONE
            return Batch(first, ())
        after = max(inner.next_offset, first + 1)
        if self._end > 0:
            # The next batch is a better witness than a header that may itself be damaged.
            after = max(_OFFSET.unpack_from(self._data, self._at)[0], first + 1)
        data, fault = bytes(raw[_HEADER_BYTES:]), Torn("has a wrong checksum", packed=raw)
        if inner.compression_type:
            _, data, _ = _unpacked(inner.compression_type, raw)
        self._room -= len(data)
        records = salvage(_frame(inner, after), data, first, 0, fault)
        return Batch(after, records)

    def _foreign(self, raw: memoryview) -> Batch:
        """Formats 0 and 1 have no headers, so no report in them is signed."""
        at = _OFFSET.unpack_from(raw)[0]
        torn = Torn(f"has message format {raw[_MAGIC_AT]}: 2 is read")
        record = stand_in(Frame(at, at, 0, 0, 0), at, raw, torn)
        return Batch(at + 1, (record,))


class _Plain(NamedTuple):
    """An undamaged batch that is not packed; the fields of ``rows.Frames``."""

    begin: Sequence[int]
    end: Sequence[int]
    first: int
    last: int
    first_ms: int
    max_ms: int
    by_broker: int


def _plain(data: bytes, at: int, end: int) -> _Plain | None:
    """The batch there, when it is one."""
    if data[at + _MAGIC_AT] != _MAGIC or end - at > SMALL_BYTES:
        return None
    first, _, _, _, crc, attributes, last_delta, first_ms, max_ms, *_, count = _HEADER.unpack_from(
        data, at
    )
    if count < 1 or attributes & ~(_BY_BROKER | _TRANSACTION) or last_delta < 0:
        return None
    found = bounds(data, at + _HEADER_BYTES, end)
    if found is None or len(found[0]) != count:
        return None
    if calc_crc32c(memoryview(data)[at + _CRC_FROM : end]) != crc:
        return None
    by_broker = int(attributes & _BY_BROKER > 0)
    return _Plain(*found, first, first + last_delta, first_ms, max_ms, by_broker)


def _together(batches: Sequence[_Plain]) -> Frames:
    begins, ends, *of_batch = zip(*batches, strict=True)
    counts = [len(begin) for begin in begins]
    columns = (np.repeat(np.array(column, np.int64), counts) for column in of_batch)
    return Frames([*chain(*begins)], [*chain(*ends)], *columns)


def _alike(inner: Any, raw: memoryview, data: bytes, after: int) -> list[Row] | None:
    """The records of a batch that are all alike."""
    count = _HEADER.unpack_from(raw)[-1]
    if count < ALIKE_MIN or (found := bounds(data, 0, len(data))) is None:
        return None
    return rows_of(data, Frames(*found, *_frame(inner, after))) if len(found[0]) == count else None


def _each(inner: Any, data: bytes, after: int) -> Iterator[object]:
    """The records of a batch one by one, by aiokafka up to the first that it cannot read."""
    at, number = inner.base_offset, 0
    try:
        for record in inner:
            offset = record.offset
            if not at <= offset < after or len(record.headers) > HEADERS_MAX:
                break
            yield record
            at, number = offset + 1, number + 1
        else:
            return
    except Exception:
        pass
    yield from salvage(_frame(inner, after), data, at, number, None)


def _frame(inner: Any, after: int) -> Frame:
    return Frame(
        inner.base_offset, after - 1, inner.first_timestamp, inner.max_timestamp,
        inner.timestamp_type,
    )  # fmt: skip


def _unpacked(codec: int, raw: memoryview) -> tuple[Any, bytes, Torn | None]:
    """The same batch without its codec, what it holds, and why that is not all."""
    done = unpack(codec, bytes(raw[_HEADER_BYTES:]))
    plain = bytearray(raw[:_HEADER_BYTES])
    plain[_CODEC_AT] &= ~_CODEC_MASK
    reason = Verdict.OVERSIZED if done.too_large else Verdict.MALFORMED
    fault = Torn(done.fault, reason, raw) if done.fault else None
    return DefaultRecordBatch(plain + done.data), bytes(done.data), fault


class Fetched:
    """Takes the place of aiokafka's ``PartitionRecords``: hands the records on as they were read.

    A consumer record of aiokafka's holds the same six things that are used (``records.Record``) and
    takes longer to make than the record to read.
    """

    def __init__(
        self, _tp: object, batches: Batches, _aborted: object, fetch_offset: int, *_rest: object
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._records = self._read(batches)

    def __iter__(self) -> Iterator[Any]:
        return self._records

    def __next__(self) -> Any:
        return next(self._records)

    def _read(self, batches: Batches) -> Iterator[Any]:
        while batches.has_next():
            batch = batches.next_batch()
            for record in batch.records:
                # A compressed batch is read from its beginning, whatever was asked for.
                if record.offset >= self.next_fetch_offset:
                    self.next_fetch_offset = record.offset + 1
                    yield record
            # Also past what compaction removed from the batch's end.
            self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)


def install() -> None:
    """For every aiokafka consumer of this process."""
    fetcher.MemoryRecords = Batches
    fetcher.PartitionRecords = Fetched
