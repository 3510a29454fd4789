"""What compose.yaml starts, started without containers: its broker's configuration on a real Apache
Kafka, its logins in a real PostgreSQL, its commands with its environment, until a server that
enrolled over the network is metered.
"""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from confluent_kafka import KafkaError, Producer

from rackmeter.kafka import Cluster
from rackmeter.stack_children import Child, Children
from rackmeter.stack_folder import DataFolder
from rackmeter.stack_postgres import embedded_programs
from rackmeter.topics import answers
from tests.deploy import compose
from tests.fix_api import free_port
from tests.fix_stack import MakeDatabase
from tests.fix_worker import wait_for
from tests.kafka.server import MISSING, SMALL, _classpath, installed

SECONDS = 90.0


@dataclass
class Place:
    """A folder that `prepare` filled, and the ports that stand for the containers'."""

    folder: Path
    database: str
    ports: dict[str, int] = field(default_factory=dict)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def services(self) -> dict[str, Any]:
        variables = compose.environment_file(self.folder / ".env")
        found: dict[str, Any] = compose.load(variables)["services"]
        return found

    def here(self, text: str) -> str:
        """Paths, hosts and ports of the containers as they are on this machine."""
        names = {
            "/run/secrets/": f"{self.folder}/secrets/",
            "/var/lib/rackmeter": str(self.folder / "data"),
            "kafka:9092": f"localhost:{self.ports['internal']}",
            "localhost:9094": f"localhost:{self.ports['agents']}",
            "8443": str(self.ports["https"]),
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """A service's, with what the container would get from nobody left out."""
        given = {n: self.here(str(v)) for n, v in self.services[name]["environment"].items()}
        login = given["RACKMETER_DATABASE_URL"].split("//")[1].split("@")[0]
        given["RACKMETER_DATABASE_URL"] = as_login(self.database, login)
        given["RACKMETER_METRICS_PORT"] = str(self.ports[name])
        given["RACKMETER_METRICS_HOST"] = "127.0.0.1"
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **given}

    def run(self, name: str) -> str:
        """A job, to its end; what it said."""
        done = subprocess.run(
            self._command(name), env=self.environment(name), capture_output=True, text=True,
            check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        """A server, until the end of the test; it is healthy by its own check."""
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                self._command(name), env=self.environment(name), stdout=log, stderr=log
            )
        self.children.append(child)
        wait_for(lambda: self.healthy(name) or child.poll() is not None, name, seconds=SECONDS)
        assert child.poll() is None, (self.folder / f"{name}.log").read_text()

    def healthy(self, name: str) -> bool:
        _, python, *words = self.services[name]["healthcheck"]["test"]
        assert python == "python"
        code = self.here(words[1]).replace("9464", str(self.ports[name]))
        argv = [sys.executable, words[0], code]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "rackmeter", *self.services[name]["command"]]


def as_login(url: str, login: str) -> str:
    """The same database, as somebody else; `rackmeter` owns it as the image's user does."""
    return url.replace("//postgres@", f"//{login if login != 'rackmeter' else 'postgres'}@", 1)


@pytest.fixture
def place(tmp_path: Path, make_database: MakeDatabase) -> Iterator[Place]:
    for name in ("prepare", "kafka", "timescaledb"):
        source = compose.FOLDER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    subprocess.run([str(tmp_path / "prepare"), "localhost"], check=True, capture_output=True)
    names = ("internal", "controller", "agents", "https", *compose.load()["services"])
    made = Place(tmp_path, make_database(), {name: free_port() for name in names})
    try:
        yield made
    finally:
        for child in made.children:
            child.kill()
            child.wait()


@pytest.fixture
def kafka_here(place: Place) -> Iterator[Path]:
    """server.properties as it is, but for folders and ports."""
    if not installed():
        pytest.skip(MISSING)
    text = (place.folder / "kafka/server.properties").read_text()
    for name, port in (("internal", 9092), ("controller", 9093), ("agents", 9094)):
        text = text.replace(f":{port}", f":{place.ports[name]}")
    text = text.replace("/var/lib/kafka/data", str(place.folder / "log"))
    advertised = place.services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    config = place.folder / "server.properties"
    config.write_text(place.here(text) + f"advertised.listeners={place.here(advertised)}\n")
    folder = DataFolder(place.folder / "node")
    java = [shutil.which("java") or "java", *SMALL, "-cp", _classpath()]
    identity = compose.environment_file(place.folder / ".env")["KAFKA_CLUSTER_ID"]
    argv = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(config)]
    subprocess.run(argv, check=True, capture_output=True)
    children = Children(folder.lock_fd, folder.log("guard"))
    folder.release()
    opts = place.services["kafka"]["environment"]["KAFKA_OPTS"]
    try:
        argv = [java[0], place.here(opts), *java[1:], "kafka.Kafka", str(config)]
        log = folder.log("kafka")
        children.start(Child("kafka", argv, log, (signal.SIGTERM,)))
        wait_for(
            lambda: answers(inside(place), seconds=1) or children.exit_code("kafka") is not None,
            "broker", seconds=SECONDS,
        )  # fmt: skip
        assert children.exit_code("kafka") is None, log.read_text()[-3000:]
        yield log
    finally:
        children.close()


def inside(place: Place) -> Cluster:
    password = (place.folder / "secrets/kafka_password").read_text().strip()
    address = f"localhost:{place.ports['internal']}"
    return Cluster(address, "SASL_PLAINTEXT", "PLAIN", "rackmeter", password)


def make_logins(place: Place) -> None:
    """The script that the database's image runs once, with a real psql."""
    script = place.folder / "timescaledb/logins.sh"
    script.write_text(place.here(script.read_text()))
    with psycopg.connect(place.database) as conn:
        info = conn.info
        environment: Mapping[str, str] = {
            "PATH": f"{embedded_programs()}:{os.environ['PATH']}",
            "PGHOST": info.host, "POSTGRES_USER": info.user, "POSTGRES_DB": info.dbname,
        }  # fmt: skip
    subprocess.run(["sh", str(script)], env=environment, check=True, capture_output=True)


def enroll(place: Place) -> Path:
    """A new server, with the token of an operator and nothing else."""
    operator = place.environment("migrate")
    base = [sys.executable, "-m", "rackmeter"]
    token = subprocess.run(
        [*base, "server", "enroll-token", "ax-1"],
        env=operator, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    etc = place.folder / "etc"
    subprocess.run(
        [*base, "agent", "enroll", "--url", f"https://localhost:{place.ports['https']}",
         "--token-file", "-", "--ca-file", str(place.folder / "secrets/ca.pem"),
         "--key-file", str(etc / "agent.key"), "--config", str(etc / "agent.toml")],
        input=token, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return etc / "agent.toml"


def await_claims(place: Place) -> None:
    """Until the workers have shared the partitions."""
    claimed = "SELECT count(*) >= 4 AND bool_and(owner IS NOT NULL) FROM ingest_offset"
    with psycopg.connect(place.database, autocommit=True) as conn:
        deadline = time.monotonic() + SECONDS
        while conn.execute(claimed).fetchone() != (True,):
            assert time.monotonic() < deadline, "the workers have claimed nothing"
            time.sleep(0.2)


def test_from_nothing_to_metering(place: Place, kafka_here: Path) -> None:
    make_logins(place)
    place.run("migrate")
    assert "User:ANONYMOUS may write" in place.run("topics")
    for name in ("worker-1", "worker-2", "api"):
        place.start(name)
    trust = ssl.create_default_context(cafile=place.folder / "secrets/ca.pem")
    ready = httpx2.get(f"https://localhost:{place.ports['https']}/readyz", verify=trust, timeout=20)
    assert ready.json() == {"database": "ok", "broker": "ok"}
    await_claims(place)
    well = subprocess.run(
        [sys.executable, "-m", "rackmeter", "doctor", "--probe", "30"],
        env=place.environment("worker-1"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert well.returncode == 0, well.stdout
    assert "4 partitions, from the producer to the ledger" in well.stdout
    config = enroll(place)
    agent = [sys.executable, "-m", "rackmeter", "agent", "run", "--config", str(config)]
    agent += ["--state", str(place.folder / "agent"), "--count", "2", "--interval", "0.2"]
    done = subprocess.run(agent, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(place.database, autocommit=True) as conn:
        query = "SELECT seq_hi FROM server_state WHERE server_id = 'ax-1'"
        wait_for(lambda: conn.execute(query).fetchone() == (2,), "reports in the ledger")
    # Run again, as each start of the whole does.
    place.run("migrate")
    assert "is there" in place.run("topics")
    what_a_server_may_do(place)


def what_a_server_may_do(place: Place) -> None:
    """Write reports, and nothing else."""
    assert sent(place, "usage.reports") is None
    for topic in ("usage.changed", "usage.dead"):
        error = sent(place, topic)
        assert error is not None
        assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def sent(place: Place, topic: str) -> KafkaError | None:
    """Why a message did not arrive over the listener of the servers."""
    said: list[KafkaError | None] = []
    producer = Producer(
        {
            "bootstrap.servers": f"localhost:{place.ports['agents']}",
            "security.protocol": "SSL",
            "ssl.ca.location": str(place.folder / "secrets/ca.pem"),
            "log_level": 0, "message.timeout.ms": 10_000,
        }
    )  # fmt: skip
    producer.produce(topic, b"x", on_delivery=lambda error, _: said.append(error))
    producer.flush(20)
    return said[0]
