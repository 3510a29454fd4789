"""Between a topic and a capture: reading what lies in it, and sending it again.

The end of a log is taken from fetch answers: asked for (ListOffsets), the embedded broker misstates
it. Reads uncommitted messages, as workers do. Partition after partition, so that the same topic
gives the same file.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.fleet.publish import PRODUCER
from rackmeter.kafka import Cluster
from rackmeter.topics import describe_topics
from schemas.capture import Captured, Place

SILENT_SECONDS: Final = 30.0
"""A broker that says nothing for so long is gone."""
READ_AT_ONCE: Final = 1_000
MESSAGE_BYTES_MAX: Final = 64 * 2**20
"""What this producer lets pass; how much a message may have is the broker's word."""
_FLUSH_SECONDS: Final = 60.0
CONSUMER: Final[Mapping[str, Any]] = {
    "group.id": "rackmeter-capture",  # the client wants one; nothing is joined or committed
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_uncommitted",
    "auto.offset.reset": "error",
    "log_level": 0,
}


def capture(
    where: Cluster,
    topic: str,
    begin: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> Iterator[Captured]:
    """Every message from ``begin`` (the log's start) to ``end`` (its end now), by partition."""
    begin, end = begin or {}, end or {}
    partitions = describe_topics(where, [topic])[topic].partitions
    for part in sorted(begin.keys() | end.keys()):
        if not 0 <= part < partitions:
            raise ConfigError(f"Topic {topic} has no partition {part}: it has {partitions}.")
    reader = Consumer({**where.client(), **CONSUMER})
    try:
        for part in range(partitions):
            at = TopicPartition(topic, part, begin.get(part, -2))
            reader.assign([at])
            yield from _partition(reader, at, partitions, end.get(part))
    except KafkaException as error:
        reason = error.args[0].str().removeprefix("Broker: ")
        raise DependencyError(f"Topic {topic} cannot be read: {reason}.") from error
    finally:
        reader.close()


def _partition(
    reader: Consumer, at: TopicPartition, partitions: int, end: int | None
) -> Iterator[Captured]:
    """Until ``end``, or what a fetch answer first says is the end."""
    heard = time.monotonic()
    while True:
        for message in reader.consume(READ_AT_ONCE, timeout=1.0):
            heard = time.monotonic()
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                raise _unreadable(at, error)
            offset = message.offset()
            assert offset is not None
            if end is None:
                high = reader.get_watermark_offsets(at, cached=True)[1]
                end = high if high >= 0 else None
            if end is not None and offset >= end:
                return
            yield _captured(message, Place(at.partition, partitions, offset))
            if end is not None and offset + 1 >= end:
                return
        if time.monotonic() - heard > SILENT_SECONDS:
            raise DependencyError(
                f"Partition {at.partition} of {at.topic} was silent for {SILENT_SECONDS:.0f} s:"
                " the broker is gone, or lacks the offset at which reading was to begin."
            )


def _captured(message: Message, place: Place) -> Captured:
    kind, ts_ms = message.timestamp()
    found: list[Any] = list(message.headers() or ())
    headers = tuple((name, _bytes(value)) for name, value in found)
    return Captured(
        _bytes(message.key()),
        ts_ms,
        headers,
        _bytes(message.value()),
        int(kind == TIMESTAMP_LOG_APPEND_TIME),
        place,
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def replay(
    messages: Iterable[Captured],
    where: Cluster,
    topic: str,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Send messages in order; returns how many, when the broker has acknowledged all of them.

    A message goes to the partition it came from where the topic has as many, otherwise to its
    key's; the order of a key is kept. Nothing is sent after one that the broker did not take.
    """
    partitions = describe_topics(where, [topic])[topic].partitions
    producer = Producer({**where.client(), **PRODUCER, "message.max.bytes": MESSAGE_BYTES_MAX})
    lost: list[tuple[int, KafkaError]] = []
    count = 0
    for count, message in enumerate(messages, 1):
        _send(producer, topic, partitions, message, count, lost)
        if count % READ_AT_ONCE == 0:
            producer.poll(0)
            progress(READ_AT_ONCE)
        _refuse_lost(lost)
    left = producer.flush(_FLUSH_SECONDS)
    _refuse_lost(lost)
    if left:
        raise DependencyError(f"The broker at {where.bootstrap} did not take {left} messages.")
    progress(count % READ_AT_ONCE)
    return count


def _send(
    producer: Producer,
    topic: str,
    partitions: int,
    message: Captured,
    number: int,
    lost: list[tuple[int, KafkaError]],
) -> None:
    if message.ts_ms <= 0:
        raise ConfigError(f"Message {number} has ts_ms {message.ts_ms}: no time stamp to send.")
    place = message.place
    part = place.part if place and place.partitions == partitions else -1

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            lost.append((number, error))

    deadline = time.monotonic() + _FLUSH_SECONDS
    while True:
        try:
            producer.produce(
                topic, message.value, message.key, part, on_delivery=delivered,
                timestamp=message.ts_ms, headers=list(message.headers),
            )  # fmt: skip
            return
        except BufferError:
            _refuse_lost(lost)
            if time.monotonic() > deadline:
                raise DependencyError("The broker has not taken a message for a minute.") from None
            producer.poll(0.05)
        except KafkaException as error:
            raise _refused(number, error.args[0]) from None


def _refuse_lost(lost: list[tuple[int, KafkaError]]) -> None:
    if lost:
        raise _refused(*min(lost, key=lambda one: one[0]))


def _refused(number: int, error: KafkaError) -> DependencyError:
    reason = error.str().removeprefix("Broker: ")
    return DependencyError(f"The broker did not take message {number} of the capture: {reason}.")


def _unreadable(at: TopicPartition, error: KafkaError) -> ConfigError | DependencyError:
    if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
        return ConfigError(
            f"Partition {at.partition} of {at.topic} has no offset {at.offset}: {error.str()}."
        )
    return DependencyError(f"Partition {at.partition} of {at.topic}: {error.str()}.")
