"""One Apache Kafka node from its jars: broker and controller in one process, on the loopback.

Java and Maven come from the system, the jars through Maven into its own cache (``~/.m2``), named by
``pom.xml``. The node runs below rackmeter's guard (``rackmeter/stack_guard.py``), so it ends with
the test however that ends.
"""

import contextlib
import fcntl
import hashlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from rackmeter.stack_children import Child, Children
from rackmeter.stack_folder import DataFolder
from rackmeter.topics import answers
from tests.kafka.certificates import Certificates, make_certificates

POM: Final = Path(__file__).with_name("pom.xml")
CACHE: Final = Path("~/.m2/rackmeter").expanduser()
READY_SECONDS: Final = 60.0
USER, PASSWORD = "meter", "correct horse"
# Starts in half the time of the server's own defaults, and is never under load.
SMALL: Final = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
# What Kafka's own start script sets.
LOADED: Final = ("-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
MISSING: Final = "Apache Kafka needs java 17 and mvn: apt install maven openjdk-17-jre-headless"


@dataclass(frozen=True)
class Kafka:
    """Where the node listens."""

    bootstrap: str
    sasl: str
    """SASL_SSL with SCRAM-SHA-512."""
    tls: str
    """SSL that wants a client's certificate."""
    certificates: Certificates
    log: Path


def installed() -> bool:
    return shutil.which("java") is not None and shutil.which("mvn") is not None


@contextlib.contextmanager
def run_kafka(path: Path, jvm: Sequence[str] = SMALL, **properties: str) -> Iterator[Kafka]:
    """A node that is ready; gone at the end of the block."""
    classpath = _classpath()
    certificates = make_certificates(path / "certificates")
    ports = _free_ports(4)
    config = path / "server.properties"
    config.write_text(_lines({**_properties(ports, path, certificates), **properties}))
    java = [shutil.which("java") or "java", *jvm, "-cp", classpath]
    _format(java, config)
    folder = DataFolder(path)
    children = Children(folder.lock_fd, folder.log("guard"))
    folder.release()
    try:
        log = folder.log("kafka")
        argv = [*java, "kafka.Kafka", str(config)]
        children.start(Child("kafka", argv, log, (signal.SIGTERM,)))
        _wait(children, f"127.0.0.1:{ports[0]}", log)
        plain, sasl, tls = (f"localhost:{port}" for port in ports[:3])
        yield Kafka(plain, sasl, tls, certificates, log)
    finally:
        children.close()


def _classpath() -> str:
    """The jars, downloaded once; one process at a time asks Maven."""
    CACHE.mkdir(parents=True, exist_ok=True)
    known = CACHE / f"{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}.classpath"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists() or not all(map(_exists, known.read_text().split(":"))):
            target = f"-Dmdep.outputFile={known}"
            mvn = ["mvn", "-q", "-B", "-ntp", "-f", str(POM), "dependency:build-classpath", target]
            done = subprocess.run(mvn, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"Maven could not fetch Apache Kafka: {done.stdout}"
    return known.read_text()


def _exists(jar: str) -> bool:
    return Path(jar).exists()


def _properties(ports: Sequence[int], path: Path, certificates: Certificates) -> Mapping[str, str]:
    plain, sasl, tls, controller = ports
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners.replace("127.0.0.1", "localhost"),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT"
        ),
        "log.dirs": str(path / "data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.retention.check.interval.ms": "200",
        "log.initial.task.delay.ms": "100",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
        "listener.name.ssl.ssl.client.auth": "required",
    }


def _lines(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _format(java: Sequence[str], config: Path) -> None:
    scrams = [f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (512, 256)]
    argv = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id()]
    argv += ["-c", str(config), *(part for scram in scrams for part in ("--add-scram", scram))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _cluster_id() -> str:
    """Twenty-two characters of base64; Kafka wants none that begins with a hyphen."""
    return uuid4().hex[:22]


def _wait(children: Children, address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not answers(address, seconds=1):
        said = log.read_text(errors="replace")[-2000:]
        assert children.exit_code("kafka") is None, f"Kafka ended: {said}"
        assert time.monotonic() < deadline, f"Kafka is not ready: {said}"
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            for _ in range(count)
        ]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
