"""The API as a process of its own, asked over the network: health, enrolment, what is refused."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from agents.keyfile import load
from sinks.database import Connection, connect
from sinks.enrolment import issue, revoke_open
from sinks.known_keys import load_keys
from tests.fix_api import Api, api, environment, free_port
from tests.fix_worker import wait_for
from tests.kafka.certificates import make_certificates
from tests.vault import VAULT

DAY = timedelta(days=1)
PROXY = {"RACKMETER_API_TRUSTED_PROXIES": "127.0.0.1"}


@pytest.fixture
def url(billing_url: str) -> str:
    return billing_url


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def here(url: str, bootstrap: str, tmp_path: Path) -> Iterator[Api]:
    with api(url, bootstrap, tmp_path) as running:
        yield running


def token(
    conn: Connection, server: str = "ax-1", *, valid: timedelta = DAY, renew: bool = False,
    now: datetime | None = None,
) -> str:  # fmt: skip
    at = now or datetime.now(UTC)
    return issue(conn, server, by="test@here", now=at, valid=valid, renew=renew)


def logged(running: Api, event: str) -> dict[str, Any]:
    """The first line of the log with this event."""
    return wait_for(
        lambda: next(
            (one for one in map(json.loads, running.said().splitlines()) if one["event"] == event),
            {},
        ),
        event,
    )


# -- health ----------------------------------------------------------------------------------------


def test_an_installation_that_is_ready(here: Api) -> None:
    assert here.get("/healthz").json() == {"status": "ok"}
    ready = here.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": "ok", "broker": "ok"})


@pytest.mark.parametrize("lost", ["broker", "database", "tables"])
def test_what_does_not_answer_is_named_and_its_address_is_not(
    lost: str, url: str, fresh_database: str, bootstrap: str, tmp_path: Path
) -> None:
    nowhere = "127.0.0.1:1"
    database = {
        "broker": url, "database": f"postgresql://me:hidden@{nowhere}/db", "tables": fresh_database,
    }[lost]  # fmt: skip
    broker = nowhere if lost == "broker" else bootstrap
    part = "broker" if lost == "broker" else "database"
    with api(database, broker, tmp_path) as running:
        assert running.get("/healthz").status_code == 200
        ready = running.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {"database": "ok", "broker": "ok", part: "failed"}
        why = logged(running, "not ready")["why"]
    assert ("rackmeter db migrate" if lost == "tables" else nowhere) in why
    assert "hidden" not in why


def test_the_document_of_what_it_answers(here: Api) -> None:
    shown = here.get("/openapi.json").json()
    validate(shown)
    assert {*shown["paths"]} == {"/healthz", "/payments/stripe", "/readyz", "/v1/agents/enroll"}
    documented = {*shown["paths"]["/v1/agents/enroll"]["post"]["responses"]}
    assert documented == {"201", "400", "401", "403", "409", "410", "413", "422", "429", "503"}


# -- enrolment -------------------------------------------------------------------------------------


def test_a_server_fetches_its_key_once(here: Api, conn: Connection, tmp_path: Path) -> None:
    answer = here.enroll(token(conn))
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    stored = load_keys(conn, VAULT)[0].get(given["kid"])
    assert stored is not None
    assert (stored.server, stored.secret.hex()) == ("ax-1", given["secret"])
    key_file = tmp_path / "key"
    key_file.write_text(json.dumps({name: given[name] for name in ("server", "kid", "secret")}))
    key_file.chmod(0o600)
    assert load(key_file, "ax-1").secret == stored.secret
    used = conn.execute("SELECT used_from, kid, created_by FROM enrol_token").fetchall()
    assert used == [("127.0.0.1", stored.kid, "test@here")]
    assert given["secret"] not in here.said()


def test_what_an_agent_is_told(url: str, bootstrap: str, tmp_path: Path, conn: Connection) -> None:
    told = {
        "RACKMETER_ENROLL_BOOTSTRAP": "kafka.example.net:9094",
        "RACKMETER_ENROLL_SECURITY_PROTOCOL": "SSL",
        "RACKMETER_TOPIC_REPORTS": "mine.reports",
        "RACKMETER_ENVIRONMENT": "production",
    }
    with api(url, bootstrap, tmp_path, **told) as running:
        given = running.enroll(token(conn)).json()
    assert {*given} - {"kid", "secret"} == {
        "server", "bootstrap", "security_protocol", "topic", "environment",
    }  # fmt: skip
    assert [given[name] for name in ("bootstrap", "security_protocol", "topic", "environment")] == [
        *told.values()
    ]


def test_of_many_that_come_at_once_one_gets_a_key(here: Api, conn: Connection) -> None:
    made = token(conn)
    with ThreadPoolExecutor(8) as pool:
        codes = [one.status_code for one in pool.map(lambda _: here.enroll(made), range(8))]
    assert sorted(codes) == [201] + [410] * 7
    assert conn.execute("SELECT count(*) FROM agent_key").fetchone() == (1,)


def test_a_server_that_was_installed_anew(here: Api, conn: Connection) -> None:
    first = here.enroll(token(conn)).json()
    second = here.enroll(token(conn, renew=True)).json()
    ends: dict[str, bool] = dict(
        conn.execute("SELECT kid, valid_to_ms < 4e18 FROM agent_key").fetchall()
    )
    assert ends == {first["kid"]: True, second["kid"]: False}


def spent(conn: Connection, how: str) -> str:
    now = datetime.now(UTC)
    if how == "expired":
        return token(conn, valid=timedelta(seconds=1), now=now - DAY)
    made = token(conn)
    if how == "revoked":
        assert revoke_open(conn, "ax-1", now) == 1
    if how == "followed by another":
        token(conn)
    if how == "of a server that has a key by now":
        conn.execute("INSERT INTO agent_key (kid, server_id, secret) VALUES ('k', 'ax-1', '')")
    return made


SPENT = {
    "expired": (410, "expired at"),
    "revoked": (410, "revoked at"),
    "followed by another": (410, "revoked at"),
    "of a server that has a key by now": (409, "ask for a token that renews it"),
}


@pytest.mark.parametrize("how", SPENT)
def test_who_holds_a_spent_token_is_told(how: str, here: Api, conn: Connection) -> None:
    code, sentence = SPENT[how]
    before = conn.execute("SELECT count(*) FROM agent_key").fetchone()
    answer = here.enroll(spent(conn, how))
    assert answer.status_code == code
    assert sentence in answer.json()["detail"]
    if how != "of a server that has a key by now":
        assert conn.execute("SELECT count(*) FROM agent_key").fetchone() == before


def test_a_token_that_was_used_names_who_used_it_to_its_holder_alone(
    here: Api, conn: Connection
) -> None:
    made = token(conn)
    assert here.enroll(made).status_code == 201
    again = here.enroll(made)
    assert again.status_code == 410
    assert "from 127.0.0.1" in again.json()["detail"]
    assert logged(here, "enrolment refused")["why"].startswith("The token was used at")
    stranger = here.enroll(made[:-3] + "AAA")
    assert (stranger.status_code, stranger.json()["detail"]) == (401, "There is no such token.")


def test_every_wrong_token_gets_the_same_answer(here: Api, conn: Connection) -> None:
    good = token(conn)
    wrong = ["", "x", "é" * 20, "0" * 12 + good[12:], good[:-3] + "AAA", good + "A", " " + good]
    answers = [here.enroll(one) for one in wrong]
    assert {(one.status_code, one.text) for one in answers} == {
        (401, '{"detail":"There is no such token."}')
    }
    assert here.enroll(good).status_code == 201


def test_an_address_that_is_wrong_too_often_waits(
    url: str, bootstrap: str, tmp_path: Path, conn: Connection
) -> None:
    def of(address: str) -> dict[str, str]:
        return {"x-forwarded-for": address, "x-forwarded-proto": "https"}

    with api(url, bootstrap, tmp_path, **PROXY) as running:
        codes = [running.enroll("wrong", of(f"2001:db8::{n}")).status_code for n in range(11)]
        assert codes == [401] * 10 + [429]
        waits = running.enroll(token(conn), of("2001:db8::ffff"))
        assert waits.status_code == 429
        assert 1 <= int(waits.headers["retry-after"]) <= 6
        assert running.enroll(token(conn), of("2001:db8:1::1")).status_code == 201


BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "no JSON": (b"{", 422),
    "no object": (b"[]", 422),
    "no token": (b"{}", 422),
    "a number": (b'{"token": 7}', 422),
    "more than asked for": (b'{"token": "hush", "server": "ax-2"}', 422),
    "a long token": (b'{"token": "' + b"h" * 101 + b'"}', 422),
    "a long body": (b'{"token": "' + b"h" * 5000 + b'"}', 413),
    "deep JSON": (b"[" * 4000, 400),
}


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_that_are_not_what_was_asked_for(here: Api, chunked: bool) -> None:
    for name, (body, code) in BODIES.items():
        content = iter([body[:50], body[50:]]) if chunked else body
        answer = here.post(
            "/v1/agents/enroll", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == code, name
        assert isinstance(answer.json()["detail"], str), name
        assert "hush" not in answer.text


def test_a_key_is_not_given_in_the_clear(
    url: str, bootstrap: str, tmp_path: Path, conn: Connection
) -> None:
    plain = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http"}
    with api(url, bootstrap, tmp_path, **PROXY) as running:
        refused = running.enroll(token(conn), plain)
        assert (refused.status_code, refused.json()["detail"]) == (
            403, "A key is given over TLS only: use https.",
        )  # fmt: skip
        secure = {**plain, "x-forwarded-proto": "https"}
        assert running.enroll(token(conn), secure).status_code == 201
    assert conn.execute("SELECT used_from FROM enrol_token WHERE kid <> ''").fetchall() == [
        ("203.0.113.9",)
    ]


def test_a_proxy_that_is_not_trusted_says_nothing(here: Api, conn: Connection) -> None:
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    assert here.enroll(token(conn), forged).status_code == 201
    assert conn.execute("SELECT used_from FROM enrol_token").fetchall() == [("127.0.0.1",)]


def test_with_a_certificate_of_its_own(
    url: str, bootstrap: str, tmp_path: Path, conn: Connection
) -> None:
    made = make_certificates(tmp_path / "tls")
    trust = ssl.create_default_context(cafile=made.ca)
    cert = {"RACKMETER_API_CERT_FILE": str(made.server)}
    with api(url, bootstrap, tmp_path, trust, **cert) as running:
        assert running.url.startswith("https")
        assert running.enroll(token(conn)).status_code == 201


# -- the process -----------------------------------------------------------------------------------


def test_systemd_is_told_and_a_stop_is_orderly(url: str, bootstrap: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inlet:
        inlet.bind(str(tmp_path / "notify"))
        inlet.settimeout(20)
        outlet = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with api(url, bootstrap, tmp_path, **outlet) as running:
            assert inlet.recv(100) == b"READY=1"
            assert running.stop() == 0
            assert inlet.recv(100) == b"STOPPING=1"
            assert "the API has stopped" in running.said()


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("RACKMETER_API_PORT", "{taken}", "cannot listen on 127.0.0.1:{taken} (Address already"),
        ("RACKMETER_API_HOST", "localhost", "should be an address, as 127.0.0.1"),
        ("RACKMETER_API_CERT_FILE", "/none.pem", "cannot be used for TLS"),
        ("RACKMETER_API_KEY_FILE", "/none.pem", "RACKMETER_API_CERT_FILE as well"),
        ("RACKMETER_DATABASE_URL", "", "The API needs RACKMETER_DATABASE_URL"),
        ("RACKMETER_MASTER_KEY", "", "There is no master key"),
    ],
)
def test_a_setting_that_cannot_be_served_is_one_sentence(
    setting: str, value: str, sentence: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        base = environment(
            "postgresql://127.0.0.1:1/db", "127.0.0.1:1", tmp_path,
            RACKMETER_API_PORT=str(free_port()),
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "rackmeter", "run", "api"],
            env={**base, setting: value.format(taken=taken)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence.format(taken=taken) in done.stderr
    assert len(done.stderr.splitlines()) == 1
