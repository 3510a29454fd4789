"""`rackmeter topics` on both brokers: what it makes is sound, what is there is not touched."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from rackmeter.settings import load_settings
from rackmeter.topic_plan import plan
from rackmeter.topic_rules import about, about_reports
from rackmeter.topics import Topic, describe_topics, missing_topics
from tests.fix_kafka import Broker
from tests.fix_worker import Scene
from tests.kafka.server import Kafka

DAY_MS = 86_400_000


@pytest.fixture
def scene(broker: Broker, tmp_path: Path) -> Scene:
    """Topics that are not there yet."""
    return Scene(broker.bootstrap, "postgresql://nowhere/db", f"c{uuid4().hex[:8]}.", tmp_path)


def topics(scene: Scene, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", "topics", *arguments, "--json"],
        env=dict(scene.environment), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def names(scene: Scene) -> list[str]:
    return [scene.reports, scene.changed, scene.dead]


def test_they_are_made_once_and_looked_at_before(scene: Scene) -> None:
    code, planned = topics(scene, "create", "--retention", "14d", "--dry-run")
    assert (code, planned["dry_run"]) == (0, True)
    assert missing_topics(scene.bootstrap, names(scene)) == names(scene)
    code, done = topics(scene, "create", "--retention", "14d")
    assert (code, done["made"], done["kept"]) == (0, planned["made"], {})
    code, again = topics(scene, "create", "--retention", "14d")
    assert (code, again["made"], [*again["kept"]]) == (0, [], names(scene))


def test_what_is_made_is_what_was_planned(scene: Scene, broker: Broker) -> None:
    _, done = topics(scene, "create", "--retention", "14d")
    found = describe_topics(scene.bootstrap, names(scene))
    assert [*found] == names(scene)
    for made in done["made"]:
        topic = found[made["name"]]
        assert (topic.partitions, topic.replicas) == (made["partitions"], 1)
        shown = {name: topic.config.get(name) for name in made["config"]}
        if not broker.embedded:  # it keeps only some of what it is told
            assert shown == made["config"]
    code, looked = topics(scene, "show")
    assert code == 0
    if not broker.embedded:
        assert [one["retention_ms"] for one in looked["topics"]] == [
            14 * DAY_MS, DAY_MS, 14 * DAY_MS,
        ]  # fmt: skip


def test_show_names_what_is_missing(scene: Scene) -> None:
    code, shown = topics(scene, "show")
    assert code == 0
    assert [one["advice"] for one in shown["topics"]] == [
        ["is not there: `rackmeter topics create`"]
    ] * 3


def test_too_short_a_retention_is_refused(scene: Scene) -> None:
    code, done = topics(scene, "create", "--retention", "48h")
    assert code == 2
    assert "--retention is 48h" in done["error"]["message"]


def test_a_topic_that_would_lose_reports_stops_everything(kafka: Kafka, tmp_path: Path) -> None:
    scene = Scene(kafka.bootstrap, "postgresql://nowhere/db", f"c{uuid4().hex[:8]}.", tmp_path)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
    for made in admin.create_topics([NewTopic(scene.reports, 2, config=config)]).values():
        made.result()
    code, done = topics(scene, "create")
    assert code == 2
    assert done["error"]["message"].startswith("Nothing was made. topic")
    assert "retention.ms is 3600000" in done["error"]["message"]
    assert missing_topics(scene.bootstrap, names(scene)) == [scene.changed, scene.dead]


def test_a_topic_that_merely_differs_stays(kafka: Kafka, tmp_path: Path) -> None:
    scene = Scene(kafka.bootstrap, "postgresql://nowhere/db", f"c{uuid4().hex[:8]}.", tmp_path)
    assert topics(scene, "create", "--retention", "14d")[0] == 0
    code, done = topics(scene, "create", "--retention", "7d")
    assert (code, done["made"]) == (0, [])
    assert done["kept"][scene.reports] == ["retention.ms 1209600000, not 604800000"]


@pytest.mark.parametrize(
    ("brokers", "asked", "replicas", "in_sync"),
    [(1, None, 1, "1"), (2, None, 2, "1"), (3, None, 3, "2"), (9, None, 3, "2"), (3, 1, 1, "1")],
)
def test_how_many_replicas(brokers: int, asked: int | None, replicas: int, in_sync: str) -> None:
    for one in plan(load_settings(), brokers, 7 * DAY_MS, asked):
        assert (one.replicas, one.config["min.insync.replicas"]) == (replicas, in_sync)


def test_the_plan_for_three_brokers_needs_no_advice() -> None:
    settings = load_settings()
    reports, *_ = plan(settings, 3, 7 * DAY_MS, None)
    made = Topic(reports.name, reports.partitions, uuid4(), "c", reports.config, reports.replicas)
    assert [*about(made), *about_reports(made, settings.partitions)] == []
