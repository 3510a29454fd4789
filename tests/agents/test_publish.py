"""The publisher over a stand-in for the Kafka client: what waits, gives way, is stamped anew."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError

from agents import publish
from agents.clock import Now
from agents.integrate import report
from agents.publish import KEEP, Publisher, Target
from schemas.envelope import Key
from schemas.report import Report
from tests.agents.words import WALL_MS, counted, nic, reading

Delivered = Callable[[KafkaError | None, object], None]
TARGET = Target("t", "dev", Key("k1", "s1", bytes(32)), {"bootstrap.servers": "h:1"})


@dataclass
class Broker:
    """Every client that was made, what each was handed, and whether anything arrives."""

    error: KafkaError | None = None
    answers: bool = True
    arrived: list[dict[str, Any]] = field(default_factory=list)
    clients: int = 0
    config: dict[str, Any] = field(default_factory=dict)

    def client(self, config: dict[str, Any]) -> "Client":
        self.clients += 1
        self.config = config
        return Client(self)


@dataclass
class Client:
    broker: Broker
    queue: list[tuple[bytes, Delivered]] = field(default_factory=list)

    def produce(self, _topic: str, *, value: bytes, on_delivery: Delivered, **_: object) -> None:
        self.queue.append((value, on_delivery))

    def poll(self, _timeout: float) -> int:
        while self.queue and self.broker.answers:
            body, delivered = self.queue.pop(0)
            if self.broker.error is None:
                self.broker.arrived.append(json.loads(body))
            delivered(self.broker.error, None)
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


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(publish, "Producer", made.client)
    return made


def numbered_reports(count: int) -> list[Report]:
    origin = counted(reading(1000, nic(1)))
    made = [report(origin)]
    for seq in range(2, count + 1):
        origin = counted(reading(1000 * seq, nic(seq)), origin=origin)
        made.append(report(origin))
    return made


def seqs(broker: Broker) -> list[int]:
    return [body["seq"] for body in broker.arrived]


def test_what_metering_rests_on_is_not_open_to_configuration(broker: Broker) -> None:
    bold: dict[str, str | bool] = {
        "enable.idempotence": False,
        "partitioner": "random",
        "client.id": "mine",
    }
    Publisher(Target("t", "dev", TARGET.key, {**TARGET.kafka, **bold}), Clock())
    assert broker.config["enable.idempotence"] is True
    assert broker.config["partitioner"] == "murmur2_random"
    assert broker.config["client.id"] == "mine"


def test_reports_arrive_in_order(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    for one in numbered_reports(3):
        publisher.offer(one)
    assert publisher.flush(2_000_000, lambda: False)
    assert seqs(broker) == [1, 2, 3]
    assert publisher.unsent == 0


def test_the_sending_stamp_is_of_the_try_that_arrived(broker: Broker) -> None:
    clock = Clock()
    publisher = Publisher(TARGET, clock)
    broker.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    publisher.offer(numbered_reports(1)[0])
    for _ in range(3):
        clock.up_ms += 10_000
        publisher.pump()
    broker.error = None
    clock.up_ms += 10_000
    publisher.pump()
    clock.up_ms += 1
    publisher.pump()
    (body,) = broker.arrived
    assert body["sent_up_ms"] >= 1_030_000
    assert (body["seq"], body["at_up_ms"]) == (1, 1000)


def test_a_client_that_gets_nothing_through_is_replaced(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    broker.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    for one in numbered_reports(3):
        publisher.offer(one)
    publisher.pump()
    publisher.pump()
    broker.error = None
    publisher.flush(2_000_000, lambda: False)
    assert broker.clients > 1
    assert seqs(broker) == [1, 2, 3]


def test_other_failures_keep_the_client(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    broker.error = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)
    publisher.offer(numbered_reports(1)[0])
    publisher.pump()
    broker.error = None
    publisher.flush(2_000_000, lambda: False)
    assert broker.clients == 1
    assert seqs(broker) == [1]


def test_the_newest_are_kept_and_the_oldest_give_way(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    broker.answers = False
    many = numbered_reports(KEEP + 30)
    for one in many:
        publisher.offer(one)
    assert publisher.unsent == KEEP
    broker.answers = True
    publisher.flush(2_000_000, lambda: False)
    assert seqs(broker) == [1, *range(32, KEEP + 31)], "the first was already under way"


def test_an_earlier_boots_report_is_stamped_on_that_boots_clock(broker: Broker) -> None:
    """It was read at 1 s of that boot; 999 s of wall clock have gone by since."""
    publisher = Publisher(TARGET, Clock())
    publisher.offer(numbered_reports(1)[0], this_boot=False)
    publisher.flush(2_000_000, lambda: False)
    assert broker.arrived[0]["sent_up_ms"] == 1000 + 999_000


def test_stopping_is_bounded_and_can_be_cut_short(broker: Broker) -> None:
    clock = Clock()
    publisher = Publisher(TARGET, clock)
    broker.answers = False
    publisher.offer(numbered_reports(1)[0])
    assert not publisher.flush(clock.up_ms + 5000, lambda: True)
    assert publisher.flush(clock.up_ms, lambda: False), "the time is over"
    assert publisher.unsent == 1
