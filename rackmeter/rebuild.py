"""Metering the log again, into the second ledger: the worker's own code with another target.

Reads as an ordinary consumer without a group, one partition after the other, and stops exactly
where it is told to. May be killed at any moment: the second ledger knows how far it is. Nothing is
sent from here.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from pipeline.lanes import Lane, Taken
from pipeline.records import Chunk, Record, after
from rackmeter.intake import Intakes
from rackmeter.kafka import Cluster
from rackmeter.reader import start_reader
from rackmeter.settings import Settings
from schemas.errors import DependencyError, RackmeterError, RefusedError
from sinks import rebuild
from sinks.checkpoint import Checkpointer, Failpoint
from sinks.link import Link
from sinks.positions import TopicIdentity
from sinks.vault import Vault

SILENT_S: Final = 30.0
"""A broker that gives nothing for so long, before the end is reached, is gone."""
CHUNK_MESSAGES_MAX: Final = 20_000
"""Both as a worker has them."""
FLUSH_S: Final = 5.0
"""Work that a kill costs."""
Progress = Callable[[int], None]


class Builder:
    """One rebuild: ``advance`` as often as wanted, then ``close``."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        kafka: Cluster,
        topic: TopicIdentity,
        vault: Vault,
        *,
        failpoint: Failpoint = lambda _step: None,
    ) -> None:
        self._settings, self._kafka, self._topic = settings, kafka, topic
        self._keys = Link(url, "rackmeter rebuild keys")
        self._target = Checkpointer(rebuild.address(url), failpoint=failpoint)
        self._intakes = Intakes(settings, vault, topic.partitions, self._keys.connection)
        self._lanes: dict[int, Lane] = {}
        self._runner = asyncio.Runner()
        self._consumer: AIOKafkaConsumer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._consumer is not None:
            self._runner.run(self._consumer.stop())
        self._runner.close()
        self._target.close()
        self._keys.close()

    def advance(
        self,
        goal: Mapping[int, int],
        stops: Mapping[int, Sequence[int]],
        progress: Progress = lambda _: None,
    ) -> None:
        """Meter every partition up to ``goal``, with a checkpoint at each of ``stops``."""
        try:
            self._runner.run(self._advance(goal, stops, progress))
        except OffsetOutOfRangeError as error:
            raise RefusedError(
                f"The log lacks offsets that are to be metered again ({error}): retention removed"
                " them. Begin with a newer snapshot."
            ) from error
        except KafkaError as error:
            raise DependencyError(f"Topic {self._topic.name} cannot be read: {error}.") from error

    async def _advance(
        self, goal: Mapping[int, int], stops: Mapping[int, Sequence[int]], progress: Progress
    ) -> None:
        for part, end in sorted(goal.items()):
            lane = self._lane(part)
            if lane.expect >= end:
                continue
            edges = sorted({end, *(at for at in stops.get(part, ()) if lane.expect < at < end)})
            await self._partition(lane, edges, progress)

    def _lane(self, part: int) -> Lane:
        if part not in self._lanes:
            self._lanes[part] = self._target.claim(self._topic.topic_id, part)
        return self._lanes[part]

    async def _partition(self, lane: Lane, edges: Sequence[int], progress: Progress) -> None:
        consumer, at = await self._reader(), TopicPartition(self._topic.name, lane.part)
        consumer.assign([at])
        consumer.seek(at, lane.expect)
        flushed = heard = time.monotonic()
        while lane.expect < edges[-1]:
            fetched = await consumer.getmany(at, timeout_ms=1_000, max_records=CHUNK_MESSAGES_MAX)
            records: list[Record] = fetched.get(at, [])
            if records:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENT_S:
                raise self._silent(lane, edges[-1])
            for piece in pieces(records, [edge for edge in edges if edge > lane.expect]):
                self._take(lane, piece)
                progress(len(piece))
                if lane.expect in edges or self._full(lane) or time.monotonic() - flushed > FLUSH_S:
                    self._target.flush(lane)
                    flushed = time.monotonic()
            if records and records[-1].offset >= edges[-1] > lane.expect:
                lane.expect = edges[-1]  # no report lies before it
        self._target.flush(lane)

    def _take(self, lane: Lane, records: Sequence[Record]) -> None:
        chunk = Chunk(self._topic.name, lane.part, records)
        intake, now_ms = self._intakes.current(), time.time_ns() // 1_000_000
        while lane.take(chunk, intake, now_ms) is Taken.AHEAD:
            pass  # what was read comes in order: the log has a gap there

    def _full(self, lane: Lane) -> bool:
        settings = self._settings
        return (
            lane.heads.dirty_count() >= settings.flush_servers
            or lane.pending_bytes >= settings.flush_bytes
        )

    async def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await start_reader(self._kafka, "rebuild")
        return self._consumer

    def _silent(self, lane: Lane, end: int) -> RackmeterError:
        return DependencyError(
            f"Partition {lane.part} of {self._topic.name} gave nothing behind offset"
            f" {lane.expect} for {SILENT_S:.0f} s, and is to be read to {end}: the broker is gone,"
            " or its log is shorter than what was metered."
        )


def pieces(records: Sequence[Record], stops: Sequence[int]) -> Iterator[Sequence[Record]]:
    """Records in order, cut where reading goes on at a stop; none from behind the last one."""
    begin = 0
    for stop in stops:
        end = begin
        while end < len(records) and after(records[end]) <= stop:
            end += 1
        if end > begin:
            yield records[begin:end]
        begin = end
        if end == len(records):
            return
