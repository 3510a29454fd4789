"""PostgreSQL and a broker behind proxies: workers meet them there, everybody else directly.

The embedded broker can tell clients one address only, so those who publish go through its proxy as
well. Apache Kafka has a listener for each.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import psutil

from rackmeter.stack import Stack
from rackmeter.stack_broker import _binary
from rackmeter.stack_children import Child, Children
from rackmeter.stack_folder import DataFolder
from rackmeter.topics import answers
from tests.chaos.proxy import Proxy, Streams
from tests.fix_stack import NOT_DURABLE
from tests.kafka import server as kafka
from tests.kafka.certificates import Certificates

POSTGRES: Final = {**NOT_DURABLE, "wal_writer_delay": "10s"}
"""Commits that nobody waited for stay in memory for long, so that an immediate stop loses some."""
READY_S: Final = 60.0
_GONE_S: Final = 30.0
_NOWHERE: Final = Path("unused")
NO_CERTIFICATES: Final = Certificates(*[_NOWHERE] * 5)


@dataclass
class Broker:
    """A broker process that can be killed and started again."""

    children: Children
    child: Child
    bootstrap: str
    """For whoever publishes."""
    pid: int = 0

    def start(self) -> None:
        self.pid = self.children.start(self.child)
        deadline = time.monotonic() + READY_S
        while not answers(self.bootstrap, seconds=1):
            assert self.children.exit_code(self.child.name) is None, self.child.log.read_text()
            assert time.monotonic() < deadline, "the broker is not ready"
            time.sleep(0.05)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.children.stop(self.child.name)


@dataclass
class Servers:
    """Both, with a proxy each."""

    stack: Stack
    pgdata: Path
    broker: Broker
    to_broker: Proxy
    to_database: Proxy
    _restarting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def far_url(self, url: str) -> str:
        """Where workers find a database of this server."""
        name = url.partition("@/")[2].partition("?")[0]
        at = f"127.0.0.1:{self.to_database.port}"
        return f"postgresql://postgres@{at}/{name}?sslmode=disable&gssencmode=disable"

    @property
    def far_bootstrap(self) -> str:
        return f"127.0.0.1:{self.to_broker.port}"

    async def stop_database(self, seconds: float) -> None:
        """Immediate stop, a while without, start: what it had not written is gone."""
        async with self._restarting:
            await asyncio.to_thread(self._quit_postgres)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.stack.restart_postgres)

    async def kill_broker(self, seconds: float) -> None:
        async with self._restarting:
            await asyncio.to_thread(self.broker.kill)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.broker.start)

    def _quit_postgres(self) -> None:
        postmaster = psutil.Process(int((self.pgdata / "postmaster.pid").read_text().split()[0]))
        postmaster.send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + _GONE_S
        while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "PostgreSQL does not stop"
            time.sleep(0.01)


@asynccontextmanager
async def started(folder: Path, *, on_kafka: bool) -> AsyncIterator[Servers]:
    """Both servers and both proxies; all are gone at the end."""
    (port, *more) = kafka._free_ports(4)
    to_broker = Proxy(lambda: asyncio.open_connection("127.0.0.1", port))
    await to_broker.start()
    stack = await asyncio.to_thread(
        lambda: Stack.start(folder / "stack", broker=False, postgres_settings=POSTGRES)
    )
    children: Children | None = None
    try:
        to_database = Proxy(_unix(lambda: stack.database_url))
        await to_database.start()
        data = DataFolder(_made(folder / "broker"))
        children = Children(data.lock_fd, data.log("guard"))
        data.release()
        if on_kafka:
            child, bootstrap = await asyncio.to_thread(_kafka, data, port, more, to_broker.port)
        else:
            child, bootstrap = _embedded(data, port, to_broker.port)
        broker = Broker(children, child, bootstrap)
        await asyncio.to_thread(broker.start)
        yield Servers(stack, folder / "stack" / "postgres", broker, to_broker, to_database)
        await to_database.close()
        await to_broker.close()
    finally:
        if children is not None:
            await asyncio.to_thread(children.close)
        await asyncio.to_thread(stack.stop)


def _unix(url: Callable[[], str]) -> Callable[[], Awaitable[Streams]]:
    async def opened() -> Streams:
        sockets = url().partition("host=")[2]
        return await asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432")

    return opened


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _embedded(folder: DataFolder, port: int, advertised: int) -> tuple[Child, str]:
    url, seen = f"tcp://127.0.0.1:{port}", f"127.0.0.1:{advertised}"
    argv = [str(_binary()), "broker", "--listener-url", url]
    argv += ["--advertised-listener-url", f"tcp://{seen}"]
    argv += ["--storage-engine", "memory://tansu/", "--cluster-id", str(uuid4())]
    return Child("broker", argv, folder.log("broker"), (signal.SIGTERM,)), seen


def _kafka(folder: DataFolder, port: int, more: list[int], advertised: int) -> tuple[Child, str]:
    """Two plain listeners: one that tells its own address, one that tells the proxy's."""
    direct, controller, _ = more
    listeners = f"PLAINTEXT://127.0.0.1:{direct},FAULTY://127.0.0.1:{port}"
    base = {
        name: value
        for name, value in kafka._properties(
            (direct, 0, 0, controller), folder.path, NO_CERTIFICATES
        ).items()
        if not name.startswith(("listener.name", "ssl.", "sasl."))
    }
    config = folder.path / "server.properties"
    config.write_text(
        kafka._lines(
            {
                **base,
                "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": listeners.replace(f":{port}", f":{advertised}"),
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,FAULTY:PLAINTEXT,CONTROLLER:PLAINTEXT"
                ),
                "inter.broker.listener.name": "PLAINTEXT",
            }
        )
    )
    java = ["java", *kafka.SMALL, "-cp", kafka._classpath()]
    kafka._format(java, config)
    argv = [*java, "kafka.Kafka", str(config)]
    return (
        Child("kafka", argv, folder.log("kafka"), (signal.SIGTERM,)),
        f"127.0.0.1:{direct}",
    )
