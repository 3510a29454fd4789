"""The publisher over a stand-in for the Kafka client: what waits, gives way, is stamped anew."""

from dataclasses import replace

import pytest
from confluent_kafka import KafkaError

from agents import publish
from agents.integrate import report
from agents.publish import KEEP, Publisher, Target
from schemas.report import Report
from tests.agents.broker import TARGET, Broker, Clock
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
    assert len(broker.clients) > 1
    assert seqs(broker) == [1, 2, 3]


def test_other_failures_keep_the_client(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    broker.error = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)
    publisher.offer(numbered_reports(1)[0])
    publisher.pump()
    broker.error = None
    publisher.flush(2_000_000, lambda: False)
    assert len(broker.clients) == 1
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


def test_an_earlier_boots_report_never_gives_way(broker: Broker) -> None:
    """No later report says what it says."""
    publisher = Publisher(TARGET, Clock())
    broker.answers = False
    last_words = [replace(numbered_reports(2)[1], origin=f"former-{boot}") for boot in range(3)]
    for one in last_words:
        publisher.offer(one, this_boot=False)
    for one in numbered_reports(KEEP + 10):
        publisher.offer(one)
    broker.answers = True
    publisher.flush(2_000_000, lambda: False)
    origins = [body["origin"] for body in broker.arrived]
    assert sorted(set(origins)) == ["former-0", "former-1", "former-2", "o1"]
    assert len(origins) == KEEP, "of this boot's, some gave way"


def test_delivered_is_what_the_broker_acknowledged_of_each_origin(broker: Broker) -> None:
    publisher = Publisher(TARGET, Clock())
    first, second, third = numbered_reports(3)
    publisher.offer(replace(second, origin="former"), this_boot=False)
    publisher.offer(first)
    publisher.flush(2_000_000, lambda: False)
    assert publisher.delivered == {"former": 2, "o1": 1}
    broker.error, broker.keeps = KafkaError(KafkaError._MSG_TIMED_OUT), True
    publisher.offer(second)
    publisher.pump()
    assert publisher.delivered == {"former": 2, "o1": 1}, "it arrived, and nobody here knows"
    broker.error = None
    publisher.offer(third)
    publisher.flush(2_000_000, lambda: False)
    assert publisher.delivered == {"former": 2, "o1": 3}


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
