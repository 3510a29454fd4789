"""What travels through the pipeline: a fetched chunk, its decoded batch, the names of a row. Dumb
data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from schemas.meters import per_second_max
from schemas.verdict import Verdict

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
LOG_APPEND_TIME: Final = 1
"""Kafka's number for a time stamp of the broker; a producer's is 0."""


class Record(Protocol):
    """The part of a Kafka consumer record that is used (aiokafka's ``ConsumerRecord`` has it)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Taped(NamedTuple):
    """A message as a record, wherever it was kept."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Unread(bytes):
    """Stands in a record's value for what could not be read: as many of its bytes as are safe.

    It covers the offsets from its record's own up to ``next_offset``.
    """

    reason: Verdict
    detail: str
    next_offset: int


def unread(kept: bytes, reason: Verdict, detail: str, next_offset: int) -> Unread:
    made = Unread(kept)
    made.reason, made.detail, made.next_offset = reason, detail, next_offset
    return made


def after(record: Record) -> int:
    """The offset at which reading goes on."""
    value = record.value
    return value.next_offset if isinstance(value, Unread) else record.offset + 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """One fetch of one partition, in offset order; never empty."""

    topic: str
    part: int
    records: Sequence[Record]

    @property
    def first_offset(self) -> int:
        return self.records[0].offset

    @property
    def next_offset(self) -> int:
        return after(self.records[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """The series of a report in its order; one object per distinct names, compared by ``is``."""

    meter: tuple[str, ...]
    resource: tuple[str, ...]
    per_second_max: Int64s
    """Physical bound of each series in base units per second, shape ``(k,)``."""

    @classmethod
    def of(cls, meter: Iterable[str], resource: Iterable[str]) -> "Names":
        """With the bounds of the meters; meters are few, so each is kept once."""
        kept = tuple(map(intern, meter))
        bounds = np.array([per_second_max(name) for name in kept], np.int64)
        bounds.flags.writeable = False
        return cls(kept, tuple(resource), bounds)

    def __len__(self) -> int:
        return len(self.meter)

    @property
    def series(self) -> tuple[tuple[str, str], ...]:
        """``(meter, resource)`` of each position."""
        return tuple(zip(self.meter, self.resource, strict=True))


@dataclass(frozen=True, slots=True)
class Batch:
    """The reports of a chunk that passed admission up to the signature, in offset order.

    Row ``i`` of every column is one report; its counters are ``value[start[i]:start[i + 1]]``,
    as many as ``names[i]`` has series. ``record[i]`` is its index in ``Chunk.records``.
    """

    record: Int64s
    append_ms: Int64s
    server: list[str]
    origin: list[str]
    since_ms: Int64s
    seq: Int64s
    at_ms: Int64s
    at_up_ms: Int64s
    sent_up_ms: Int64s
    names: list[Names]
    content: Int64s
    """``schemas.report.content_hash`` of each row: 1 … 65535."""
    value: Int64s
    start: Int64s

    def __len__(self) -> int:
        return len(self.server)

    def row(self, i: int) -> Int64s:
        return self.value[self.start[i] : self.start[i + 1]]
