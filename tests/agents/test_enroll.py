"""`rackmeter agent enroll` against a real API: two files that an agent runs with, or none."""

import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.config import settings
from agents.keyfile import load
from rackmeter.topics import create_topics
from sinks.database import Connection
from sinks.enrolment import issue
from sinks.known_keys import load_keys
from tests.fix_api import Api, api
from tests.fix_worker import wait_for
from tests.kafka.certificates import Certificates, make_certificates
from tests.vault import VAULT


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def here(
    billing_url: str, bootstrap: str, tmp_path: Path, certificates: Certificates, topic_prefix: str
) -> Iterator[Api]:
    trust = ssl.create_default_context(cafile=certificates.ca)
    more = {
        "RACKMETER_API_CERT_FILE": str(certificates.server),
        "RACKMETER_TOPIC_REPORTS": f"{topic_prefix}reports",
    }
    with api(billing_url, bootstrap, tmp_path, trust, **more) as running:
        yield running


def token(conn: Connection, server: str = "ax-1") -> str:
    return issue(conn, server, by="t", now=datetime.now(UTC), valid=timedelta(hours=1), renew=False)


def agent(*arguments: str, said: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "agents", *arguments],
        input=said, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def enroll(
    url: str, folder: Path, ca: Path | None, token: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    return agent(
        "enroll", "--url", url, "--token-file", "-",
        "--key-file", str(folder / "agent.key"), "--config", str(folder / "agent.toml"),
        *(["--ca-file", str(ca)] if ca else []), said=token + "\n", code=code,
    )  # fmt: skip


def test_an_agent_runs_with_what_was_written(
    here: Api, billing: Connection, bootstrap: str, topic_prefix: str,
    tmp_path: Path, certificates: Certificates,
) -> None:  # fmt: skip
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "agent.toml").write_text('# as a package lays it down\n\n# server = "ax-017"\n')
    done = enroll(here.url, folder, certificates.ca, token(billing))
    assert done.stdout.startswith("ax-1 has key ax-1.")
    assert sorted(file.name for file in folder.iterdir()) == ["agent.key", "agent.toml"]
    assert stat.S_IMODE((folder / "agent.toml").stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "agent.key").stat().st_mode) == 0o600
    key = load(folder / "agent.key", "ax-1")
    assert load_keys(billing, VAULT)[0].get(key.kid) is not None
    chosen = settings({"config": folder / "agent.toml"}, {})
    assert (chosen.server, chosen.bootstrap, chosen.environment) == ("ax-1", bootstrap, "dev")
    create_topics(bootstrap, {f"{topic_prefix}reports": 1})
    agent("run", "--config", str(folder / "agent.toml"), "--state", str(tmp_path / "state"),
          "--count", "1", "--require-broker")  # fmt: skip


def test_a_refusal_leaves_no_file(
    here: Api, tmp_path: Path, certificates: Certificates, billing: Connection
) -> None:
    folder = tmp_path / "etc"
    done = enroll(here.url, folder, certificates.ca, "wrong", code=2)
    assert done.stderr.endswith("refuses (401): There is no such token.\n")
    assert [*folder.iterdir()] == []
    enroll(here.url, folder, certificates.ca, token(billing))


@pytest.mark.parametrize("there", ["agent.key", "agent.toml"])
def test_a_file_that_is_there_costs_no_token(
    there: str, here: Api, tmp_path: Path, certificates: Certificates, billing: Connection
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / there).write_text("mine")
    good = token(billing)
    assert "exists" in enroll(here.url, folder, certificates.ca, good, code=2).stderr
    assert [(one.name, one.read_text()) for one in folder.iterdir()] == [(there, "mine")]
    enroll(here.url, tmp_path / "other", certificates.ca, good)


def test_a_certificate_of_a_stranger(
    here: Api, tmp_path: Path, certificates: Certificates, billing: Connection
) -> None:
    done = enroll(here.url, tmp_path / "etc", certificates.stranger, token(billing), code=2)
    assert "give its authority with --ca-file" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("http://metering.example.net", 2, "it must be https://host:port"),
        ("ftp://localhost", 2, "it must be https://host:port"),
        ("https://127.0.0.1:1", 4, "does not answer: [Errno 111]"),
    ],
)
def test_addresses(url: str, code: int, sentence: str, tmp_path: Path) -> None:
    assert sentence in enroll(url, tmp_path / "etc", None, "t", code=code).stderr


def test_something_else_that_answers(tmp_path: Path, certificates: Certificates, here: Api) -> None:
    done = enroll(here.url + "/healthz", tmp_path / "etc", certificates.ca, "t", code=2)
    assert "refuses (404): Not Found" in done.stderr


def test_a_key_is_rotated_while_the_agent_runs(
    here: Api, billing: Connection, topic_prefix: str, bootstrap: str,
    tmp_path: Path, certificates: Certificates,
) -> None:  # fmt: skip
    """The new key signs at once, the former one holds on, and the file was never half a key."""
    folder, state = tmp_path / "etc", tmp_path / "state"
    enroll(here.url, folder, certificates.ca, token(billing))
    create_topics(bootstrap, {f"{topic_prefix}reports": 1})
    former = load(folder / "agent.key", "ax-1")
    argv = [sys.executable, "-m", "agents", "run", "--config", str(folder / "agent.toml")]
    with subprocess.Popen([*argv, "--state", str(state)], stderr=subprocess.PIPE) as child:
        try:
            wait_for((state / "status.sock").exists, "the agent's socket")
            done = rotate(here.url, folder, state, certificates.ca, renewing(billing))
            assert done.stdout.endswith(f"agent {child.pid} signs with it\n")
        finally:
            child.terminate()
            child.communicate(timeout=20)
    key = load(folder / "agent.key", "ax-1")
    assert key.kid != former.kid
    assert [one.name for one in folder.glob("agent.key*")] == ["agent.key"]
    ring = load_keys(billing, VAULT)[0]
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    found = ring.get(former.kid)
    assert found is not None
    assert 23 < (found.valid_to_ms - now_ms) / 3_600_000 < 24
    done = rotate(here.url, folder, state, certificates.ca, renewing(billing))
    assert "no running agent was told" in done.stdout


def test_a_rotation_that_is_refused_leaves_the_key(
    here: Api, billing: Connection, tmp_path: Path, certificates: Certificates
) -> None:
    folder = tmp_path / "etc"
    enroll(here.url, folder, certificates.ca, token(billing))
    before = (folder / "agent.key").read_text()
    rotate(here.url, folder, tmp_path, certificates.ca, "wrong", code=2)
    done = rotate(here.url, folder, tmp_path, certificates.ca, token(billing, "ax-2"), code=2)
    assert "is for server ax-2" in done.stderr
    assert (folder / "agent.key").read_text() == before
    assert [one.name for one in folder.glob("agent.key*")] == ["agent.key"]


def renewing(conn: Connection) -> str:
    now = datetime.now(UTC)
    return issue(conn, "ax-1", by="t", now=now, valid=timedelta(hours=1), renew=True)


def rotate(
    url: str, folder: Path, state: Path, ca: Path, token: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    return agent(
        "rotate", "--url", url, "--token-file", "-", "--key-file", str(folder / "agent.key"),
        "--state", str(state), "--ca-file", str(ca), said=token + "\n", code=code,
    )  # fmt: skip
