"""Sends a fleet's messages to Kafka in the order of time, as fast as the broker takes them.

Knows topics and producers, no ledger. Back-pressure is the producer's own full queue; a message the
broker did not take ends the run with one sentence, because the truth would no longer hold.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, Producer

from rackmeter.errors import DependencyError
from rackmeter.fleet.messages import Encoder, Message
from rackmeter.fleet.mishaps import Schedule, Send
from rackmeter.fleet.plan import LEAD_SLOTS_MAX
from rackmeter.fleet.twists import twisted
from schemas.envelope import Key
from schemas.verdict import Verdict

_HELD_SECONDS: Final = 0.02
_FULL_QUEUE_SECONDS: Final = 60.0
_TRUE: Final = (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.LATE)
PRODUCER: Final[Mapping[str, Any]] = {
    # Java's hash: every other producer of the topic uses it, and the reader checks it.
    "partitioner": "murmur2_random",
    "enable.idempotence": True,  # implies acks=all; a retry never doubles or re-orders
    "linger.ms": 20,
    "batch.size": 262_144,
    "queue.buffering.max.messages": 20_000,
    "delivery.report.only.error": True,
    "message.timeout.ms": 60_000,
    "log_level": 0,
}


class StoppedError(Exception):
    """The caller asked for an end before the last message."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a fleet reports to."""

    bootstrap: str
    topic: str
    environment: str


def publish(
    schedules: Sequence[Schedule],
    keys: Mapping[str, Key],
    destination: Destination,
    *,
    limit: Callable[[], int] = lambda: sys.maxsize,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Send everything; return how many messages when the broker has acknowledged all of them.

    ``limit`` says how many may have been sent by now: the rest waits until it says more.
    """
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": destination.bootstrap, **PRODUCER})

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failed.append(error)

    sent = 0
    for tick in messages(schedules, keys, destination, now_ms):
        while sent >= limit() and not stopped():
            producer.poll(_HELD_SECONDS)
        if stopped():
            producer.purge()
            raise StoppedError
        for key, body, headers in tick:
            _produce(producer, destination.topic, key, body, headers, delivered)
        sent += len(tick)
        producer.poll(0)
        _refuse_failure(failed)
    left = producer.flush(_FULL_QUEUE_SECONDS)
    _refuse_failure(failed)
    if left:
        raise DependencyError(f"The broker at {destination.bootstrap} did not take {left} reports.")
    return sent


def messages(
    schedules: Sequence[Schedule],
    keys: Mapping[str, Key],
    destination: Destination,
    clock_ms: Callable[[], int],
) -> Iterator[list[Message]]:
    """The messages of the whole fleet, interval by interval."""
    senders = [
        _Sender(schedule, keys[schedule.life.machine.id], destination) for schedule in schedules
    ]
    ticks = max(sender.ticks for sender in senders)
    for tick in range(ticks):
        now = clock_ms()
        yield [message for sender in senders for message in sender.at(tick, now)]


class _Sender:
    """One server's side: which messages are due in an interval."""

    def __init__(self, schedule: Schedule, key: Key, destination: Destination) -> None:
        self._life = schedule.life
        self._key = key
        self._destination = destination
        self._encoder = Encoder(self._life, key, destination.environment, destination.topic)
        self._instead = schedule.instead
        self._taken = (self._life.seq > 0).tolist()
        self._ahead = LEAD_SLOTS_MAX - self._life.machine.lead_slots
        self.ticks = self._ahead + len(self._life)

    def at(self, tick: int, now: int) -> Iterator[Message]:
        reading = tick - self._ahead
        if not 0 <= reading < len(self._taken) or not self._taken[reading]:
            return
        if reading not in self._instead:
            yield self._encoder.message(reading, now)
            return
        for send in self._instead[reading]:
            yield self._message(send, now)

    def _message(self, send: Send, now: int) -> Message:
        if send.verdict in _TRUE:
            return self._encoder.message(send.reading, now)
        environment, topic = self._destination.environment, self._destination.topic
        return twisted(send.verdict, self._life, send.reading, now, self._key, environment, topic)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def _produce(
    producer: Producer, topic: str, key: bytes, body: bytes, headers: Any, delivered: Any
) -> None:
    deadline = time.monotonic() + _FULL_QUEUE_SECONDS
    while True:
        try:
            producer.produce(topic, body, key, headers=headers, on_delivery=delivered)
            return
        except BufferError:
            if time.monotonic() > deadline:
                raise DependencyError("The broker has not taken a report for a minute.") from None
            producer.poll(0.05)


def _refuse_failure(failed: list[KafkaError]) -> None:
    if failed:
        raise DependencyError(f"The broker refused {len(failed)} reports: {failed[0].str()}.")
