"""The chunk transport on the real embedded broker, and the private API of Faust it leans on.

The second half exists so that another Faust fails here, loudly, and not in somebody's ledger.
"""

import asyncio
import inspect
import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from confluent_kafka import Producer
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka
from faust.types import TP

from pipeline.transport import ChunkConsumer, ChunkTransport, chunk_record
from rackmeter.topics import create_topics
from tests.pipeline.test_lanes import Rec

MESSAGES = 3000
BEGIN = 700


@pytest.fixture(scope="module")
def said(bootstrap: str) -> list[dict[str, Any]]:
    """What a reader of two partitions said that begins at an offset in the middle."""
    topic = "transport"
    create_topics(bootstrap, {topic: 2})
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for n in range(MESSAGES):
        producer.produce(topic, f"{n}", partition=n % 2)
        producer.poll(0)
    assert producer.flush(20) == 0
    count = MESSAGES - 2 * BEGIN
    program = [sys.executable, "-m", "tests.pipeline.chunk_reader", bootstrap, topic]
    done = subprocess.run(
        [*program, str(BEGIN), str(count)], capture_output=True, check=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def events(said: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    return [line for line in said if line.get("part") == part]


@pytest.mark.parametrize("part", [0, 1])
def test_chunks_begin_where_the_seek_said_and_follow_each_other(
    said: list[dict[str, Any]], part: int
) -> None:
    offsets = [offset for event in events(said, part) for offset in event["offsets"]]
    assert offsets == list(range(BEGIN, MESSAGES // 2))


@pytest.mark.parametrize("part", [0, 1])
def test_one_event_carries_a_whole_fetch(said: list[dict[str, Any]], part: int) -> None:
    """Hundreds of messages in a few events, each with its own value."""
    found = events(said, part)
    assert len(found) < 30
    values = [int(value) for event in found for value in event["values"]]
    assert values == [2 * offset + part for offset in range(BEGIN, MESSAGES // 2)]


def test_all_partitions_are_sought_before_anything_arrives(said: list[dict[str, Any]]) -> None:
    assert said[0] == {"seek": [0, 1]}


def test_the_embedded_broker_dates_by_the_producer(said: list[dict[str, Any]]) -> None:
    """Its records say so themselves, whatever the topic's setting is."""
    assert {str(kind) for event in events(said, 0) for kind in event["types"]} == {"0"}


def test_the_end_of_the_log_is_known_from_the_last_answer(said: list[dict[str, Any]]) -> None:
    [last] = [line for line in said if "end" in line]
    end, seen_ms = last["end"]
    assert end == last["next"]
    assert seen_ms > 1_700_000_000_000


def test_a_chunk_is_dressed_as_its_last_record() -> None:
    records = [Rec(5, b"a", timestamp=10), Rec(9, b"b", timestamp=20)]
    made = chunk_record("t", 3, records)
    assert (made.topic, made.partition, made.offset, made.timestamp) == ("t", 3, 9, 20)
    assert (made.value.first_offset, made.value.next_offset) == (5, 10)


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


def test_the_transport_makes_chunk_consumers() -> None:
    assert ChunkTransport.Consumer is ChunkConsumer
    assert issubclass(ChunkConsumer, aiokafka.Consumer)
    assert issubclass(ChunkTransport, aiokafka.Transport)


def test_an_offset_out_of_range_is_told_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka names the partitions in the exception's first argument."""
    told: list[TP] = []
    tp = TP("t", 1)

    async def failing(*_arguments: object) -> None:
        raise OffsetOutOfRangeError({tp: 5})

    monkeypatch.setattr(aiokafka.Consumer, "_getmany", failing)
    consumer = object.__new__(ChunkConsumer)
    consumer.transport = object.__new__(ChunkTransport)
    consumer.transport.out_of_range = told.append
    assert asyncio.run(consumer._getmany(active_partitions=None, timeout=1.0)) == {}
    assert told == [tp]
