"""Where a benchmark happens: a broker whose topic is full, a ledger for each run, real processes.

Everything is in a folder of its own and gone at the end. The broker is the embedded one or an
Apache Kafka.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import polars as pl
import psycopg
from psycopg import sql

from benchmarks.load import ENVIRONMENT, Load, fill
from pipeline.partition import partition_of
from rackmeter.cli.processes import Worker
from rackmeter.errors import DependencyError
from rackmeter.key_files import MASTER_KEY_FILE, load_vault
from rackmeter.settings import load_settings
from rackmeter.stack import Stack
from rackmeter.stack_postgres import DATABASE
from rackmeter.topics import create_topics
from schemas.envelope import Key
from sinks.database import Connection, connect, migrate
from sinks.keys import register
from sinks.vault import Vault

PARTITIONS: Final = 4
TOPIC: Final = "usage.reports"
POSTGRES: Final = {"synchronous_commit": "off"}
"""As in the demonstration: what a crash takes back of a checkpoint is read again from the log."""
RETENTION: Final = {"retention.ms": "604800000", "retention.bytes": "-1"}
"""Kafka's defaults, said aloud: quixstreams asks, and the embedded broker knows what was said."""
POLL_S: Final = 0.02
STALLED_S: Final = 120.0
SUMS_MS_MAX: Final = 600_000
"""For adding up 2.4 million series."""
_TEMPLATE: Final = "enrolled"
_SUMS: Final = """
    COPY (
        SELECT u.server_id AS server, s.meter, s.resource, sum(s.quantity)::bigint AS quantity
        FROM usage_row u
        JOIN series_set t USING (set_id)
        CROSS JOIN LATERAL unnest(t.meter, t.resource, u.qty) AS s (meter, resource, quantity)
        GROUP BY 1, 2, 3
    ) TO STDOUT (FORMAT csv, HEADER)"""


@dataclass(frozen=True)
class Servers:
    """PostgreSQL, and a broker of the wanted kind."""

    folder: Path
    stack: Stack
    bootstrap: str

    @property
    def master_key(self) -> Path:
        """What the secrets of all ledgers here are encrypted with."""
        return self.folder / "stack" / MASTER_KEY_FILE

    @property
    def vault(self) -> Vault:
        """The same key, in use."""
        return load_vault(load_settings(master_key_file=self.master_key))


@dataclass(frozen=True)
class Scene:
    """A full topic and what it must come to."""

    servers: Servers
    load: Load
    truth: pl.DataFrame
    _rounds: Iterator[int] = field(default_factory=count)

    @property
    def folder(self) -> Path:
        """For this round alone."""
        folder = self.servers.folder / f"round-{next(self._rounds)}"
        folder.mkdir()
        return folder

    @property
    def ends(self) -> dict[int, int]:
        """How many reports each partition has."""
        held = Counter(partition_of(key.server.encode(), PARTITIONS) for key in self.load.keys)
        return {part: held[part] * (self.load.ticks + 1) for part in range(PARTITIONS)}

    def ledger(self) -> str:
        """The URL of a new ledger that knows the keys of the fleet and has metered nothing."""
        name = f"round_{next(self._rounds)}"
        with psycopg.connect(self.servers.stack.database_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(_TEMPLATE)
                )
            )
        return _database(self.servers.stack, name)


@contextmanager
def started(broker: str) -> Iterator[Servers]:
    """The servers, empty."""
    with ExitStack() as running:
        folder = Path(tempfile.mkdtemp(prefix="rackmeter-bench-"))
        running.callback(shutil.rmtree, folder, ignore_errors=True)
        embedded = broker == "embedded"
        stack = running.enter_context(
            Stack.start(folder / "stack", broker=embedded, postgres_settings=POSTGRES)
        )
        bootstrap = stack.bootstrap if embedded else running.enter_context(_kafka(folder))
        yield Servers(folder, stack, bootstrap)


@contextmanager
def scene(broker: str, load: Load, *, packed: bool) -> Iterator[Scene]:
    """Servers whose topic holds the load, and a ledger's template with its keys."""
    with started(broker) as servers:
        create_topics(servers.bootstrap, {TOPIC: PARTITIONS}, RETENTION)
        fill(load, servers.bootstrap, TOPIC, packed=packed)
        enrol(servers, load.keys)
        yield Scene(servers, load, load.truth())


def enrol(servers: Servers, keys: Sequence[Key]) -> str:
    """Make the template of the ledgers; returns its URL."""
    with psycopg.connect(servers.stack.database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    url = _database(servers.stack, _TEMPLATE)
    migrate(url)
    with connect(url, autocommit=True) as conn, conn.transaction():
        register(conn, servers.vault, keys)
    return url


def rackmeter(scene: Scene, *, kill: bool = False) -> tuple[float, pl.DataFrame]:
    """Seconds from the claims to the last commit, and the sums of every series in the ledger."""
    url = scene.ledger()
    worker = worker_on(scene.servers, url, scene.folder)
    with connect(url, autocommit=True, statement_timeout_ms=SUMS_MS_MAX) as conn:
        with worker:
            wait(conn, worker, "count(owner)", PARTITIONS)
            began = time.monotonic()
            if kill:
                wait(conn, worker, "sum(next_offset)", scene.load.reports // 2)
                worker.kill()
                worker.start()
            wait(conn, worker, "sum(next_offset)", scene.load.reports)
            seconds = time.monotonic() - began
        return seconds, ledger_sums(conn)


def worker_on(servers: Servers, url: str, folder: Path, **settings: str) -> Worker:
    """A worker for the topic of the load, whatever this machine's settings are."""
    return Worker(
        Stack(database_url=url, bootstrap=servers.bootstrap),
        folder,
        topic_reports=TOPIC,
        partitions=str(PARTITIONS),
        environment=ENVIRONMENT,
        master_key_file=str(servers.master_key),
        **settings,
    )


def ledger_sums(conn: Connection) -> pl.DataFrame:
    """What the ledger holds of each series."""
    with conn.cursor().copy(_SUMS) as copy:
        sums = pl.read_csv(b"".join(bytes(part) for part in copy))
    return sums.with_columns(pl.col("resource").fill_null(""))


def wait(conn: Connection, worker: Worker, figure: str, least: int) -> None:
    """Until a figure of the positions has been reached."""
    query = f"SELECT coalesce({figure}, 0) FROM ingest_offset"
    reached, moved = -1, time.monotonic()
    while True:
        row = conn.execute(query).fetchone()
        assert row is not None
        if row[0] >= least:
            return
        if row[0] != reached:
            reached, moved = row[0], time.monotonic()
        worker.check()
        if time.monotonic() - moved > STALLED_S:
            raise DependencyError(f"The worker does not go on after {reached} ({worker.log}).")
        time.sleep(POLL_S)


@contextmanager
def _kafka(folder: Path) -> Iterator[str]:
    """The Apache Kafka of the tests, with the memory that a load needs."""
    from tests.kafka.server import LOADED, MISSING, installed, run_kafka  # noqa: PLC0415 - on demand

    if not installed():
        raise DependencyError(MISSING)
    path = folder / "kafka"
    path.mkdir()
    with run_kafka(path, LOADED) as kafka:
        yield kafka.bootstrap


def _database(stack: Stack, name: str) -> str:
    return stack.database_url.replace(f"/{DATABASE}?", f"/{name}?", 1)
