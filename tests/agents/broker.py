"""A stand-in for the Kafka client that a test can turn: who answers, what arrives, what comes
late.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError

from agents.clock import Now
from agents.publish import Publisher, Target
from agents.spool import Spool
from schemas.envelope import Key
from tests.agents.words import WALL_MS

Delivered = Callable[[KafkaError | None, object], None]
SPOOL_BYTES = 2**20
BOOT = "boot-1"
TARGET = Target("t", "dev", Key("k1", "s1", bytes(32)), {"bootstrap.servers": "h:1"})


@dataclass
class Broker:
    """Every client that was made, what each was handed, and whether anything arrives."""

    error: KafkaError | None = None
    keeps: bool = False
    """What is answered with an error has arrived all the same."""
    answers: bool = True
    arrived: list[dict[str, Any]] = field(default_factory=list)
    clients: "list[Client]" = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def client(self, config: dict[str, Any]) -> "Client":
        self.config = config
        self.clients.append(Client(self))
        return self.clients[-1]

    def latecomers(self) -> None:
        """What clients given up, or killed, had under way arrives now."""
        for client in self.clients[:-1]:
            self.arrived += [json.loads(body) for body, _ in client.queue]
            client.queue.clear()


class Appended:
    """What the real client hands to a delivery report, as far as it is looked at."""

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, -1


@dataclass
class Client:
    broker: Broker
    queue: list[tuple[bytes, Delivered]] = field(default_factory=list)

    def produce(self, _topic: str, *, value: bytes, on_delivery: Delivered, **_: object) -> None:
        self.queue.append((value, on_delivery))

    def poll(self, _timeout: float) -> int:
        while self.queue and self.broker.answers:
            body, delivered = self.queue.pop(0)
            if self.broker.error is None or self.broker.keeps:
                self.broker.arrived.append(json.loads(body))
            delivered(self.broker.error, Appended())
        return 0

    def flush(self, _timeout: float) -> int:
        return self.poll(0)

    def purge(self) -> None:
        """What the real client then reports as purged comes with the next poll."""


@dataclass
class Clock:
    up_ms: int = 1_000_000

    def __call__(self) -> Now:
        return Now(WALL_MS + self.up_ms, self.up_ms)


def spool_in(folder: Path, bytes_max: int = SPOOL_BYTES) -> Spool:
    made = Spool(folder / "spool", bytes_max, 2_000)
    made.open()
    return made


def publisher_in(folder: Path, clock: Clock | None = None) -> Publisher:
    """A publisher over the spool in this folder, whose tries do not wait longer than they must."""
    return Publisher(TARGET, clock or Clock(), spool_in(folder), BOOT, lambda: 0.0)
