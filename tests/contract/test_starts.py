"""Starts that must be refused on both brokers, because going on would skip or repeat reports."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rackmeter.topics import create_topics, missing_topics
from sinks.database import connect
from sinks.positions import TopicIdentity, register_topic
from tests.fix_kafka import Broker
from tests.fix_stack import MakeDatabase
from tests.fix_worker import PARTITIONS, Scene, wait_for, worker

REFUSED = 5


def one_sentence(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("rackmeter: ")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


def known(scene: Scene, next_offset: int = 0) -> None:
    """The ledger was fed from this topic up to an offset."""
    scene.make_topics()
    found = create_topics(scene.bootstrap, {scene.reports: PARTITIONS})[scene.reports]
    assert found.topic_id is not None
    identity = TopicIdentity(
        found.topic_id, found.cluster_id, found.name, found.partitions, found.timestamp_type
    )
    with connect(scene.url) as conn:
        register_topic(conn, identity, accept_new=False)
        conn.execute("UPDATE ingest_offset SET next_offset = %s", (next_offset,))
        conn.commit()


def fill(scene: Scene) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap})
    for number in range(20):
        producer.produce(scene.reports, b"x", partition=number % PARTITIONS)
    assert producer.flush(20) == 0


def made_again(scene: Scene) -> None:
    known(scene)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    for deleted in admin.delete_topics([scene.reports]).values():
        deleted.result()
    wait_for(lambda: missing_topics(scene.bootstrap, [scene.reports]), "the end of a topic")
    scene.make_topics()


def overtaken_by_retention(scene: Scene) -> None:
    known(scene, next_offset=3)
    fill(scene)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    removed = [TopicPartition(scene.reports, part, 7) for part in range(PARTITIONS)]
    for future in admin.delete_records(removed).values():
        future.result()


def shorter_than_the_ledger(scene: Scene) -> None:
    known(scene, next_offset=1000)
    fill(scene)


STARTS: dict[str, tuple[Callable[[Scene], None], str]] = {
    "a topic that was made again": (made_again, "is another one than the ledger was fed from"),
    "a log that retention overtook": (
        overtaken_by_retention, "the log begins at 7: retention removed reports",
    ),
    "a log that is shorter": (shorter_than_the_ledger, "which the log does not have"),
}  # fmt: skip
KAFKA_ONLY = {"a log that retention overtook"}
"""The embedded broker keeps everything and refuses to delete records."""


def test_starts_that_would_skip_or_repeat_are_refused_in_one_sentence(
    broker: Broker, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """All at once, for each of them waits for something."""
    blank = Scene(broker.bootstrap, "", "", tmp_path)
    with contextlib.ExitStack() as stack:
        failing = {}
        for name, (prepare, _) in STARTS.items():
            if broker.embedded and name in KAFKA_ONLY:
                continue
            url = make_database(billing_template)
            scene = replace(blank, url=url, prefix=f"r{uuid4().hex[:8]}.")
            prepare(scene)
            failing[name] = stack.enter_context(worker(scene))
        for name, process in failing.items():
            assert process.process.wait(90) == REFUSED, process.said()
            assert STARTS[name][1] in one_sentence(process.said())
