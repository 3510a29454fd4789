"""The publisher over a stand-in for the Kafka client: what waits, gives way, is stamped anew."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from agents import publish
from agents.frames import Waiting
from agents.integrate import report
from agents.publish import Publisher, Target
from schemas.report import Report
from tests.agents.broker import BOOT, TARGET, Broker, Clock, publisher_in, spool_in
from tests.agents.words import counted, nic, reading


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


def test_what_metering_rests_on_is_fixed(broker: Broker, tmp_path: Path) -> None:
    bold: dict[str, str | bool] = {
        "enable.idempotence": False,
        "partitioner": "random",
        "client.id": "mine",
    }
    target = Target("t", "dev", TARGET.key, {**TARGET.kafka, **bold})
    Publisher(target, Clock(), spool_in(tmp_path), BOOT)
    assert broker.config["enable.idempotence"] is True
    assert broker.config["partitioner"] == "murmur2_random"
    assert broker.config["client.id"] == "mine"


def test_reports_arrive_in_order(broker: Broker, tmp_path: Path) -> None:
    publisher = publisher_in(tmp_path)
    for one in numbered_reports(3):
        publisher.offer(Waiting(one, BOOT))
    assert publisher.flush(2_000_000, lambda: False)
    assert seqs(broker) == [1, 2, 3]
    assert publisher.unsent == 0


def test_the_sending_stamp_is_of_the_try_that_arrived(broker: Broker, tmp_path: Path) -> None:
    clock = Clock()
    publisher = publisher_in(tmp_path, clock)
    broker.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    publisher.offer(Waiting(numbered_reports(1)[0], BOOT))
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


def test_a_client_that_gets_nothing_through_is_replaced(broker: Broker, tmp_path: Path) -> None:
    publisher = publisher_in(tmp_path)
    broker.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    for one in numbered_reports(3):
        publisher.offer(Waiting(one, BOOT))
    publisher.pump()
    publisher.pump()
    broker.error = None
    publisher.flush(2_000_000, lambda: False)
    assert len(broker.clients) > 1
    assert seqs(broker) == [1, 2, 3]


def test_other_failures_keep_the_client(broker: Broker, tmp_path: Path) -> None:
    publisher = publisher_in(tmp_path)
    broker.error = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)
    publisher.offer(Waiting(numbered_reports(1)[0], BOOT))
    publisher.pump()
    broker.error = None
    publisher.flush(2_000_000, lambda: False)
    assert len(broker.clients) == 1
    assert seqs(broker) == [1]


def test_delivered_is_what_the_broker_acknowledged(broker: Broker, tmp_path: Path) -> None:
    publisher = publisher_in(tmp_path)
    first, second, third = numbered_reports(3)
    publisher.offer(Waiting(replace(second, origin="former")))
    publisher.offer(Waiting(first, BOOT))
    publisher.flush(2_000_000, lambda: False)
    assert publisher.delivered == {"former": 2, "o1": 1}
    broker.error, broker.keeps = KafkaError(KafkaError._MSG_TIMED_OUT), True
    publisher.offer(Waiting(second, BOOT))
    publisher.pump()
    assert publisher.delivered == {"former": 2, "o1": 1}, "it arrived, and nobody here knows"
    broker.error = None
    publisher.offer(Waiting(third, BOOT))
    publisher.flush(2_000_000, lambda: False)
    assert publisher.delivered == {"former": 2, "o1": 3}


def test_an_earlier_boots_report_has_that_boots_clock(broker: Broker, tmp_path: Path) -> None:
    """It was read at 1 s of that boot; 999 s of wall clock have gone by since."""
    publisher = publisher_in(tmp_path)
    publisher.offer(Waiting(numbered_reports(1)[0]))
    publisher.flush(2_000_000, lambda: False)
    assert broker.arrived[0]["sent_up_ms"] == 1000 + 999_000


def test_stopping_is_bounded_and_can_be_cut_short(broker: Broker, tmp_path: Path) -> None:
    clock = Clock()
    publisher = publisher_in(tmp_path, clock)
    broker.answers = False
    publisher.offer(Waiting(numbered_reports(1)[0], BOOT))
    assert not publisher.flush(clock.up_ms + 5000, lambda: True)
    assert publisher.flush(clock.up_ms, lambda: False), "the time is over"
    assert publisher.unsent == 1


def test_one_report_at_a_time_live_and_a_segment_in_catching_up(
    broker: Broker, tmp_path: Path
) -> None:
    publisher = publisher_in(tmp_path)
    broker.answers = False
    many = numbered_reports(250)
    for one in many:
        publisher.offer(Waiting(one, BOOT))
    (client,) = broker.clients
    assert len(client.queue) == 1, "the rest waits for what is under way"
    broker.answers = True
    publisher.pump()
    assert len(client.queue) == 249
    publisher.flush(2_000_000, lambda: False)
    assert seqs(broker) == [*range(1, 251)]
    assert [*(tmp_path / "spool").iterdir()] == [], "what the broker has leaves the spool"


def test_tries_wait_longer_each_time_up_to_half_a_minute(broker: Broker, tmp_path: Path) -> None:
    clock = Clock()
    publisher = publisher_in(tmp_path, clock)
    broker.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    publisher.offer(Waiting(numbered_reports(1)[0], BOOT))
    tries = []
    for _ in range(3000):
        before = len(broker.clients[-1].queue)
        publisher.pump()
        if len(broker.clients[-1].queue) > before:
            tries.append(clock.up_ms)
        clock.up_ms += 100
    gaps = [later - one for one, later in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 2_000, "half of it: chance is at its least here"
    assert 14_000 < gaps[-1] <= 15_200


def test_reports_of_another_server_are_not_signed(broker: Broker, tmp_path: Path) -> None:
    """Their key is not here; they would be refused as forged."""
    publisher = publisher_in(tmp_path)
    mine, *_ = numbered_reports(1)
    publisher.offer(Waiting(replace(mine, server="s2"), BOOT))
    publisher.offer(Waiting(mine, BOOT))
    publisher.flush(2_000_000, lambda: False)
    assert [body["server"] for body in broker.arrived] == ["s1"]
    assert (publisher.foreign, publisher.unsent) == (1, 0)


def test_another_key_signs_what_waits(broker: Broker, tmp_path: Path) -> None:
    publisher = publisher_in(tmp_path)
    broker.answers = False
    publisher.offer(Waiting(numbered_reports(1)[0], BOOT))
    publisher.retarget(replace(TARGET, kafka={"bootstrap.servers": "other:1"}))
    publisher.pump()
    broker.answers = True
    publisher.flush(2_000_000, lambda: False)
    assert (len(broker.clients), broker.config["bootstrap.servers"]) == (2, "other:1")
    assert seqs(broker) == [1]
