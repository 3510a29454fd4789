"""What the doctor says of topics, on a real Apache Kafka, and the rules behind it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from rackmeter.topic_rules import Advice, about, about_lag, about_reports
from rackmeter.topics import Topic
from sinks.database import connect
from sinks.roles import apply_roles
from tests.contract.test_starts import known, made_again, overtaken_by_retention
from tests.fix_worker import PARTITIONS, Scene
from tests.kafka.server import Kafka

DAY_MS = 86_400_000
SOUND = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": str(7 * DAY_MS),
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}


def topic(replicas: int = 3, partitions: int = 4, **changes: str) -> Topic:
    config = {**SOUND, **{name.replace("_", "."): value for name, value in changes.items()}}
    return Topic("usage.reports", partitions, uuid4(), "cluster", config, replicas)


RULES: dict[str, tuple[Topic, str, int]] = {
    "compacted": (topic(cleanup_policy="compact,delete"), "cleanup.policy is compact", 2),
    "dated by producers": (
        topic(message_timestamp_type="CreateTime"), "message.timestamp.type is CreateTime", 2,
    ),
    "kept for a day": (topic(retention_ms=str(DAY_MS)), r"retention.ms is 86400000 \(1 days\)", 2),
    "bounded by size": (topic(retention_bytes="1000000"), "retention.bytes is 1000000", 0),
    "too small for a report": (topic(max_message_bytes="100000"), "large reports are refused", 2),
    "too large to hold": (topic(max_message_bytes="104857600"), "hold such a message whole", 0),
    "another count": (topic(partitions=5), "5 partitions and RACKMETER_PARTITIONS is 4", 2),
    "one replica": (topic(replicas=1), "it has one replica", 0),
    "one in sync": (topic(min_insync_replicas="1"), "min.insync.replicas is 1", 0),
    "an unclean leader": (
        topic(unclean_leader_election_enable="true"), "a broker that missed messages", 0,
    ),
}  # fmt: skip


def advice(one: Topic) -> list[Advice]:
    return [*about(one), *about_reports(one, 4)]


@pytest.mark.parametrize("case", RULES)
def test_each_rule_says_what_to_set(case: str) -> None:
    made, sentence, exit_code = RULES[case]
    [found] = advice(made)
    assert found.exit_code == exit_code
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found.text)


@pytest.mark.parametrize(
    "made", [topic(), topic(retention_ms="-1"), topic(retention_ms="259200000")]
)
def test_a_sound_topic_needs_no_advice(made: Topic) -> None:
    assert advice(made) == []


@pytest.mark.parametrize(
    ("behind_days", "kept_days", "said"), [(3, 7, False), (4, 7, True), (400, -1, False)]
)
def test_a_partition_that_retention_may_overtake(
    behind_days: int, kept_days: int, said: bool
) -> None:
    kept_ms = kept_days * DAY_MS if kept_days > 0 else -1
    assert bool(list(about_lag(1, behind_days * DAY_MS, kept_ms))) is said


# -- on a broker -----------------------------------------------------------------------------------


@pytest.fixture
def scene(kafka: Kafka, billing_url: str, tmp_path: Path) -> Scene:
    with connect(billing_url) as conn:
        apply_roles(conn)  # what a copied database lacks
    return Scene(kafka.bootstrap, billing_url, f"d{uuid4().hex[:8]}.", tmp_path)


def doctor(scene: Scene, **environment: str) -> tuple[int, dict[str, list[Mapping[str, object]]]]:
    """The exit code, and what was found by check."""
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", "doctor", "--json"],
        env={**os.environ, **scene.environment, **environment},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    found: dict[str, list[Mapping[str, object]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["check"], []).append(one)
    return done.returncode, found


def sentences(found: dict[str, list[Mapping[str, object]]], name: str) -> str:
    return "\n".join(str(one["found"]) for one in found[f"topic {name}"])


def test_topics_that_a_worker_made_are_sound(scene: Scene) -> None:
    """But for the replicas of a single node, which are warned of."""
    known(scene)
    _, found = doctor(scene)
    wrong = {check for check, ones in found.items() for one in ones if one["exit_code"]}
    assert wrong == {"workers"}  # who claimed the partitions is gone
    assert sentences(found, scene.reports).startswith("2 partitions, replication 1, kept 7 days\n")
    assert [one["warning"] for one in found[f"topic {scene.reports}"]] == [False, True]


def test_topics_that_are_not_there_yet(scene: Scene) -> None:
    exit_code, found = doctor(scene)
    assert exit_code == 0
    assert "is not there yet" in sentences(found, scene.reports)


def test_a_topic_that_is_set_otherwise(scene: Scene) -> None:
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    config = {"retention.ms": "3600000", "cleanup.policy": "compact"}
    for made in admin.create_topics([NewTopic(scene.reports, 3, config=config)]).values():
        made.result()
    exit_code, found = doctor(scene)
    assert exit_code == 2
    said = sentences(found, scene.reports)
    for word in ("compact", f"RACKMETER_PARTITIONS is {PARTITIONS}", "CreateTime", "3600000"):
        assert word in said


def test_a_topic_that_was_made_again(scene: Scene) -> None:
    made_again(scene)
    exit_code, found = doctor(scene)
    assert exit_code == 5
    assert "is another one than the ledger was fed from" in sentences(found, scene.reports)


def test_a_log_that_retention_overtook(scene: Scene) -> None:
    overtaken_by_retention(scene)
    exit_code, found = doctor(scene)
    assert exit_code == 5
    assert "the log begins at 7: retention removed" in sentences(found, scene.reports)


def test_a_broker_that_does_not_answer(scene: Scene) -> None:
    exit_code, found = doctor(scene, RACKMETER_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert exit_code == 4
    assert "does not answer" in str(found["broker"][0]["found"])
