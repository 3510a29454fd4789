"""TLS and SASL/SCRAM on Apache Kafka, for both clients; the embedded broker knows neither."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.kafka import Cluster, cluster
from rackmeter.settings import Settings
from rackmeter.topics import check_broker
from sinks.database import connect
from tests.fix_worker import Fleet, Scene, assert_exact, metered, recent_ms, wait_for, worker
from tests.kafka.server import PASSWORD, USER, Kafka


@pytest.fixture
def scram(kafka: Kafka, tmp_path: Path) -> Mapping[str, str]:
    """The settings that are right."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    return {
        "RACKMETER_KAFKA_BOOTSTRAP": kafka.sasl,
        "RACKMETER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "RACKMETER_KAFKA_USERNAME": USER,
        "RACKMETER_KAFKA_PASSWORD_FILE": str(password),
        "RACKMETER_KAFKA_CA_FILE": str(kafka.certificates.ca),
    }


@pytest.fixture
def scene(kafka: Kafka, billing_url: str, tmp_path: Path) -> Scene:
    return Scene(kafka.bootstrap, billing_url, f"s{uuid4().hex[:8]}.", tmp_path)


def test_a_worker_meters_over_tls_with_a_password(scene: Scene, scram: Mapping[str, str]) -> None:
    """It makes its topics, reads, and writes hints and letters."""
    with (
        connect(scene.url, autocommit=True) as conn,
        worker(scene, **scram) as running,
    ):
        wait_for(lambda: "partition claimed" in running.said(), "claims")
        fleet = Fleet(scene, conn, recent_ms())
        fleet.enrol("s0", "s1")
        fleet.report("s0", "s1", times=3)
        wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
        assert_exact(conn, fleet)
        assert running.stop() == 0


def test_a_worker_with_a_wrong_password_says_so_in_one_sentence(
    scene: Scene, scram: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("swordfish")
    with worker(scene, **scram) as failing:
        assert failing.process.wait(60) == ConfigError.exit_code
        [sentence] = [
            line for line in failing.said().splitlines() if line.startswith("rackmeter: ")
        ]
        assert "refuses user meter with SCRAM-SHA-512: correct RACKMETER_KAFKA_USER" in sentence
        assert "swordfish" not in failing.said()
        assert "Traceback" not in failing.said()


def test_the_doctor_looks_through_tls(scene: Scene, scram: Mapping[str, str]) -> None:
    scene.make_topics()
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", "doctor", "--json"],
        env={**scene.environment, **scram}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    found = {one["check"]: one["found"] for one in json.loads(done.stdout)["findings"]}
    assert found["broker"] == f"{scram['RACKMETER_KAFKA_BOOTSTRAP']} answers"
    assert f"topic {scene.reports}" in found


Change = dict[str, object]
WRONG: dict[str, tuple[Change, type[Exception], str]] = {
    "a wrong password": ({"password": "x"}, ConfigError, "refuses user meter with SCRAM-SHA-512"),
    "a user nobody knows": ({"username": "x"}, ConfigError, "refuses user x with SCRAM-SHA-512"),
    "a mechanism it does not do": ({"mechanism": "PLAIN"}, ConfigError, "does not do PLAIN"),
    "another authority": ({"ca_file": "stranger"}, ConfigError, "stranger.pem does not vouch for"),
    "no authority": ({"ca_file": None}, ConfigError, "this system does not vouch for"),
    "a listener without TLS": ({"bootstrap": "plain"}, ConfigError, "speaks no TLS there"),
    "a listener without users": (
        {"bootstrap": "plain", "protocol": "SASL_PLAINTEXT"}, ConfigError, "does not do SCRAM",
    ),
    "a listener that wants a certificate": (
        {"bootstrap": "tls", "protocol": "SSL"}, ConfigError, "wants a client's certificate",
    ),
    "plain words to a listener with TLS": (
        {"protocol": "PLAINTEXT"}, DependencyError, "does not answer: start it, or correct",
    ),
    "a host that does not exist": (
        {"bootstrap": "nowhere.invalid:9"}, DependencyError, "the name of its host is not known",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_whoever_is_refused_is_told_what_to_correct(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("rackmeter.topics.ANSWER_SECONDS", 2.0)
    changes, kind, sentence = WRONG[case]
    places = {
        "plain": kafka.bootstrap, "tls": kafka.tls, "stranger": kafka.certificates.stranger,
    }  # fmt: skip
    right = Cluster(kafka.sasl, "SASL_SSL", "SCRAM-SHA-512", USER, PASSWORD, kafka.certificates.ca)
    meant = {name: places.get(str(value), value) for name, value in changes.items()}
    check_broker(right)
    check_broker(replace(right, mechanism="SCRAM-SHA-256"))
    with pytest.raises(kind, match=sentence):
        check_broker(replace(right, **meant))  # type: ignore[arg-type]


def test_a_certificate_of_our_own_opens_the_door(kafka: Kafka) -> None:
    held = kafka.certificates
    check_broker(
        Cluster(kafka.tls, "SSL", ca_file=held.ca, cert_file=held.client, key_file=held.client_key)
    )


INCOMPLETE: dict[str, tuple[Mapping[str, object], str]] = {
    "no user": (
        {"kafka_security_protocol": "SASL_SSL"},
        "is SASL_SSL: set RACKMETER_KAFKA_USERNAME and RACKMETER_KAFKA_PASSWORD_FILE",
    ),
    "a user in vain": (
        {"kafka_security_protocol": "SSL", "kafka_username": "me"}, "is SSL, which has no users",
    ),
    "an authority in vain": (
        {"kafka_ca_file": "/x.pem"}, "is PLAINTEXT, which has no certificates",
    ),
    "a key without certificate": (
        {"kafka_security_protocol": "SSL", "kafka_key_file": "/x.pem"},
        "RACKMETER_KAFKA_CERT_FILE as well",
    ),
    "a file that is not there": (
        {"kafka_security_protocol": "SSL", "kafka_ca_file": "/nowhere.pem"},
        "/nowhere.pem cannot be used for TLS",
    ),
    "a password file that is not there": (
        {"kafka_password_file": "/nowhere"}, "/nowhere: the key file cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INCOMPLETE)
def test_settings_that_do_not_fit_together_are_refused(case: str) -> None:
    changes, sentence = INCOMPLETE[case]
    settings = Settings(kafka_bootstrap="kafka:9092", **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=sentence):
        cluster(settings)


def test_a_password_shows_nowhere() -> None:
    assert PASSWORD not in repr(Cluster("a:1", "SASL_SSL", "PLAIN", USER, PASSWORD))
