"""Master keys: where they come from, and the sentence when they cannot."""

import base64
import os
import stat
from pathlib import Path

import pytest

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.key_files import MASTER_KEY_FILE, load_vault, make_master_key, write_new
from rackmeter.settings import load_settings
from sinks.vault import fingerprint
from tests.vault import MASTER_KEY, VAULT

OTHER = b"o" * 32
ELSEWHERE = "postgresql://rackmeter@db.example/rackmeter"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine or the working folder reaches these tests."""
    for name in os.environ:
        if name.startswith("RACKMETER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path / "data"))


def key_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKMETER_MASTER_KEY", f"{OTHER.hex()}\n{MASTER_KEY.hex()}")
    settings = load_settings()
    assert load_vault(settings).fingerprints == [fingerprint(OTHER), VAULT.current]
    for text in (repr(settings), str(settings), str(settings.model_dump())):
        assert OTHER.hex() not in text


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int) -> None:
    text = f"# since March\n{base64.b64encode(MASTER_KEY).decode()}\n{OTHER.hex()}\n"
    path = key_file(tmp_path / "keys", text, mode)
    monkeypatch.setenv("RACKMETER_MASTER_KEY_FILE", str(path))
    assert load_vault(load_settings()).fingerprints == [VAULT.current, fingerprint(OTHER)]


def test_a_relative_file_named_in_the_configuration(tmp_path: Path) -> None:
    key_file(tmp_path / "keys", MASTER_KEY.hex())
    Path("rackmeter.toml").write_text('master_key_file = "keys"\n')
    assert load_vault(load_settings()).current == VAULT.current


def test_an_embedded_database_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    make_master_key(folder)
    path = folder / MASTER_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    first = load_vault(load_settings()).current
    make_master_key(folder)
    assert (path.read_text(), load_vault(load_settings()).current) == (text, first)
    with pytest.raises(ConfigError, match="There is no master key"):
        load_vault(load_settings(database_url=ELSEWHERE))


def test_none_at_all() -> None:
    for url in (None, ELSEWHERE):
        with pytest.raises(ConfigError, match="set RACKMETER_MASTER_KEY_FILE; `rackmeter master-"):
            load_vault(load_settings(database_url=url))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (MASTER_KEY.hex(), 0o604, "every user here can read or write the key .* chmod 600"),
        (MASTER_KEY.hex(), 0o602, "every user here can read or write the key .* chmod 600"),
        ("", 0o600, "keys holds no master key"),
        (f"{MASTER_KEY.hex()}\nsecret-looking\n", 0o600, "keys, line 2 is no master key"),
        (None, 0o600, "keys: the key file cannot be read"),
    ],
)
def test_a_file_that_will_not_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    if text is not None:
        key_file(tmp_path / "keys", text, mode)
    monkeypatch.setenv("RACKMETER_MASTER_KEY_FILE", str(tmp_path / "keys"))
    with pytest.raises(ConfigError, match=said) as caught:
        load_vault(load_settings())
    assert "secret-looking" not in str(caught.value)


def test_two_sources_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RACKMETER_MASTER_KEY", MASTER_KEY.hex())
    monkeypatch.setenv("RACKMETER_MASTER_KEY_FILE", str(tmp_path / "keys"))
    with pytest.raises(ConfigError, match="keep one"):
        load_vault(load_settings())
    monkeypatch.setenv("RACKMETER_MASTER_KEY_FILE", "")
    assert load_vault(load_settings()).current == VAULT.current


def test_a_configuration_file_is_no_place_for_a_key() -> None:
    Path("rackmeter.toml").write_text(f'master_key = "{MASTER_KEY.hex()}"\n')
    with pytest.raises(ConfigError, match=r"rackmeter\.toml holds master_key") as caught:
        load_settings()
    assert MASTER_KEY.hex() not in str(caught.value)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    write_new(tmp_path / "k", "first")
    with pytest.raises(ConfigError, match="k exists; a key is never overwritten"):
        write_new(tmp_path / "k", "second")
    assert (tmp_path / "k").read_text() == "first"
    with pytest.raises(DependencyError, match="cannot be written"):
        write_new(tmp_path / "none" / "k", "x")
