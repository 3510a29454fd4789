"""`rackmeter server enroll-token`: shown once, a file of its owner alone, one that is open."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli import main as cli
from schemas.envelope import Key
from sinks.database import Connection, connect
from sinks.enrolment import SpentTokenError, redeem
from tests import vault
from tests.vault import VAULT

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(
    billing_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path / "data"))
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = cli.run(["server", "enroll-token", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return command


def fetched(url: str, token: str, at: datetime | None = None) -> Key:
    def made(server: str, now_ms: int) -> Key:
        return Key(f"{server}.k", server, b"s" * 32, now_ms)

    with connect(url, autocommit=True) as conn:
        return redeem(conn, VAULT, token, made, address="::1", now=at or datetime.now(UTC))


def test_a_token_is_shown_and_the_ledger_does_not_have_it(
    run: Run, billing: Connection, billing_url: str
) -> None:
    code, shown = run("ax-1", "--valid", "2h")
    assert code == 0
    expires = datetime.fromisoformat(shown["expires_at"])
    assert timedelta(minutes=119) < expires - datetime.now(UTC) <= timedelta(hours=2)
    row = billing.execute("SELECT enrol_token::text FROM enrol_token").fetchone()
    assert row is not None
    assert shown["token"].split(".")[1] not in row[0]
    with pytest.raises(SpentTokenError, match="expired"):
        fetched(billing_url, shown["token"], expires)
    assert fetched(billing_url, shown["token"]).server == "ax-1"


def test_a_file_of_its_owner_alone(run: Run, billing_url: str, tmp_path: Path) -> None:
    file = tmp_path / "ax-1.token"
    code, shown = run("ax-1", "--to", str(file))
    assert (code, shown["token_file"], "token" in shown) == (0, str(file), False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert fetched(billing_url, file.read_text().strip()).server == "ax-1"


def test_a_file_that_is_there_leaves_the_open_token_open(
    run: Run, billing_url: str, tmp_path: Path
) -> None:
    _, first = run("ax-1")
    file = tmp_path / "there"
    file.write_text("")
    assert run("ax-1", "--to", str(file))[0] == 2
    assert fetched(billing_url, first["token"]).server == "ax-1"


def test_a_new_token_ends_the_one_before(run: Run, billing_url: str) -> None:
    (_, first), (_, second) = run("ax-1"), run("ax-1")
    with pytest.raises(SpentTokenError, match="revoked"):
        fetched(billing_url, first["token"])
    assert fetched(billing_url, second["token"]).server == "ax-1"


def test_revoked(run: Run, billing_url: str) -> None:
    _, made = run("ax-1")
    assert run("ax-1", "--revoke") == (0, {"server": "ax-1", "revoked": 1})
    assert run("ax-1", "--revoke") == (0, {"server": "ax-1", "revoked": 0})
    with pytest.raises(SpentTokenError, match="revoked"):
        fetched(billing_url, made["token"])


def test_a_server_with_a_key_gets_one_more_when_asked_for(run: Run, billing_url: str) -> None:
    _, first = run("ax-1")
    fetched(billing_url, first["token"])
    code, refused = run("ax-1")
    assert code == 5
    assert "--renew makes a token for another one" in refused["error"]["message"]
    assert run("ax-1", "--renew")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ax 1",), "'ax 1' is no server id"),
        (("ax-1", "--valid", "soon"), "--valid is soon; write 0, 90s, 30m, 24h or 7d"),
        (("ax-1", "--valid", "32d"), "at most 31d"),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, shown = run(*arguments)
    assert code == 2
    assert sentence in shown["error"]["message"]
