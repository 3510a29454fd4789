"""What the chunk transport relies on, on both brokers: order, offsets, ends, codecs, time stamps.

One reader process for each broker reads two partitions from an offset in the middle; the tests
look at what it said.
"""

import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pipeline.partition import partition_of
from rackmeter.topics import create_topics
from tests.fix_kafka import Broker

MESSAGES = 3000
BEGIN = 400
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADERS = [("ce_id", b"1"), ("kid", b"k\xc3\xa4")]


@pytest.fixture(scope="module")
def said(broker: Broker) -> list[dict[str, Any]]:
    """What a reader of two partitions said that begins in the middle of the first."""
    topic = f"transport.{uuid4().hex[:8]}"
    create_topics(broker.bootstrap, {topic: 2})
    for first, codec in enumerate(CODECS):
        produce(broker.bootstrap, topic, codec, range(first, MESSAGES, len(CODECS)))
    count = sum(partition_of(key(n), 2) == part for n in range(MESSAGES) for part in (0, 1))
    program = [sys.executable, "-m", "tests.pipeline.chunk_reader", broker.bootstrap, topic]
    done = subprocess.run(
        [*program, str(BEGIN), str(count - 2 * BEGIN)], capture_output=True, check=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def key(number: int) -> bytes:
    return f"ax-{number % 97}".encode()


def produce(bootstrap: str, topic: str, codec: str, numbers: range) -> None:
    """As the agents do, but packed."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": codec,
            "linger.ms": 20,
        }
    )
    for number in numbers:
        body = f"{number} {'and so on ' * 10}"
        producer.produce(topic, body, key(number), headers=list(HEADERS))
        producer.poll(0)
    assert producer.flush(20) == 0


def events(said: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    return [line for line in said if line.get("part") == part]


@pytest.mark.parametrize("part", [0, 1])
def test_chunks_begin_where_the_seek_said_and_follow_each_other(
    said: list[dict[str, Any]], part: int
) -> None:
    offsets = [offset for event in events(said, part) for offset in event["offsets"]]
    count = sum(partition_of(key(n), 2) == part for n in range(MESSAGES))
    assert offsets == list(range(BEGIN, count))


def test_one_event_carries_a_whole_fetch(said: list[dict[str, Any]]) -> None:
    """Hundreds of messages in a few events."""
    assert len(events(said, 0)) < 30


@pytest.mark.parametrize("part", [0, 1])
def test_keys_lie_where_murmur2_puts_them_and_headers_are_whole(
    said: list[dict[str, Any]], part: int
) -> None:
    """Of an idempotent producer, packed with every codec."""
    found = events(said, part)
    keys = {name for event in found for name in event["keys"]}
    assert keys <= {f"ax-{n}" for n in range(97)}
    assert {partition_of(name.encode(), 2) for name in keys} == {part}
    wanted = [[name, value.decode()] for name, value in HEADERS]
    assert all(headers == wanted for event in found for headers in event["headers"])


def test_every_codec_is_read(said: list[dict[str, Any]]) -> None:
    """The first messages are uncompressed, and lie before the beginning."""
    numbers = [
        int(value.split()[0])
        for part in (0, 1)
        for event in events(said, part)
        for value in event["values"]
    ]
    assert len(set(numbers)) == len(numbers)
    assert {number % len(CODECS) for number in numbers} >= {1, 2, 3, 4}


def test_all_partitions_are_sought_before_anything_arrives(said: list[dict[str, Any]]) -> None:
    assert said[0] == {"seek": [0, 1]}


def test_each_record_says_who_dated_it(said: list[dict[str, Any]], broker: Broker) -> None:
    """The topics of both are set to LogAppendTime; the embedded broker takes that and ignores it.

    So the record's own word counts, whatever the topic's setting is.
    """
    found = {str(kind) for event in events(said, 0) for kind in event["types"]}
    assert found == {"0" if broker.embedded else "1"}


def test_the_end_of_the_log_is_known_from_the_last_answer(said: list[dict[str, Any]]) -> None:
    [last] = [line for line in said if "end" in line]
    end, seen_ms = last["end"]
    assert end == last["next"]
    assert seen_ms > 1_700_000_000_000
