"""Sends reports to Kafka: signed, idempotent, keyed by server. Knows confluent-kafka and the wire,
no counters.

Nothing is kept on disk. While the broker is away the newest reports wait here, up to a bound, and
older ones give way: counters are cumulative, and what is ``delivered`` tells the accumulator how
long to show a series that is gone, so the next report carries what a lost one said, and only the
knowledge of *when* within the outage becomes coarser. The last report of an earlier boot has no
next one and never gives way.

A report waits here, not in the client's queue, because its ``sent_up_ms`` must be true when the
broker appends it: the reading's time is worked out from it. One batch is under way at a time; what
fails comes back and is stamped anew. The identity stays, so what had arrived after all is a
duplicate and harmless.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.clock import Now
from agents.log import log
from schemas.envelope import Key, headers
from schemas.errors import ConfigError, DependencyError
from schemas.report import Report, encode

KEEP: Final = 1_000
"""Reports that wait at most: sixteen hours at one a minute, about 2 MB for a server with 24 series.
"""

FIXED: Final = {
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # librdkafka's default agrees with Java's for 34 of 500 keys
    "linger.ms": 200,
    "message.timeout.ms": 10_000,  # the most that a sending stamp can be out of date
    "queue.buffering.max.messages": KEEP + 100,
    "queue.buffering.max.kbytes": 16_384,
}
"""What the exactness of metering rests on; not open to configuration."""

_NEWS: Final = (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL)

POLL_S: Final = 0.1
"""How often delivery reports are collected while a batch is under way."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where reports go and how they are signed."""

    topic: str
    environment: str
    key: Key
    kafka: Mapping[str, str | int | float | bool]
    """Client properties, ``bootstrap.servers`` among them."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    report: Report
    this_boot: bool


class Publisher:
    def __init__(self, target: Target, clock: Callable[[], Now]) -> None:
        self._target = target
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._under_way: dict[str, _Waiting] = {}
        self.delivered: dict[str, int] = {}
        """The highest number the broker has acknowledged, by origin."""
        self._away = False
        self._dropped = 0
        self._stuck = False
        self._client = 0
        self._producer = self._connected()

    @property
    def busy(self) -> bool:
        """Whether a batch is under way, and ``pump`` has to be called often."""
        return bool(self._under_way)

    @property
    def unsent(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def require_broker(self, timeout_s: float = 5.0) -> None:
        try:
            self._producer.list_topics(timeout=timeout_s)
        except KafkaException as error:
            where = self._target.kafka["bootstrap.servers"]
            why = _reason(error.args[0])
            raise DependencyError(
                f"no Kafka broker answers at {where} ({why}); check --bootstrap, "
                "or leave out --require-broker to keep counting until one does"
            ) from error

    def offer(self, report: Report, *, this_boot: bool = True) -> None:
        self._waiting.append(_Waiting(report, this_boot))
        if self.unsent > KEEP and this_boot:
            self._waiting.remove(next(one for one in self._waiting if one.this_boot))
            self._dropped += 1
            if self._dropped == 1:
                log.warning("%d reports wait: the oldest give way, totals are not affected", KEEP)
        self.pump()

    def pump(self) -> None:
        """Collects what was delivered or failed, and sends what waits."""
        self._producer.poll(0)
        if self._stuck:
            self._reconnect()
        if not self._under_way:
            self._send()

    def flush(self, until_up_ms: int, interrupted: Callable[[], bool]) -> bool:
        """Sends what waits until then; False when a second signal says to stop at once."""
        self.pump()
        while self.unsent and self._clock().up_ms < until_up_ms:
            if interrupted():
                return False
            self._producer.flush(POLL_S)
            self.pump()
        return True

    def close(self) -> None:
        """Forget what is still queued; the client would otherwise wait for it when it is taken
        down.
        """
        self._client += 1
        self._producer.purge()
        self._producer.poll(0)

    def _send(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            report = self._stamped(waiting)
            body = encode(report)
            target = self._target
            try:
                self._producer.produce(
                    target.topic,
                    key=report.server.encode(),
                    value=body,
                    headers=[*headers(report, body, target.key, target.environment, target.topic)],
                    on_delivery=self._delivery_of(report.id),
                )
            except BufferError:
                self._waiting.appendleft(waiting)
                return
            except KafkaException as error:
                self._waiting.appendleft(waiting)
                self._failed(error.args[0])
                return
            self._under_way[report.id] = waiting

    def _stamped(self, waiting: _Waiting) -> Report:
        """A report of an earlier boot is stamped on that boot's clock, carried on by the wall
        clock.
        """
        report, now = waiting.report, self._clock()
        if waiting.this_boot:
            return replace(report, sent_up_ms=max(now.up_ms, report.at_up_ms))
        return replace(report, sent_up_ms=report.at_up_ms + max(0, now.at_ms - report.at_ms))

    def _delivery_of(self, report_id: str) -> Callable[[KafkaError | None, Message], None]:
        client = self._client

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if client != self._client:
                return  # a client given up; its reports wait again already
            waiting = self._under_way.pop(report_id)
            if error is None:
                self._arrived(waiting.report)
                return
            self._put_back([waiting])
            self._failed(error)

        return delivered

    def _put_back(self, waiting: Iterable[_Waiting]) -> None:
        self._waiting = deque(sorted((*self._waiting, *waiting), key=_order))

    def _arrived(self, report: Report) -> None:
        self.delivered[report.origin] = max(report.seq, self.delivered.get(report.origin, 0))
        if self._away:
            log.info("the broker answers again; %d reports had given way", self._dropped)
        self._away = False
        self._dropped = 0

    def _failed(self, error: KafkaError) -> None:
        self._stuck = self._stuck or error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT
        if not self._away:
            log.warning("reports cannot be sent (%s); counting goes on", _reason(error))
        self._away = True

    def _errored(self, error: KafkaError) -> None:
        """The client retries by itself; one of several brokers being away is no news."""
        if error.fatal() or error.code() in _NEWS:
            self._failed(error)

    def _connected(self) -> Producer:
        quiet = logging.getLogger("rackmeter.agent.librdkafka")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        config = {"client.id": "rackmeter-agent", **self._target.kafka, **FIXED}
        try:
            return Producer({**config, "error_cb": self._errored, "logger": quiet})
        except KafkaException as error:
            raise ConfigError(
                f"the Kafka settings cannot be used: {_reason(error.args[0])}"
            ) from error

    def _reconnect(self) -> None:
        """A new client in place of one that failed for good or got nothing through.

        A broker that lost its memory refuses the old producer id for ever, and librdkafka 2.16 asks
        for a new one only when it starts.
        """
        self.close()
        self._put_back(self._under_way.values())
        self._under_way.clear()
        self._stuck = False
        self._producer = self._connected()


def _order(waiting: _Waiting) -> tuple[bool, int]:
    return waiting.this_boot, waiting.report.seq


def _reason(error: object) -> str:
    return error.str() if isinstance(error, KafkaError) else str(error)
