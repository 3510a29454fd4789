"""Settings: where they come from, and the one sentence a bad one gets."""

import os
from pathlib import Path

import pytest

from rackmeter.errors import ConfigError
from rackmeter.settings import load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine or the working folder reaches these tests."""
    for name in os.environ:
        if name.startswith("RACKMETER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults() -> None:
    settings = load_settings()
    assert settings.environment == "dev"
    assert settings.database_url is None
    assert settings.kafka_bootstrap is None
    assert settings.partitions == 4


def test_argument_beats_environment_beats_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rackmeter.toml").write_text("partitions = 5\nflush_servers = 6\ngrace_ms = 7\n")
    monkeypatch.setenv("RACKMETER_PARTITIONS", "8")
    monkeypatch.setenv("RACKMETER_FLUSH_SERVERS", "9")
    settings = load_settings(partitions=10, environment=None)
    assert (settings.partitions, settings.flush_servers, settings.grace_ms) == (10, 9, 7)


def test_folders_are_absolute_and_know_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    settings = load_settings(data_dir="~/rack")
    assert settings.data_dir == Path("/home/someone/rack")


def test_an_empty_address_means_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKMETER_DATABASE_URL", "")
    assert load_settings().database_url is None


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PARTITIONS", "0", "is '0', but it should be greater than or equal to 1."),
        ("PARTITIONS", "many", "is 'many', but it should be a valid integer"),
        ("BROKER_PORT", "70000", "is '70000', but it should be less than or equal to 65535."),
        ("ENVIRONMENT", "My Env", "is 'My Env', but it should be lower-case letters, digits"),
        ("KAFKA_BOOTSTRAP", "kafka", "is 'kafka', but it should be host:port"),
        ("TOPIC_DEAD", "a b", "is 'a b', but it should be letters, digits, dots"),
        ("LOG_LEVEL", "loud", "is 'loud', but it should be 'debug', 'info', 'warning' or 'error'."),
    ],
)
def test_a_bad_value_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"RACKMETER_{variable}", value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"RACKMETER_{variable} {sentence}")
    assert caught.value.exit_code == 2


def test_a_bad_address_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError, match="database_url is set, but it should be") as caught:
        load_settings(database_url="mysql://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKMETER_PARTITION", "8")
    with pytest.raises(
        ConfigError, match="RACKMETER_PARTITION is no setting; RACKMETER_PARTITIONS"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("partitions = -1", r"partitions in mine\.toml is -1, but it should be greater"),
        ("partition = 1", r"partition in mine\.toml is no setting; known are"),
        ("partitions =", r"mine\.toml cannot be read as TOML"),
    ],
)
def test_a_bad_file_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    Path("mine.toml").write_text(text)
    monkeypatch.setenv("RACKMETER_CONFIG", "mine.toml")
    with pytest.raises(ConfigError, match=sentence):
        load_settings()


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACKMETER_CONFIG", "none.toml")
    with pytest.raises(ConfigError, match=r"names none\.toml, which is not a file"):
        load_settings()
