"""The commands about keys on a real PostgreSQL: what they change, print and refuse."""

import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli import main as cli
from sinks.database import Connection, connect
from sinks.known_keys import load_keys
from tests import vault
from tests.vault import MASTER_KEY, VAULT

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
NEW_MASTER = "ab" * 32


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def run(
    billing_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    """Runs a command on a ledger of its own; returns its JSON document, errors as their text."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path / "data"))
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str, code: int = 0) -> Any:
        assert cli.run([*arguments, "--json"]) == code
        shown = json.loads(capsys.readouterr().out)
        return shown["error"]["message"] if code else shown

    return command


def age(conn: Connection, days: int = 9) -> None:
    """The keys there are were made so long ago."""
    conn.execute("UPDATE agent_key SET valid_from_ms = valid_from_ms - %s", (days * DAY_MS,))


def dump(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute("SELECT * FROM agent_key ORDER BY kid").fetchall()


# -- keys of servers -------------------------------------------------------------------------------


def test_a_key_from_its_making_to_its_end(
    run: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    first = run("server", "add", "ax-1")
    age(conn)
    path = tmp_path / "new.key"
    second = run("server", "rotate-key", "ax-1", "--overlap", "7d", "--key-file", str(path))
    assert "secret" not in second
    assert second["ends_ms"] == {first["kid"]: second["valid_from_ms"] + 7 * DAY_MS}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = tomllib.loads(path.read_text())
    keyring, _ = load_keys(conn, VAULT)
    key = keyring.get(second["kid"])
    assert key is not None
    assert (written["kid"], written["server"]) == (key.kid, "ax-1")
    assert bytes.fromhex(written["secret"]) == key.secret
    shown = run("server", "list")["servers"]
    assert [(one["kid"], one["state"]) for one in shown] == [
        (first["kid"], "valid"), (second["kid"], "current"),
    ]  # fmt: skip
    assert [one["valid_to_ms"] for one in shown] == [second["ends_ms"][first["kid"]], None]
    ended = run("server", "revoke-key", first["kid"])
    assert ended["others_in_force"]
    assert ended["valid_to_ms"] < second["ends_ms"][first["kid"]]
    assert [one["state"] for one in run("server", "list")["servers"]] == ["ended", "current"]
    assert not run("server", "revoke-key", second["kid"])["others_in_force"]


def test_a_second_run_changes_nothing(
    run: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    run("server", "add", "ax-1")
    age(conn)
    run("server", "rotate-key", "ax-1")
    before, path = dump(conn), tmp_path / "new.key"
    said = run("server", "rotate-key", "ax-1", "--key-file", str(path), code=5)
    assert "nothing was changed" in said
    assert "--again" in said
    assert dump(conn) == before
    assert not path.exists()
    assert "registered already" in run("server", "add", "ax-1", code=5)
    run("server", "rotate-key", "ax-1", "--key-file", str(path), "--again")
    assert len(dump(conn)) == 3


def test_a_key_that_cannot_be_handed_out_is_not_made(
    run: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    run("server", "add", "ax-1")
    age(conn)
    before, path = dump(conn), tmp_path / "there"
    path.write_text("mine")
    assert "never overwritten" in run(
        "server", "rotate-key", "ax-1", "--key-file", str(path), code=2
    )
    assert "never overwritten" in run("server", "add", "ax-2", "--key-file", str(path), code=2)
    assert dump(conn) == before
    assert path.read_text() == "mine"


@pytest.mark.parametrize("overlap", ["", "24", "-1h", "1.5h", "1w", "400d", "0h 1m"])
def test_an_overlap_that_is_none(run: Callable[..., Any], overlap: str) -> None:
    said = run("server", "rotate-key", "ax-1", f"--overlap={overlap}", code=2)
    assert said.startswith(f"--overlap is {overlap}; write 0, 90s, 30m, 24h or 7d")


@pytest.mark.parametrize("overlap", ["0", "0s", "90s", "30m", "24h", "366d"])
def test_an_overlap_that_is_one(run: Callable[..., Any], overlap: str) -> None:
    assert "no server ax-9" in run("server", "rotate-key", "ax-9", "--overlap", overlap, code=5)


def test_what_a_person_sees(
    run: Callable[..., Any], conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    kid = run("server", "add", "ax-1")["kid"]
    age(conn)
    assert cli.run(["server", "rotate-key", "ax-1"]) == 0
    shown = capsys.readouterr()
    made = tomllib.loads(shown.out)
    assert len(bytes.fromhex(made["secret"])) == 32
    assert f"{kid} ends at" in shown.err
    assert made["secret"] not in shown.err
    assert cli.run(["server", "list"]) == 0
    head, old, new = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["server", "kid", "key"]
    assert (old.split()[2], new.split()[2]) == ("valid", "current")
    assert "no end" in new
    assert cli.run(["server", "revoke-key", made["kid"]]) == 0
    assert cli.run(["server", "revoke-key", kid]) == 0
    assert "ax-1 has no key in force" in capsys.readouterr().err


# -- master keys -----------------------------------------------------------------------------------


def test_a_master_key_is_replaced(
    run: Callable[..., Any], conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgbm90IG9mIGFueW9uZSE="
    run("server", "add", "ax-1")
    run(
        "account", "add", "acme", "--name", "Acme", "--country", "DE",
        "--webhook-url", "https://acme.example/", "--webhook-secret", webhook,
    )  # fmt: skip
    run("account", "webhook", "acme", "--url", "https://acme.example/2", "--secret", webhook)
    assert "24 to 64 bytes" in run(
        "account",
        "webhook",
        "acme",
        "--url",
        "https://acme.example/3",
        "--secret",
        "whsec_",
        code=2,
    )
    file = tmp_path / "keys"
    new = run("master-key", "new", "--to", str(file))["fingerprint"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.delenv("RACKMETER_MASTER_KEY")
    monkeypatch.setenv("RACKMETER_MASTER_KEY_FILE", str(file))
    assert f"under master key {VAULT.current}" in run("server", "add", "ax-2", code=2)
    assert f"under master key {VAULT.current}" in run("master-key", "rewrap", code=2)
    with file.open("a") as keys:
        keys.write(MASTER_KEY.hex() + "\n")
    run("server", "add", "ax-2")
    assert run("master-key", "list")["master_keys"] == [
        {"fingerprint": new, "state": "encrypts", "secrets": 1},
        {"fingerprint": VAULT.current, "state": "decrypts", "secrets": 2},
    ]
    done = run("master-key", "rewrap")
    assert done == {"fingerprint": new, "moved": 2, "secrets": 3}
    assert run("master-key", "rewrap")["moved"] == 0
    file.write_text(file.read_text().splitlines()[0])
    assert run("master-key", "list")["master_keys"] == [
        {"fingerprint": new, "state": "encrypts", "secrets": 3}
    ]
    assert run("server", "add", "ax-3")["kid"]


def test_a_master_key_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], run: Callable[..., Any]
) -> None:
    made = run("master-key", "new")
    assert cli.run(["master-key", "new"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.strip()) == len(made["master_key"]) == 44
    assert shown.out.strip() not in shown.err


BROKEN = {
    "no master key": ({"RACKMETER_MASTER_KEY": ""}, "", 2, "There is no master key"),
    "another master key": ({"RACKMETER_MASTER_KEY": NEW_MASTER}, "", 2, "is under master key"),
    "half a master key": ({"RACKMETER_MASTER_KEY": "ab" * 16}, "", 2, "line 1 is no master key"),
    "a changed row": (
        {}, "UPDATE agent_key SET secret = substr(secret, 1, 40)", 3, "is not what was stored",
    ),
    "a row of another server": (
        {}, "UPDATE agent_key SET server_id = 'ax-2'", 3, "is not what was stored",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("environment", "lie", "code", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_worker_that_cannot_read_the_keys_does_not_start(
    run: Callable[..., Any],
    conn: Connection,
    environment: dict[str, str],
    lie: str,
    code: int,
    said: str,
) -> None:
    """One sentence, and nothing of a secret; the doctor finds it too."""
    secret = run("server", "add", "ax-1")["secret"]
    if lie:
        conn.execute(lie)
    given = {**os.environ, "RACKMETER_KAFKA_BOOTSTRAP": "127.0.0.1:1", **environment}
    for words in (["run", "worker"], ["doctor", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "rackmeter", *words],
            capture_output=True, text=True, check=False, timeout=60, env=given, cwd=ROOT,
        )  # fmt: skip
        shown = done.stdout + done.stderr
        assert said in shown
        for hidden in (secret, MASTER_KEY.hex(), NEW_MASTER, "Traceback", "ab" * 16):
            assert hidden not in shown
        if words == ["run", "worker"]:
            assert done.returncode == code
            assert len(done.stderr.splitlines()) == 1
        else:
            [found] = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "master key"]
            assert found["exit_code"] == code


@pytest.mark.slow
def test_an_embedded_ledger_needs_no_setting(tmp_path: Path) -> None:
    """Its master key lies beside it; without that, nothing is written with another."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RACKMETER_")}

    def rackmeter(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rackmeter", *words, "--data-dir", str(tmp_path / "d")],
            capture_output=True, text=True, check=False, timeout=60, env=clean, cwd=ROOT,
        )  # fmt: skip

    assert rackmeter("db", "migrate").returncode == 0
    path = tmp_path / "d" / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rackmeter("server", "add", "ax-1").returncode == 0
    path.rename(tmp_path / "kept")
    lost = rackmeter("server", "add", "ax-2")
    assert (lost.returncode, "nothing is written with another" in lost.stderr) == (2, True)
    (tmp_path / "kept").replace(path)
    assert rackmeter("server", "add", "ax-2").returncode == 0
