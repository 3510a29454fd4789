"""Real worker processes, signed reports for them, and what they did: in the ledger, on the topics.

Not a plugin: the tests of workers make their scenes from these parts.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from rackmeter.topics import create_topics
from schemas.envelope import Headers, Key, headers
from schemas.report import Report, encode
from sinks.database import Connection
from sinks.keys import register
from tests import vault
from tests.vault import VAULT

T = TypeVar("T")
ENVIRONMENT = "dev"
SECRET = b"x" * 32
PARTITIONS = 2
DEADLINE_S = 40.0
WIDTH_MS = 300_000
START_MS = 1_772_323_200_000  # 2026-03-01T00:00Z


def wait_for(probe: Callable[[], T], what: str, *, seconds: float = DEADLINE_S) -> T:
    """The first answer of ``probe`` that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Scene:
    """A broker's topics, a ledger, and workers that know them."""

    bootstrap: str
    url: str
    prefix: str
    folder: Path

    @classmethod
    def new(cls, bootstrap: str, url: str, folder: Path) -> "Scene":
        """With topics of its own."""
        made = cls(bootstrap, url, f"s{uuid4().hex[:8]}.", folder)
        made.make_topics()
        return made

    @property
    def reports(self) -> str:
        return self.prefix + "reports"

    @property
    def changed(self) -> str:
        return self.prefix + "changed"

    @property
    def dead(self) -> str:
        return self.prefix + "dead"

    def make_topics(self) -> None:
        create_topics(
            self.bootstrap, dict.fromkeys((self.reports, self.changed, self.dead), PARTITIONS)
        )

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RACKMETER_")}
        return {
            **kept,
            **vault.ENVIRONMENT,
            "RACKMETER_DATABASE_URL": self.url,
            "RACKMETER_KAFKA_BOOTSTRAP": self.bootstrap,
            "RACKMETER_DATA_DIR": str(self.folder),
            "RACKMETER_TOPIC_REPORTS": self.reports,
            "RACKMETER_TOPIC_CHANGED": self.changed,
            "RACKMETER_TOPIC_DEAD": self.dead,
            "RACKMETER_PARTITIONS": str(PARTITIONS),
            "RACKMETER_FLUSH_INTERVAL_MS": "200",
        }


@dataclass
class Worker:
    """One worker process; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, *, seconds: float = 15.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextlib.contextmanager
def worker(scene: Scene, **environment: str) -> Iterator[Worker]:
    """A worker that is killed at the end if it still runs."""
    folder = scene.folder
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "rackmeter", "run", "worker"],
            env={**scene.environment, **environment},
            stdout=stream,
            stderr=stream,
        )
    try:
        yield Worker(process, log)
    finally:
        process.kill()
        process.wait()


@dataclass
class Fleet:
    """Servers that report: seq and counter grow with each report; the truth is what they sent."""

    scene: Scene
    conn: Connection
    start_ms: int = START_MS
    truth: dict[str, int] = field(default_factory=dict)
    seq: dict[str, int] = field(default_factory=dict)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.scene.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.max.bytes": 1_100_000,
            }
        )

    def enrol(self, *servers: str) -> None:
        register(self.conn, VAULT, [Key(f"k-{server}", server, SECRET) for server in servers])

    def next(self, server: str) -> Report:
        seq = self.seq[server] = self.seq.get(server, 0) + 1
        self.truth[server] = seq * 1000 + len(server)
        up = seq * WIDTH_MS
        return Report(
            server, "o1", self.start_ms, seq, self.start_ms + up, up, up + 5,
            ("net.tx_bytes",), ("eth0",), (self.truth[server],),
        )  # fmt: skip

    def report(self, *servers: str, times: int = 1) -> None:
        """Honest reports of each server, waited for."""
        for _ in range(times):
            for server in servers:
                self.send(self.next(server))
        self.flush()

    def send(self, report: Report, **changes: Any) -> None:
        body = encode(report)
        key = Key(f"k-{report.server}", report.server, SECRET)
        signed = headers(report, body, key, ENVIRONMENT, self.scene.reports)
        self.produce(**{"value": body, "key": report.server.encode(), "headers": signed, **changes})

    def produce(
        self,
        *,
        value: bytes,
        key: bytes,
        headers: Headers,
        topic: str | None = None,
        partition: int = -1,
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic or self.scene.reports, value, key, partition, headers=list(headers)
                )
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def lie(self, server: str, **changes: Any) -> Report:
        """A report that differs from the one with this seq that was sent before."""
        seq = self.seq[server]
        return replace(
            Report(
                server, "o1", self.start_ms, seq, self.start_ms + seq * WIDTH_MS, seq * WIDTH_MS,
                seq * WIDTH_MS + 5, ("net.tx_bytes",), ("eth0",), (self.truth[server] - 1,),
            ),
            **changes,
        )  # fmt: skip


def recent_ms() -> int:
    """A start for fleets on a broker that dates: it would spread what is from March over months."""
    return time.time_ns() // 1_000_000 - 2 * 86_400_000


def metered(conn: Connection) -> dict[str, int]:
    """Server → everything the ledger holds of it."""
    rows = conn.execute("SELECT server_id, sum(quantity)::bigint FROM usage GROUP BY 1").fetchall()
    return {server: int(total) for server, total in rows}


def offsets(conn: Connection) -> list[int]:
    rows = conn.execute("SELECT next_offset FROM ingest_offset ORDER BY part").fetchall()
    return [row[0] for row in rows]


def append_times(conn: Connection) -> list[int]:
    rows = conn.execute("SELECT append_ms FROM ingest_offset ORDER BY part").fetchall()
    return [row[0] for row in rows]


def assert_exact(conn: Connection, fleet: Fleet) -> None:
    """Billed = truth, to the unit; and the law of conservation."""
    assert metered(conn) == fleet.truth
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


@dataclass(frozen=True)
class Letter:
    """A message of the dead-letter topic."""

    payload: bytes
    headers: Mapping[str, bytes]

    def __getitem__(self, name: str) -> str:
        return self.headers[name].decode()


def read_letters(scene: Scene, count: int) -> list[Letter]:
    """The first dead letters, waited for."""
    found = []
    for message in read_topic(scene, scene.dead, count):
        named = {
            name: value.encode() if isinstance(value, str) else value or b""
            for name, value in dict(message.headers() or []).items()
        }
        payload = message.value()
        assert isinstance(payload, bytes)
        found.append(Letter(payload, named))
    return found


def read_topic(scene: Scene, topic: str, count: int) -> list[Message]:
    """The first messages of a topic, waited for."""
    reader = Consumer({"bootstrap.servers": scene.bootstrap, "group.id": "reader", "log_level": 0})
    found: list[Message] = []
    try:
        reader.assign([TopicPartition(topic, part, 0) for part in range(PARTITIONS)])
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {len(found)} of {count} on {topic}"
            message = reader.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
    finally:
        reader.close()
    return found
