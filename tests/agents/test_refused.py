"""Why a real Apache Kafka takes no reports, over TLS, with SCRAM, certificates and ACLs: one
sentence that says what to correct. And that a mended one takes everything that waited.
"""

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine

from agents import clock
from agents.frames import Waiting
from agents.publish import Publisher, Target
from agents.spool import Spool
from rackmeter.topics import create_topics
from schemas.envelope import Key
from tests.agents.test_publish import numbered_reports
from tests.fix_agents import SECRET, FakeMachine
from tests.kafka.certificates import make_certificates
from tests.kafka.server import MISSING, PASSWORD, USER, Kafka, installed, run_kafka

ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:CN=meter",
    "allow.everyone.if.no.acl.found": "false",
}
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A node where the user of SCRAM may do nothing, the certificate's everything."""
    if not installed():
        pytest.skip(MISSING)
    with run_kafka(tmp_path_factory.mktemp("guarded"), **ACLS) as running:
        create_topics(running.bootstrap, {"usage.reports": 2})
        yield running


@pytest.fixture
def scram(kafka: Kafka) -> dict[str, str]:
    """The settings that are right."""
    return {
        "bootstrap.servers": kafka.sasl,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(kafka.certificates.ca),
    }


def publisher_to(folder: Path, properties: Mapping[str, str], topic: str) -> Publisher:
    target = Target(topic, "dev", Key("k1", "s1", SECRET), dict(properties))
    spool = Spool(folder / "spool", 2**20, 2_000)
    spool.open()
    publisher = Publisher(target, clock.now, spool, "boot-1")
    publisher.offer(Waiting(numbered_reports(1)[0], "boot-1"))
    return publisher


def pumped(publisher: Publisher, wanted: str) -> str:
    """What it says at the end: as soon as that is what is wanted."""
    deadline = time.monotonic() + DEADLINE_S
    while wanted not in publisher.refused and time.monotonic() < deadline:
        time.sleep(0.05)
        publisher.pump()
    publisher.close()
    return publisher.refused


def test_wrong_settings_in_one_sentence(
    kafka: Kafka, scram: dict[str, str], tmp_path: Path
) -> None:
    given = kafka.certificates
    plain = {"bootstrap.servers": kafka.bootstrap}
    tls = {"security.protocol": "SSL", "ssl.ca.location": str(given.ca)}
    cases: list[tuple[Mapping[str, str], str]] = [
        (scram | {"ssl.ca.location": str(given.stranger)}, "does not vouch for"),
        (scram | {"sasl.password": "swordfish"}, f"refuses user {USER} or its password"),
        (scram | {"sasl.mechanism": "PLAIN"}, "does not do PLAIN: correct sasl.mechanism"),
        ({"bootstrap.servers": kafka.tls, **tls}, "wants a certificate that it knows"),
        ({**plain, **tls}, "speaks no TLS there"),
        ({"bootstrap.servers": "127.0.0.1:1"}, "Connection refused"),
        ({"bootstrap.servers": "no.such.host.invalid:9092"}, "is not known: correct bootstrap"),
    ]
    for number, (properties, wanted) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        publisher = publisher_to(tmp_path / str(number), properties, f"nowhere-{number}")
        said = pumped(publisher, wanted)
        assert wanted in said
        assert "swordfish" not in said
        assert publisher.spool.waiting == 1


def test_a_topic_that_is_not_there(kafka: Kafka, tmp_path: Path) -> None:
    publisher = publisher_to(tmp_path, {"bootstrap.servers": kafka.bootstrap}, "not.there")
    said = pumped(publisher, "no topic")
    assert (
        said == f"there is no topic not.there at {kafka.bootstrap}: correct topic, or have it made"
    )


def test_a_user_who_may_not_write(guarded: Kafka, tmp_path: Path) -> None:
    properties = {
        "bootstrap.servers": guarded.sasl,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(guarded.certificates.ca),
    }
    said = pumped(publisher_to(tmp_path, properties, "usage.reports"), "may not")
    assert said.startswith(f"user {USER} may not write to topic usage.reports")


def test_a_certificate_instead_of_a_password(guarded: Kafka, tmp_path: Path) -> None:
    given = guarded.certificates
    properties = {
        "bootstrap.servers": guarded.tls,
        "security.protocol": "SSL",
        "ssl.ca.location": str(given.ca),
        "ssl.certificate.location": str(given.client),
        "ssl.key.location": str(given.client_key),
    }
    publisher = publisher_to(tmp_path, properties, "usage.reports")
    assert publisher.flush(clock.up_ms() + 20_000, lambda: False)
    assert (publisher.refused, publisher.unsent) == ("", 0)
    publisher.close()


def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    """A listener that shows one: it never comes to Kafka's own words."""
    with time_machine.travel(datetime.now(UTC) - timedelta(days=10)):
        made = make_certificates(tmp_path / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    with listening(context) as port:
        properties = {
            "bootstrap.servers": f"localhost:{port}",
            "security.protocol": "SSL",
            "ssl.ca.location": str(made.ca),
        }
        said = pumped(publisher_to(tmp_path, properties, "t"), "expired")
    assert said == f"the certificate that localhost:{port} shows has expired: renew it there"


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """Shakes hands with whoever comes, until the end of the block."""

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with plain, suppress(OSError):
                context.wrap_socket(plain, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_wrong_password_is_mended_while_the_agent_runs(
    kafka: Kafka, scram: dict[str, str], tmp_path: Path
) -> None:
    topic = f"s{uuid4().hex[:8]}.usage.reports"
    create_topics(kafka.bootstrap, {topic: 2})
    config, password = configured(tmp_path, scram, topic)
    argv = [sys.executable, "-m", "agents"]
    state = ["--config", str(config)]

    def status(wanted: int) -> dict[str, object]:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            asked = [*argv, "status", "--json", *state]
            done = subprocess.run(asked, capture_output=True, check=False)
            found = json.loads(done.stdout) if done.stdout else {}
            if done.returncode == wanted and (wanted or found["acknowledged"]):
                return dict(found)
            assert time.monotonic() < deadline, (done, found)

    with subprocess.Popen([*argv, "run", *state], stderr=subprocess.PIPE, text=True) as child:
        try:
            assert f"refuses user {USER}" in str(status(1)["refused"])
            password.write_text(PASSWORD)
            child.send_signal(signal.SIGHUP)
            found = status(0)
            assert found["spool"]["reports"] == 0  # type: ignore[index]
        finally:
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=20)
    assert said.count(f"refuses user {USER} or its password: correct kafka_password_file") == 1
    assert "the settings were read again" in said
    assert "the broker takes reports again" in said
    assert "swordfish" not in said + str(found)


def configured(folder: Path, scram: Mapping[str, str], topic: str) -> tuple[Path, Path]:
    """An agent's settings with a password that is wrong."""
    key, password, config = (folder / name for name in ("key", "password", "agent.toml"))
    key.write_text(f'kid = "k1"\nsecret = "{SECRET.hex()}"\n')
    password.write_text("swordfish")
    for path in (key, password):
        path.chmod(0o600)
    machine = FakeMachine(folder / "root")
    kafka = {name: value for name, value in scram.items() if name != "sasl.password"}
    where = kafka.pop("bootstrap.servers")
    lines = {
        "server": "s1",
        "topic": topic,
        "bootstrap": where,
        "key_file": key,
        "state": folder / "state",
        "root": machine.root,
        "kafka_password_file": password,
    }
    text = "interval = 3600\n"
    text += "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in lines.items())
    text += "[kafka]\n" + "".join(f'"{name}" = {json.dumps(v)}\n' for name, v in kafka.items())
    config.write_text(text)
    return config, password
