"""The chunk transport, and the private API of Faust and aiokafka it leans on.

It exists so that another Faust fails here, loudly, and not in somebody's ledger. What the transport
does on real brokers is in ``tests/contract/test_transport.py``.
"""

import asyncio
import inspect
from importlib.metadata import version

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka
from faust.types import TP

from pipeline.batches import DamagedLogError
from pipeline.records import unread
from pipeline.transport import ChunkConsumer, ChunkTransport, chunk_record
from schemas.errors import RackmeterError
from schemas.verdict import Verdict
from tests.pipeline.test_lanes import Rec


def test_a_chunk_is_dressed_as_its_last_record() -> None:
    records = [Rec(5, b"a", timestamp=10), Rec(9, b"b", timestamp=20)]
    made = chunk_record("t", 3, records)
    assert (made.topic, made.partition, made.offset, made.timestamp) == ("t", 3, 9, 20)
    assert (made.value.first_offset, made.value.next_offset) == (5, 10)


def test_a_chunk_that_ends_with_a_stand_in_ends_where_that_does() -> None:
    """Faust's bookkeeping covers the offsets behind it."""
    stand_in = unread(b"", Verdict.MALFORMED, "why", 20)
    made = chunk_record("t", 3, [Rec(5, b"a"), Rec(9, stand_in)])
    assert (made.offset, made.value.next_offset) == (19, 20)


# -- what the transport takes for granted ----------------------------------------------------------


def test_faust_is_the_one_that_was_read() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka").startswith("0.14.")


def test_faust_fetches_through_getmany_with_keywords() -> None:
    wanted = ["self", "active_partitions", "timeout"]
    for owner in (faust_consumer.ThreadDelegateConsumer, ChunkConsumer):
        assert list(inspect.signature(owner._getmany).parameters) == wanted
        assert inspect.iscoroutinefunction(owner._getmany)
    call = inspect.getsource(faust_consumer.Consumer._wait_next_records)
    assert "self._getmany(" in call
    assert "active_partitions=active_partitions" in call
    assert "timeout=timeout" in call


def test_faust_seeks_through_seek_to_committed() -> None:
    """Every start of reading passes here, and what it returns becomes the read offset."""
    assert "self.seek_to_committed()" in inspect.getsource(faust_consumer.Consumer.perform_seek)
    assert inspect.iscoroutinefunction(aiokafka.Consumer.seek_to_committed)
    callers = inspect.getsource(faust_consumer.Consumer.getmany)
    assert "self.perform_seek()" in callers


def test_faust_drops_nothing_at_the_position_that_was_sought() -> None:
    """A single message there has an offset equal to the read offset."""
    assert "offset >= r_offset" in inspect.getsource(faust_consumer.Consumer._drain_messages)


def test_the_consumers_thread_seeks_and_waits() -> None:
    thread = aiokafka.AIOKafkaConsumerThread
    assert inspect.iscoroutinefunction(thread.seek_wait)
    assert list(inspect.signature(thread.seek_wait).parameters) == ["self", "partitions"]
    assert "call_thread" in inspect.getsource(thread.seek_wait)
    assert callable(thread._ensure_consumer)


def test_the_client_tells_the_end_of_the_log() -> None:
    for name in ("highwater", "last_poll_timestamp"):
        assert list(inspect.signature(getattr(AIOKafkaConsumer, name)).parameters) == [
            "self", "partition",
        ]  # fmt: skip
    source = inspect.getsource(aiokafka.Consumer._to_message)
    assert all(f"record.{name}" in source for name in chunk_record("t", 0, [Rec(0, b"")]).__slots__)


def test_the_thread_makes_a_consumer_whose_wait_can_be_shortened() -> None:
    made = inspect.getsource(aiokafka.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=1500" in made, "the wait that this shortens"
    read = "fetch_max_wait_ms=self._fetch_max_wait_ms"
    assert read in inspect.getsource(AIOKafkaConsumer.start), "read when it starts, not when made"
    made = inspect.getsource(aiokafka.Consumer._new_consumer_thread)
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in made


def test_the_transport_makes_chunk_consumers() -> None:
    assert ChunkTransport.Consumer is ChunkConsumer
    assert issubclass(ChunkConsumer, aiokafka.Consumer)
    assert issubclass(ChunkTransport, aiokafka.Transport)


def consumer_that_raises(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> tuple[ChunkConsumer, list[TP], list[RackmeterError]]:
    async def failing(*_arguments: object) -> None:
        raise error

    told: tuple[list[TP], list[RackmeterError]] = [], []
    monkeypatch.setattr(aiokafka.Consumer, "_getmany", failing)
    consumer = object.__new__(ChunkConsumer)
    consumer.transport = object.__new__(ChunkTransport)
    consumer.transport.out_of_range, consumer.transport.failed = told[0].append, told[1].append
    return consumer, *told


def test_an_offset_out_of_range_is_told_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka names the partitions in the exception's first argument."""
    tp = TP("t", 1)
    consumer, told, _ = consumer_that_raises(OffsetOutOfRangeError({tp: 5}), monkeypatch)
    assert asyncio.run(consumer._getmany(active_partitions=None, timeout=1.0)) == {}
    assert told == [tp]


def test_a_partition_that_was_not_sought_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a rebalance aiokafka fetches before Faust seeks."""
    error = NoOffsetForPartitionError(TP("t", 1))
    consumer, out_of_range, told = consumer_that_raises(error, monkeypatch)
    assert asyncio.run(consumer._getmany(active_partitions=None, timeout=1.0)) == {}
    assert (out_of_range, told) == ([], [])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DamagedLogError("why"), r"batches that no client can read \(why\): look at the broker's"),
        (RecordTooLargeError("why"), "batches that no client can read"),
        (TopicAuthorizationFailedError("t"), "Kafka does not let this user read the topic t"),
    ],
)
def test_what_no_repeating_mends_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    consumer, _, told = consumer_that_raises(error, monkeypatch)
    assert asyncio.run(consumer._getmany(active_partitions=None, timeout=1.0)) == {}
    with pytest.raises(RackmeterError, match=sentence):
        raise told[0]
