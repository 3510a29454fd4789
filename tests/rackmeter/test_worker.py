"""Real workers on the real embedded broker and PostgreSQL: bad input, kills, restarts, shutdown.

A group join takes half a session of 6 s on the embedded broker, so one worker plays several
scenes.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from rackmeter.stack import Stack
from sinks.database import Connection, connect
from sinks.positions import TopicIdentity, register_topic
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    PARTITIONS,
    Fleet,
    Scene,
    Worker,
    append_times,
    assert_exact,
    metered,
    offsets,
    read_letters,
    wait_for,
    worker,
)

SERVERS = tuple(f"s{i}" for i in range(8))


@pytest.fixture(scope="module")
def scene(
    stack: Stack,
    make_database: MakeDatabase,
    billing_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder = tmp_path_factory.mktemp("worker")
    return Scene.new(stack.bootstrap, make_database(billing_template), folder)


@pytest.fixture(scope="module")
def running(scene: Scene) -> Iterator[Worker]:
    with worker(scene) as process:
        yield process


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def fleet(scene: Scene) -> Iterator[Fleet]:
    with connect(scene.url, autocommit=True) as connection:
        made = Fleet(scene, connection)
        made.enrol(*SERVERS)
        yield made


def caught_up(conn: Connection, fleet: Fleet) -> None:
    wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
    assert_exact(conn, fleet)


# -- one worker, several scenes --------------------------------------------------------------------


@pytest.mark.usefixtures("running")
def test_honest_reports_are_metered(conn: Connection, fleet: Fleet) -> None:
    fleet.report(*SERVERS, times=20)
    caught_up(conn, fleet)


@pytest.mark.usefixtures("running")
def test_bad_reports_end_in_the_dead_letter_topic_and_the_rest_is_metered(
    conn: Connection, fleet: Fleet, scene: Scene
) -> None:
    """Each bad one stands between two good ones of the same chunk."""
    good = SERVERS[0].encode()
    fleet.send(fleet.next("s0"))
    fleet.produce(value=b'{"v":1,"server":"s0"', key=good, headers=[])
    fleet.send(fleet.next("s0"))
    fleet.send(fleet.lie("s0", seq=900, value=(10**9,)), headers=[])
    fleet.send(fleet.lie("s0", seq=901, value=(10**9,)), headers=[("kid", b"k-s0"), ("sig", b"x")])
    fleet.send(fleet.lie("s0", seq=902, value=(10**9,)), key=b"s1")
    fleet.send(fleet.next("s0"))
    fleet.send(fleet.lie("s0"))
    fleet.send(fleet.lie("s0", seq=903, value=(1,)))
    fleet.send(fleet.lie("s0", seq=904, value=(2**61,)))
    fleet.produce(value=b"j" * 1_000_000, key=good, headers=[])
    fleet.send(fleet.next("s0"))
    fleet.report(*SERVERS, times=3)
    letters = read_letters(scene, 8)
    assert sorted(letter["dlq_reason"] for letter in letters) == [
        "conflict", "foreign", "forged", "implausible", "malformed", "malformed", "regression",
        "unsigned",
    ]  # fmt: skip
    caught_up(conn, fleet)
    for letter in letters:
        assert letter["dlq_topic"] == scene.reports
        assert letter["dlq_detail"]
        row = conn.execute(
            'SELECT reason, payload FROM dead_letter WHERE part = %s AND "offset" = %s',
            (letter["dlq_partition"], letter["dlq_offset"]),
        ).fetchone()
        assert row is not None
        assert row[0] == letter["dlq_reason"]
        assert row[1].startswith(letter.payload)
        assert (row[1] == letter.payload) is ("dlq_cut" not in letter.headers)
    assert sum("dlq_cut" in letter.headers for letter in letters) == 1
    counts = conn.execute("SELECT counts FROM ingest_offset").fetchall()
    assert sum(sum(row[0].values()) for row in counts) == sum(offsets(conn))


@pytest.mark.usefixtures("running")
def test_a_new_key_is_known_at_once(conn: Connection, fleet: Fleet) -> None:
    fleet.enrol("new")
    fleet.report("new", times=2)
    caught_up(conn, fleet)


def test_hints_of_strangers_harm_nobody(
    conn: Connection, fleet: Fleet, scene: Scene, running: Worker
) -> None:
    """Whoever may write to the topic of hints can neither stop the meter nor the rater."""
    for hint in (b"junk", b'{"v":1,"scope":"x\\u0000","append_ms":1,"at_ms":1}',
                 b'{"v":1,"scope":"x","append_ms":1,"at_ms":%d}' % 2**62,
                 b'{"v":1,"scope":"y","append_ms":1,"at_ms":%d}' % -(2**62)):  # fmt: skip
        fleet.produce(value=hint, key=b"x", headers=[], topic=scene.changed)
    fleet.flush()
    time.sleep(1.5)
    fleet.report(*SERVERS)
    caught_up(conn, fleet)
    assert running.process.poll() is None


@pytest.mark.usefixtures("running")
def test_markers_of_transactions_take_up_offsets(
    conn: Connection, fleet: Fleet, scene: Scene
) -> None:
    """A producer that uses transactions leaves holes in the log; nobody's partition stops."""
    plain = fleet._producer
    transactional = Producer(
        {
            "bootstrap.servers": scene.bootstrap,
            "transactional.id": f"t-{scene.prefix}",
            "partitioner": "murmur2_random",
        }
    )
    transactional.init_transactions(15)
    fleet._producer = transactional
    transactional.begin_transaction()
    fleet.report(*SERVERS)
    transactional.commit_transaction(15)
    caught_up(conn, fleet)
    fleet._producer = plain
    fleet.report(*SERVERS)
    caught_up(conn, fleet)
    counts = conn.execute("SELECT counts FROM ingest_offset").fetchall()
    assert sum(sum(row[0].values()) for row in counts) < sum(offsets(conn)), "there were markers"


@pytest.mark.usefixtures("running")
def test_idle_partitions_say_that_they_are_complete(conn: Connection) -> None:
    """The close of a period waits for it: nothing arrives, and yet the time moves on."""
    for _ in range(2):
        before = max(append_times(conn))
        wait_for(lambda at=before: min(append_times(conn)) > at, "later append time")  # type: ignore[misc]
    assert max(append_times(conn)) <= time.time_ns() // 1_000_000


def test_postgresql_goes_and_comes_back(
    conn: Connection, fleet: Fleet, scene: Scene, stack: Stack, running: Worker
) -> None:
    conn.close()
    fleet.report(*SERVERS, times=10)
    stack.restart_postgres()
    fleet.report(*SERVERS, times=10)
    with connect(scene.url, autocommit=True) as again:
        caught_up(again, fleet)
    assert running.process.poll() is None


def test_sigterm_flushes_everything_and_exits_0(
    scene: Scene, fleet: Fleet, running: Worker
) -> None:
    """Sent while reports are coming in."""
    fleet.report(*SERVERS, times=30)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 12
    with worker(scene) as following, connect(scene.url, autocommit=True) as again:
        caught_up(again, fleet)
        assert following.stop() == 0


# -- kills, and two at once ------------------------------------------------------------------------


@pytest.mark.slow
def test_kills_and_company(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """Killed at three random moments of a backlog; then two share it, and one of them dies."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    scene = Scene(
        stack.bootstrap, make_database(billing_template), f"k{uuid4().hex[:8]}.", tmp_path
    )
    scene.make_topics()
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn)
        fleet.enrol(*SERVERS)
        fleet.report(*SERVERS, times=2500)
        total = 2500 * len(SERVERS)
        for target in sorted(chance.randrange(total // 2) for _ in range(2)):
            with worker(scene, RACKMETER_FLUSH_INTERVAL_MS="50") as victim:
                while sum(offsets(conn)) <= target:
                    time.sleep(0.01)
                time.sleep(chance.random() / 10)
                victim.kill()
        with worker(scene) as one, worker(scene) as two:
            caught_up(conn, fleet)
            owners = "SELECT DISTINCT backend_pid FROM ingest_offset"
            wait_for(lambda: len(conn.execute(owners).fetchall()) == 2, "shared partitions")
            fleet.report(*SERVERS, times=5)
            caught_up(conn, fleet)
            one.kill()
            fleet.report(*SERVERS, times=5)
            caught_up(conn, fleet)
            assert two.stop() == 0
            assert "Traceback" not in two.said()


# -- starts that fail ------------------------------------------------------------------------------


def one_sentence(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("rackmeter: ")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


STARTS = {
    "no database": (
        {"RACKMETER_DATABASE_URL": "postgresql://a:secret@127.0.0.1:1/b"},
        4, "PostgreSQL at 127.0.0.1:1",
    ),
    "no broker": ({"RACKMETER_KAFKA_BOOTSTRAP": "127.0.0.1:1"}, 4, "Kafka at 127.0.0.1:1"),
    "another number of partitions": (
        {"RACKMETER_PARTITIONS": "5"}, 2, "has 2 partitions and 5 are set",
    ),
    "a topic that was made again": (
        {}, 5, "is another one than the ledger was fed from",
    ),
}  # fmt: skip


def test_starts_that_fail_say_why_in_one_sentence(scene: Scene, billing_url: str) -> None:
    """All at once, for each of them waits for something. The ledger's own topic is gone."""
    gone = TopicIdentity(uuid4(), "another cluster", scene.reports, PARTITIONS, "LogAppendTime")
    with connect(billing_url) as conn:
        register_topic(conn, gone, accept_new=False)
    with contextlib.ExitStack() as stack:
        failing = {
            name: stack.enter_context(worker(replace(scene, url=billing_url), **environment))
            for name, (environment, _, _) in STARTS.items()
        }
        for name, (_, code, sentence) in STARTS.items():
            assert failing[name].process.wait(60) == code, failing[name].said()
            assert sentence in one_sentence(failing[name].said())
            assert "secret" not in failing[name].said()


@pytest.mark.slow
def test_a_log_that_is_shorter_than_the_ledger(scene: Scene, conn: Connection) -> None:
    """A broker restored from an older state: going on would skip what is appended from now on."""
    with worker(scene):
        wait_for(lambda: len(offsets(conn)) == PARTITIONS, "the topic in the ledger")
    conn.execute("UPDATE ingest_offset SET next_offset = next_offset + 1000000")
    with worker(scene) as stopping:
        assert stopping.process.wait(60) == 5
        assert "which the log does not have" in one_sentence(stopping.said())
