"""Faust's consumer, delivering chunks: one event per fetch of a partition instead of one per
message.

Faust spends 50–180 µs on a message it delivers and nothing on one it only fetches. So its consumer
hands on each fetch whole (``Consumer._getmany``), and starts every assignment where the ledger ends
instead of where the group last committed (``seek_to_committed``). Both are private API of the
pinned Faust; ``tests/pipeline/test_transport.py`` holds them. Below it, ``pipeline.batches`` sees
to it that no bytes stop a partition; what only a broken broker sends stops the worker.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import (
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.transport.drivers import aiokafka
from faust.types import TP

from pipeline import batches
from pipeline.records import Chunk, Record, after
from schemas.errors import ConfigError, DependencyError, RackmeterError

Seek = Callable[[set[TP]], Awaitable[dict[TP, int]]]
"""Claims the given partitions and returns where each is to be read from."""


FETCH_MAX_WAIT_MS = 100
"""How long a broker that has nothing may wait. The embedded one sleeps half of it, whatever comes
meanwhile; with Faust's 1,500 ms every fourth report was 0.8 s old when it came."""


@dataclass(slots=True)
class ChunkRecord:
    """A chunk dressed as a consumer record, so that Faust's own code can carry it.

    Its offset is the chunk's last one: Faust's bookkeeping of gaps covers the offsets in between.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int | None
    value: Chunk
    headers: Sequence[Any] = ()
    key: bytes | None = None
    checksum: int | None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0


def chunk_record(topic: str, part: int, records: Sequence[Record]) -> ChunkRecord:
    last = records[-1]
    chunk = Chunk(topic, part, records)
    return ChunkRecord(topic, part, after(last) - 1, last.timestamp, last.timestamp_type, chunk)


class _Fetching(aiokafka.AIOKafkaConsumerThread):
    """Faust's thread, with a shorter wait for the broker."""

    def _create_worker_consumer(self, *arguments: Any) -> Any:
        consumer = super()._create_worker_consumer(*arguments)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer


class ChunkConsumer(aiokafka.Consumer):
    """The consumer of ``ChunkTransport``."""

    transport: "ChunkTransport"

    def _new_consumer_thread(self) -> Any:
        return _Fetching(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> Mapping[TP, list[ChunkRecord]]:
        try:
            fetched = await super()._getmany(active_partitions, timeout)
        except OffsetOutOfRangeError as error:
            for tp in error.args[0]:
                self.transport.out_of_range(tp)
            return {}
        except NoOffsetForPartitionError:
            # After a rebalance aiokafka asks for the group's offset, which nobody commits, until
            # the position has been sought.
            return {}
        except (batches.DamagedLogError, RecordTooLargeError) as error:
            self.transport.failed(_damaged(error))
            return {}
        except TopicAuthorizationFailedError as error:
            self.transport.failed(
                ConfigError(f"Kafka does not let this user read the topic {error.args[0]}.")
            )
            return {}
        return {
            tp: [chunk_record(tp.topic, tp.partition, records)]
            for tp, records in fetched.items()
            if records
        }

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Where the ledger ends for claimed partitions; the start of the log for hints."""
        assigned = self.assignment()
        claimed = await self.transport.seek(assigned)
        others = assigned - claimed.keys()
        starts = await self.earliest_offsets(*others) if others else {}
        # A rebalance may have taken some away while they were being claimed.
        still = self.assignment()
        offsets = {tp: at for tp, at in {**starts, **claimed}.items() if tp in still}
        if offsets:
            # Never ``seek``: it is not thread-safe.
            await self._thread.seek_wait(offsets)
        return offsets

    def log_end(self, tp: TP) -> tuple[int, int] | None:
        """End of the log as the broker's last answer told it, and when that came (ms, wall clock).

        Not ``highwaters``: the embedded broker answers ListOffsets with the last batch's start + 1.
        """
        consumer = self._thread._ensure_consumer()
        if tp not in consumer.assignment():
            return None
        # In this order: an answer that arrives in between must not lend its time to the older end.
        seen_ms, end = consumer.last_poll_timestamp(tp), consumer.highwater(tp)
        return None if end is None or seen_ms is None else (end, seen_ms)


class ChunkTransport(aiokafka.Transport):
    """Faust's Kafka transport with the chunk consumer; callbacks are set before the app starts."""

    Consumer = ChunkConsumer
    seek: Seek
    out_of_range: Callable[[TP], None]
    failed: Callable[[RackmeterError], None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        batches.install()


def _damaged(error: Exception) -> DependencyError:
    return DependencyError(
        f"Kafka answers with batches that no client can read ({error}): look at the broker's disk"
        " and log."
    )
