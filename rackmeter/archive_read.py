"""One partition read on to its end, cut where a file of the archive ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.records import LOG_APPEND_TIME, Record
from schemas.errors import DependencyError, RefusedError

RECORDS_MAX: Final = 50_000
BYTES_MAX: Final = 64 * 2**20
"""Of bodies in one file; a process that writes 55 MiB of them has 0.4 GB at its peak."""
DAY_MS: Final = 86_400_000
SILENT_S: Final = 30.0
"""A broker that gives nothing for so long, before the end is reached, is gone."""
CHUNK_MESSAGES_MAX: Final = 20_000
POLL_MS: Final = 200
"""At the end of a log each partition costs as much."""


@dataclass
class Filling:
    """The messages of the next file: of one UTC day, where the time stamps are the broker's.

    Producers' own cut nothing: who dates his messages at will could make a file of each.
    """

    records: list[Record] = field(default_factory=list)
    size: int = 0

    def takes(self, record: Record) -> bool:
        """Whether it still belongs into this file."""
        if not self.records:
            return True
        full = len(self.records) >= RECORDS_MAX or self.size >= BYTES_MAX
        by_broker = record.timestamp_type == LOG_APPEND_TIME
        other_day = _day(record) != _day(self.records[0])
        return not full and not (by_broker and other_day)

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.value or b"")


def _day(record: Record) -> int:
    return record.timestamp // DAY_MS


class Reading:
    """One partition from a position to where its log ends when reading begins."""

    def __init__(self, consumer: AIOKafkaConsumer, at: TopicPartition, position: int) -> None:
        self._consumer, self._at, self._position = consumer, at, position
        self._left: list[Record] = []
        self._end: int | None = None

    async def file(self, progress: Callable[[int], None]) -> list[Record]:
        """The messages of the next file; none when the end is reached."""
        filling, heard = Filling(), time.monotonic()
        if self._at not in self._consumer.assignment():
            self._consumer.assign([self._at])
            self._consumer.seek(self._at, self._position)
        while True:
            for number, record in enumerate(self._left):
                if not filling.takes(record):
                    self._left = self._left[number:]
                    return filling.records
                filling.add(record)
            self._left = []
            if self._end is not None and self._position >= self._end:
                return filling.records
            found = await self._consumer.getmany(
                self._at, timeout_ms=POLL_MS, max_records=CHUNK_MESSAGES_MAX
            )
            self._left = list(found.get(self._at, []))
            self._position = await self._consumer.position(self._at)
            self._see_end()
            progress(len(self._left))
            if self._left:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENT_S:
                raise DependencyError(
                    f"Partition {self._at.partition} of {self._at.topic} gave nothing for"
                    f" {SILENT_S:.0f} s: the broker is gone."
                )

    def _see_end(self) -> None:
        """The log's end is what the first fetch answer says."""
        end = self._consumer.highwater(self._at)
        if self._end is not None or end is None:
            return
        if end < self._position:
            raise too_short(self._at, self._position)
        self._end = end


def too_short(at: TopicPartition, offset: int) -> RefusedError:
    return RefusedError(
        f"The archive of partition {at.partition} continues at offset {offset:,}, which the log of"
        f" {at.topic} does not have: the broker was restored from an older state, or retention was"
        " faster."
    )
