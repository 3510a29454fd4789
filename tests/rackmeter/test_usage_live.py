"""Offline is live: the same messages through a file and through a broker and a worker, to the byte.

Two seeds; ``RACKMETER_SEEDS=20`` tries twenty.
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from rackmeter import tape
from rackmeter.capture import read_capture, write_capture
from rackmeter.cli import main as cli
from rackmeter.errors import ConfigError, DependencyError
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.audit import audit
from rackmeter.fleet.audit_csv import audit_csv
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import Place as Address
from rackmeter.kafka import Cluster
from rackmeter.stack import Stack
from rackmeter.topics import create_topics
from schemas.capture import Captured
from sinks.database import Connection, connect
from sinks.keys import register
from tests.fix_kafka import Broker
from tests.fix_stack import MakeDatabase
from tests.fix_worker import ENVIRONMENT, PARTITIONS, START_MS, Scene, offsets, wait_for, worker
from tests.kafka.server import Kafka
from tests.vault import VAULT

HOUR_MS = 3_600_000
SEEDS = range(int(os.environ.get("RACKMETER_SEEDS", "2")))


def rackmeter(scene: Scene, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in the environment of the scene's worker."""
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, env=scene.environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def simulated(scene: Scene, seed: int) -> Log:
    """Four hours with everything that can go wrong. The embedded broker stamps nothing itself."""
    plan = FleetPlan(
        seed, ALL_AT_ONCE, START_MS, START_MS + 4 * HOUR_MS, mishaps=3, adversities=ALL
    )
    return simulate(plan, Address(ENVIRONMENT, scene.reports), by_broker=False)


def metered(scene: Scene, conn: Connection, count: int) -> None:
    with worker(scene) as running:
        wait_for(lambda: sum(offsets(conn)) >= count, f"{count} messages metered", seconds=120)
        assert running.stop() == 0
    assert sum(offsets(conn)) == count


def by_key(messages: Sequence[Captured]) -> dict[bytes | None, list[object]]:
    """What must not change between a file, a topic and a file: all but the place."""
    found: dict[bytes | None, list[object]] = {}
    for one in messages:
        found.setdefault(one.key, []).append((one.ts_ms, one.headers, one.value, one.ts_type))
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)  # a worker and seven commands, on a machine that may be busy
@pytest.mark.parametrize("seed", SEEDS)
def test_offline_and_live_give_the_same_bytes_and_both_are_true(
    seed: int, stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    scene = Scene.new(stack.bootstrap, make_database(billing_template), tmp_path / "run")
    log = simulated(scene, seed)
    sent, captured = tmp_path / "sent.ndjson", tmp_path / "captured.ndjson.gz"
    write_capture(sent, log.messages)
    with connect(scene.url, autocommit=True) as conn:
        register(conn, VAULT, log.keys)
        rackmeter(scene, "usage", "replay", sent)
        metered(scene, conn, len(log.messages))
        rackmeter(scene, "usage", "capture", "--out", captured)
        assert by_key(list(read_capture(captured))) == by_key(log.messages)
        rackmeter(scene, "usage", "export", "--out", tmp_path / "ledger.csv")
        counts = [
            json.loads(
                rackmeter(
                    scene, "usage", "meter", path, "--ledger-keys", "--json",
                    "--ledger", path.with_suffix(".csv"),
                ).stdout
            )
            for path in (sent, captured)
        ]  # fmt: skip
        live = (tmp_path / "ledger.csv").read_bytes()
        assert sent.with_suffix(".csv").read_bytes() == live
        assert captured.with_suffix(".csv").read_bytes() == live
        assert counts[0] == counts[1]
        assert counts[0]["reports"] == log.truth.reports
        assert counts[0]["clock_corrected"] == log.truth.corrected
        found = [audit(conn, log.truth), audit_csv(tmp_path / "ledger.csv", log.truth)]
        assert [one.differences for one in found] == [(), ()]
        assert_servers_apart(scene, live)


def assert_servers_apart(scene: Scene, whole: bytes) -> None:
    """The export of one server is its part of the whole; it goes to stdout without a file."""
    rows = list(csv.reader(whole.decode().splitlines()))
    server = rows[len(rows) // 2][0]
    shown = rackmeter(scene, "usage", "export", "--server", server).stdout
    assert list(csv.reader(shown.splitlines())) == [rows[0], *(r for r in rows if r[0] == server)]


# --- topics ---------------------------------------------------------------------------------------


@pytest.fixture
def topic(broker: Broker, topic_prefix: str) -> str:
    """With the time stamps of producers, however old."""
    name = f"{topic_prefix}{broker.name}.tape"
    config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    create_topics(broker.bootstrap, {name: PARTITIONS}, config)
    return name


ODD = [
    Captured(b"s1", 1_000, (("a", b"1"), ("a", None), ("b", b"\xff")), b"one"),
    Captured(b"s1", 1_000, (), b""),
    Captured(b"s2", 999, (), None),
    Captured(b"\xff", 5_000, (), b"\x00\xff"),
    *(Captured(b"s%d" % (i % 7), 6_000 + i, (), b"%d" % i) for i in range(3_000)),
]


def test_what_is_sent_is_captured(broker: Broker, topic: str) -> None:
    where = Cluster(broker.bootstrap)
    assert tape.replay(ODD, where, topic) == len(ODD)
    found = list(tape.capture(where, topic))
    assert [one.place.offset for one in found if one.place and one.place.part == 0] == list(
        range(sum(one.place is not None and one.place.part == 0 for one in found))
    )
    stamped = [Captured(o.key, o.ts_ms, o.headers, o.value, 0) for o in ODD]
    assert by_key(found) == by_key(stamped)
    assert tape.replay(found, where, topic) == len(ODD), "and sent to where they lay"
    again = list(tape.capture(where, topic))
    assert [o.value for o in again if o.place and o.place.part == 1] == [
        o.value for o in found if o.place and o.place.part == 1
    ] * 2


def test_a_part_of_a_topic(broker: Broker, topic: str) -> None:
    where = Cluster(broker.bootstrap)
    tape.replay(ODD, where, topic)
    found = list(tape.capture(where, topic, {0: 5, 1: 10}, {0: 8, 1: 10}))
    places = [one.place for one in found if one.place]
    assert [(place.part, place.offset) for place in places] == [(0, 5), (0, 6), (0, 7)]
    whole = list(tape.capture(where, topic))
    assert list(tape.capture(where, topic, {0: 5})) == whole[5:]


def test_an_empty_topic(broker: Broker, topic: str) -> None:
    assert list(tape.capture(Cluster(broker.bootstrap), topic)) == []


def test_what_a_transaction_left_is_read_as_workers_read_it(broker: Broker, topic: str) -> None:
    """Committed or not, and markers take up offsets; the end is a marker."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"t-{topic}"})
    producer.init_transactions(15)
    ends = {b"kept": producer.commit_transaction, b"gone": producer.abort_transaction}
    for value, end in ends.items():
        producer.begin_transaction()
        producer.produce(topic, value, b"s", 0)
        producer.flush(15)
        end(15)
    assert [one.value for one in tape.capture(Cluster(broker.bootstrap), topic)] == [
        b"kept",
        b"gone",
    ]


def test_mistakes_end_in_a_sentence(broker: Broker, topic: str) -> None:
    where = Cluster(broker.bootstrap)
    with pytest.raises(DependencyError, match=r"no-such-topic|[Uu]nknown topic"):
        list(tape.capture(where, topic + "no-such-topic"))
    with pytest.raises(ConfigError, match=f"Topic {topic} has no partition 2: it has 2"):
        list(tape.capture(where, topic, {2: 0}))
    with pytest.raises(ConfigError, match="Message 2 has ts_ms 0: no time stamp to send"):
        tape.replay([ODD[0], Captured(b"s", 0, (), b"x")], where, topic)
    if not broker.embedded:  # which answers nothing at all
        with pytest.raises(ConfigError, match=f"Partition 0 of {topic} has no offset 1000"):
            list(tape.capture(where, topic, {0: 1_000}))


def test_a_message_that_the_broker_does_not_take(broker: Broker, topic: str) -> None:
    huge = Captured(b"s", 1_000, (), bytes(tape.MESSAGE_BYTES_MAX + 1))
    with pytest.raises(DependencyError, match="did not take message 2 of the capture"):
        tape.replay([ODD[0], huge, ODD[1]], Cluster(broker.bootstrap), topic)
    assert len(list(tape.capture(Cluster(broker.bootstrap), topic))) <= 1


def test_the_time_stamps_of_the_broker_are_captured_as_its_own(
    kafka: Kafka, topic_prefix: str
) -> None:
    """A replay into such a topic is dated by the replay."""
    where, name = Cluster(kafka.bootstrap), topic_prefix + "append"
    create_topics(kafka.bootstrap, {name: 1})
    began_ms = time.time_ns() // 1_000_000
    tape.replay(ODD[:9], where, name)
    found = list(tape.capture(where, name))
    assert {one.ts_type for one in found} == {1}
    assert all(one.ts_ms >= began_ms for one in found)


MISTAKES = {
    "--from is 1; write PARTITION:OFFSET": ("--from", "1"),
    "--to is 0:x; write PARTITION:OFFSET": ("--to", "0:x"),
    "--from names partition 0 twice": ("--from", "0:1", "--from", "0:2"),
    "kafka_bootstrap is 'here'": ("--bootstrap", "here"),
    "Which broker?": (),
}


@pytest.mark.parametrize(("sentence", "arguments"), MISTAKES.items())
def test_mistakes_of_a_capture(
    sentence: str, arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = () if "--bootstrap" in arguments or not arguments else ("--bootstrap", "127.0.0.1:1")
    folder = ("--data-dir", str(tmp_path))
    out = ("--out", str(tmp_path / "m"))
    assert cli.run(["usage", "capture", *out, *folder, *where, *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
