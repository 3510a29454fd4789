"""A load that does not wait for anyone: every report has its time, whatever became of the others.

All reports are made and signed before the first one is due, so that sending costs little. A report
that is sent late, because broker or sender stood still, is late from its own time on: nothing is
omitted. Watched servers are rented and cross 50, 80 and 100 % of their allowance on the way. They
are spread evenly over the fleet, so that they report all the time and not all at once.
"""

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, Producer

from benchmarks.load import ENVIRONMENT, Load
from rackmeter.errors import DependencyError
from rackmeter.fleet.life import Life
from rackmeter.fleet.messages import Encoder, Message
from rackmeter.fleet.plan import Int64s
from rackmeter.fleet.publish import PRODUCER

ALLOWANCE: Final = 256_000_000
"""Bytes sent a month in the plan ``demo-hourly``."""
PERCENTS: Final = (50, 80, 100)
QUEUED_MAX: Final = 1_000_000
"""Messages that wait in the sender at most."""
WAKE_S: Final = 0.005
"""How late a report is sent; batches wait four times as long."""
_OPENED_MS: Final = 60_000
_OPENING_S: Final = 30
"""Until the opening reports are in the ledger."""
_SIGNED_PER_S: Final = 12_000
"""What one core of two makes while nothing else runs is twice this."""

Place = tuple[str, str]
"""Bootstrap address and topic."""


def spread(servers: int, watched: int) -> tuple[int, ...]:
    """Numbers of the watched servers."""
    return tuple(n * servers // watched for n in range(watched))


@dataclass(frozen=True)
class Plan:
    """``rate`` reports a second from ``start_ms`` on, the servers in turn."""

    servers: int
    watched: int
    rate: float
    seconds: float
    start_ms: int

    @property
    def ticks(self) -> int:
        """Reports of each server, the opening one not counted."""
        return max(int(self.rate * self.seconds / self.servers), 1)

    @property
    def reports(self) -> int:
        """All but the opening ones."""
        return self.servers * self.ticks

    @property
    def opened_ms(self) -> int:
        """When every origin began."""
        return self.start_ms - self.start_ms % 1000 - _OPENED_MS

    @cached_property
    def due_ms(self) -> Int64s:
        """When each report is read and sent, in the order of sending."""
        return self.start_ms + (np.arange(self.reports) * (1000 / self.rate)).astype(np.int64)

    @cached_property
    def fleet(self) -> Load:
        """Whose names, keys and series these are."""
        return Load(self.servers, self.ticks)

    def crossings(self, n: int) -> dict[int, int]:
        """Percent → when the reading was due with which a watched server reaches it."""
        gained = np.arange(1, self.ticks + 1) * self._step(n)
        reached = [int(np.searchsorted(gained, ALLOWANCE * p // 100)) for p in PERCENTS]
        return {
            percent: int(self.due_ms[tick * self.servers + n])
            for percent, tick in zip(PERCENTS, reached, strict=True)
        }

    def life(self, n: int) -> Life:
        """The opening reading, all zero, then those of the plan."""
        life = self.fleet.life(n, self.start_ms)
        gains = np.ones(life.value.shape, np.int64)
        gains[0] = 0
        if n in spread(self.servers, self.watched):
            gains[1:, life.meter.index("net.tx_bytes")] = self._step(n)
            others = [m == "net.tx_bytes" for m in life.meter]
            others[life.meter.index("net.tx_bytes")] = False
            gains[:, others] = 0
        at_ms = np.concatenate([[self.opened_ms + 1], self.due_ms[n :: self.servers]])
        since_ms = (self.opened_ms,)
        return Life(
            **{**vars(life), "at_ms": at_ms, "since_ms": since_ms, "value": gains.cumsum(axis=0)}
        )

    def _step(self, n: int) -> int:
        """Bytes a report: all thresholds are crossed, each server's at times of its own."""
        return int(ALLOWANCE * (1.05 + 2 * n / self.servers) / self.ticks) + 1


def ready(servers: int, watched: int, rate: float, seconds: float, place: Place) -> "Sender":
    """A sender whose first report is not due yet: given more time, the slower this machine is."""
    signing_s = (rate * seconds + 3 * servers) / _SIGNED_PER_S
    while True:
        start_ms = time.time_ns() // 1_000_000 + int((signing_s + _OPENING_S) * 1000)
        sender = Sender(Plan(servers, watched, rate, seconds, start_ms), *place)
        if time.time_ns() // 1_000_000 + _OPENING_S * 1000 < start_ms:
            return sender
        signing_s *= 2


class Sender:
    """All messages of a plan, and where in the topic they come to lie."""

    def __init__(self, plan: Plan, bootstrap: str, topic: str) -> None:
        self.plan, self._topic = plan, topic
        self._failed: list[KafkaError] = []
        config: dict[str, Any] = {
            **PRODUCER, "bootstrap.servers": bootstrap, "queue.buffering.max.messages": QUEUED_MAX,
        }  # fmt: skip
        self._producer = Producer(config)
        messages = list(self._messages())
        self._opening, self._due = messages[: plan.servers], messages[plan.servers :]
        gc.freeze()  # or they are looked through again and again while reports are due

    def open(self) -> None:
        """Send the opening reports and wait for the broker."""
        for message in self._opening:
            self._send(message)
        self._flush()

    def run(self) -> int:
        """Send each report when it is due; the most that one was sent late, in ms."""
        due_s, late_s = self.plan.due_ms / 1000, 0.0
        sent = 0
        while sent < len(due_s):
            now = time.time()
            until = int(np.searchsorted(due_s, now, side="right"))
            if until > sent:
                late_s = max(late_s, now - due_s[sent])
            for message in self._due[sent:until]:
                self._send(message)
            sent = until
            self._producer.poll(WAKE_S)
        self._flush()
        return round(late_s * 1000)

    def _messages(self) -> Iterator[Message]:
        plan = self.plan
        lives = [plan.life(n) for n in range(plan.servers)]
        encoders = [
            Encoder(life, key, ENVIRONMENT, self._topic)
            for life, key in zip(lives, plan.fleet.keys, strict=True)
        ]
        for tick in range(plan.ticks + 1):
            for life, encoder in zip(lives, encoders, strict=True):
                yield encoder.message(tick, life.at(tick))

    def _send(self, message: Message) -> None:
        key, body, headers = message
        while True:
            try:
                self._producer.produce(
                    self._topic, body, key, headers=headers, on_delivery=self._delivered
                )
                return
            except BufferError:
                self._producer.poll(0.01)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed.append(error)

    def _flush(self) -> None:
        left = self._producer.flush(60)
        if left or self._failed:
            raise DependencyError(f"The broker did not take {left + len(self._failed)} reports.")
