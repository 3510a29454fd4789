"""Sends reports to Kafka: signed, idempotent, keyed by server. Knows confluent-kafka and the wire,
no counters.

What waits lies in the spool, oldest first, as an origin's reports must arrive in order to say
*when*. One batch is under way at a time: a single report while the broker answers, a segment of the
spool in catching up. A report is stamped when it is sent, because its ``sent_up_ms`` must be true
when the broker appends it: the reading's time is worked out from it. What fails is stamped anew.
The identity stays, so what had arrived after all is a duplicate and harmless. Nothing leaves the
spool before the broker has it.

After a failure the next try waits, twice as long each time up to half a minute, at random between
half of that and all of it: a fleet that lost its broker does not come back in one instant.
"""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from agents import refusals
from agents.client import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from agents.clock import Now
from agents.frames import Waiting
from agents.heard import Heard
from agents.log import Once, log
from agents.spool import Spool
from schemas.envelope import Key, headers
from schemas.errors import ConfigError, DependencyError
from schemas.report import Report, encode

FIXED: Final = {
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # librdkafka's default agrees with Java's for 34 of 500 keys
    "linger.ms": 10,  # a batch is handed over at once
    "message.timeout.ms": 10_000,  # the most that a sending stamp can be out of date
    "queue.buffering.max.messages": 2_000,
    "queue.buffering.max.kbytes": 16_384,
}
"""What the exactness of metering rests on; not open to configuration."""

DEFAULTS: Final = {
    "client.id": "rackmeter-agent",
    "topic.metadata.propagation.max.ms": 2_000,  # said, not waited for, when it is not there
}

POLL_S: Final = 0.1
"""How often delivery reports are collected while a batch is under way."""
RETRY_MS: Final = 1_000
RETRY_MS_MAX: Final = 30_000
CLOCK_OFF_MS: Final = 30_000
"""How far this machine's clock may be from the broker's before the meter goes by the latter."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where reports go and how they are signed."""

    topic: str
    environment: str
    key: Key
    kafka: Mapping[str, str | int | float | bool]
    """Client properties, ``bootstrap.servers`` among them."""

    def key_of(self, server: str) -> Key | None:
        """What signs for this server; None where its key is not here."""
        return self.key if server == self.key.server else None


class Publisher:
    def __init__(
        self,
        target: Target,
        clock: Callable[[], Now],
        spool: Spool,
        boot_id: str,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.target = target
        self.spool = spool
        self._clock = clock
        self._boot_id = boot_id
        self._chance = chance
        self._batch: dict[str, Waiting] = {}
        """Taken from the spool, by id, as far as the broker has not acknowledged it."""
        self._under_way: set[str] = set()
        self.delivered: dict[str, int] = {}
        """The highest number the broker has acknowledged, by origin."""
        self.acknowledged: Report | None = None
        self.acknowledged_at_ms: int | None = None
        self.clock_ahead_ms: int | None = None
        """This machine's wall clock less the broker's, where the broker dates what it appends."""
        self.refused = ""
        """Why reports cannot be sent, while they cannot."""
        self.foreign = 0
        """Reports of another server that the spool held: their key is not here."""
        self._say = Once()
        self._say_clock = Once()
        self._heard = Heard(target.topic, target.kafka)
        self._stuck = False
        self._retry_up_ms = 0
        self._retry_ms = RETRY_MS
        self._client = 0
        self._producer = self._connected()

    @property
    def busy(self) -> bool:
        """Whether ``pump`` has to be called often: a batch is under way, or more waits to be."""
        return bool(self._under_way) or (not self.refused and self.unsent > 0)

    @property
    def unsent(self) -> int:
        return self.spool.waiting

    def require_broker(self, timeout_s: float = 5.0) -> None:
        try:
            self._producer.list_topics(timeout=timeout_s)
        except KafkaException as error:
            where = self.target.kafka["bootstrap.servers"]
            why = self.refused or refusals.reason(error.args[0])
            raise DependencyError(
                f"no Kafka broker answers at {where} ({why}); check --bootstrap, "
                "or leave out --require-broker to keep counting until one does"
            ) from error

    def offer(self, waiting: Waiting) -> None:
        self.spool.put(waiting, self._clock().up_ms)
        self.pump()

    def pump(self) -> None:
        """Collects what was delivered or failed, and sends what waits."""
        self._producer.poll(0)
        now = self._clock()
        self.spool.sync(now.up_ms)
        if self._stuck:
            self._reconnect()
        if not self._under_way and now.up_ms >= self._retry_up_ms:
            self._send(now)

    def flush(self, until_up_ms: int, interrupted: Callable[[], bool]) -> bool:
        """Sends what waits until then; False when a second signal says to stop at once."""
        self._retry_up_ms = 0
        self.pump()
        while self.unsent and self._clock().up_ms < until_up_ms:
            if interrupted():
                return False
            self._producer.flush(POLL_S)
            self.pump()
        return True

    def retarget(self, target: Target) -> None:
        """Send elsewhere, or signed with another key, from now on; what is under way goes again."""
        former, self.target = self.target, target
        if target.kafka != former.kafka:
            try:
                self._reconnect()
            except ConfigError:
                self.target = former
                raise
        self._retry_up_ms, self._heard = 0, Heard(target.topic, target.kafka)

    def close(self) -> None:
        """Forget what is still queued; the client would otherwise wait for it when it is taken
        down.
        """
        self._client += 1
        self._producer.purge()
        self._producer.poll(0)

    def _send(self, now: Now) -> None:
        while not self._batch:
            taken = self.spool.take()
            if not taken:
                return
            own = [one for one in taken if self.target.key_of(one.report.server)]
            self.foreign += len(taken) - len(own)
            self._batch = {one.report.id: one for one in own}
            if not own:
                self.spool.done()
        for report_id, waiting in self._batch.items():
            try:
                self._produce(report_id, self._stamped(waiting, now))
            except BufferError:
                return
            except KafkaException as error:
                self._failed(error.args[0])
                return
            self._under_way.add(report_id)

    def _produce(self, report_id: str, report: Report) -> None:
        target, body = self.target, encode(report)
        key = target.key_of(report.server) or target.key
        self._producer.produce(
            target.topic,
            key=report.server.encode(),
            value=body,
            headers=[*headers(report, body, key, target.environment, target.topic)],
            on_delivery=self._delivery_of(report_id),
        )

    def _stamped(self, waiting: Waiting, now: Now) -> Report:
        """A report of an earlier boot is stamped on that boot's clock, carried on by the wall
        clock.
        """
        report = waiting.report
        if waiting.boot_id == self._boot_id:
            return replace(report, sent_up_ms=max(now.up_ms, report.at_up_ms))
        return replace(report, sent_up_ms=report.at_up_ms + max(0, now.at_ms - report.at_ms))

    def _delivery_of(self, report_id: str) -> Callable[[KafkaError | None, Message], None]:
        client = self._client

        def delivered(error: KafkaError | None, message: Message) -> None:
            if client != self._client:
                return  # a client given up; its reports wait again already
            self._under_way.discard(report_id)
            if error is None:
                self._arrived(self._batch.pop(report_id).report, message)
            else:
                self._failed(error)

        return delivered

    def _arrived(self, report: Report, message: Message) -> None:
        self.delivered[report.origin] = max(report.seq, self.delivered.get(report.origin, 0))
        now = self._clock()
        self.acknowledged, self.acknowledged_at_ms = report, now.at_ms
        kind, appended_ms = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self.clock_ahead_ms = now.at_ms - appended_ms
            self._say_clock(refusals.clock_said(self.clock_ahead_ms, CLOCK_OFF_MS))
        if not self._batch:
            self.spool.done()
        if self.refused:
            log.info("the broker takes reports again; %d wait", self.unsent)
        self.refused = ""
        self._heard.forget()
        self._retry_ms, self._retry_up_ms = RETRY_MS, 0
        self._say("")

    def _failed(self, error: KafkaError) -> None:
        self._stuck = self._stuck or error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT
        self._heard.hear(error)
        self._refuse()
        if not self._under_way:
            wait_ms = self._retry_ms * (0.5 + self._chance() / 2)
            self._retry_up_ms = self._clock().up_ms + round(wait_ms)
            self._retry_ms = min(2 * self._retry_ms, RETRY_MS_MAX)
            self._heard.forget()

    def _errored(self, error: KafkaError) -> None:
        """The client retries by itself; one of several brokers being away is no news."""
        self._stuck = self._stuck or error.fatal()
        self._heard.hear(error)
        if error.fatal() or error.code() == KafkaError._ALL_BROKERS_DOWN or self._heard.rank > 1:
            self._refuse()

    def _refuse(self) -> None:
        self.refused = self._heard.why
        self._say(f"reports cannot be sent ({self.refused}); counting goes on")

    def _connected(self) -> Producer:
        quiet = logging.getLogger("rackmeter.agent.librdkafka")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        config = {**DEFAULTS, **self.target.kafka, **FIXED}
        try:
            return Producer({**config, "error_cb": self._errored, "logger": quiet})
        except KafkaException as error:
            raise ConfigError(
                f"the Kafka settings cannot be used: {refusals.reason(error.args[0])}"
            ) from error

    def _reconnect(self) -> None:
        """A new client in place of one that failed for good or got nothing through.

        A broker that lost its memory refuses the old producer id for ever, and librdkafka 2.16 asks
        for a new one only when it starts.
        """
        producer = self._connected()
        self.close()
        self._under_way.clear()
        self._stuck = False
        self._producer = producer
