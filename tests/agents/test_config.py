"""Settings: which source wins, and one sentence for each mistake."""

import base64
import json
from pathlib import Path

import pytest

from agents import keyfile
from agents.config import Settings, settings
from agents.network import EXCLUDE
from schemas.errors import ConfigError

SECRET = bytes(range(32))


def told(tmp_path: Path, toml: str, flags: dict[str, object] | None = None, **env: str) -> Settings:
    path = tmp_path / "agent.toml"
    path.write_text(toml)
    return settings({"config": str(path), **(flags or {})}, env)


def test_defaults(tmp_path: Path) -> None:
    chosen = told(tmp_path, "")
    assert (chosen.topic, chosen.environment, chosen.interval_ms) == (
        "usage.reports",
        "dev",
        60_000,
    )
    assert chosen.network.exclude == EXCLUDE
    assert chosen.server


def test_flag_over_environment_over_file(tmp_path: Path) -> None:
    toml = 'server = "file"\ntopic = "file"\nenvironment = "file"\n[network]\nloopback = false\n'
    env = {"RACKMETER_AGENT_TOPIC": "env", "RACKMETER_AGENT_ENVIRONMENT": "env"}
    chosen = told(tmp_path, toml, {"environment": "flag", "network.loopback": True}, **env)
    assert (chosen.server, chosen.topic, chosen.environment) == ("file", "env", "flag")
    assert chosen.network.loopback


def test_the_spool_and_a_password_of_its_own(tmp_path: Path) -> None:
    toml = 'kafka_password_file = "/etc/p"\n[spool]\nmib = 4\nsync = 0.5\n'
    chosen = told(tmp_path, toml, RACKMETER_AGENT_SPOOL_MIB="8")
    assert (chosen.spool_bytes_max, chosen.spool_sync_ms) == (8 * 2**20, 500)
    assert chosen.kafka_password_file == Path("/etc/p")


def test_a_password_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[kafka]\n"sasl.password" = "x"\n')
    path.chmod(0o640)
    assert settings({"config": str(path)}, {}).kafka == {"sasl.password": "x"}


def test_every_section_of_a_file(tmp_path: Path) -> None:
    chosen = told(
        tmp_path,
        """
        interval = 0.25
        state = "/tmp/s"
        [network]
        include = ["eth*"]
        wrap32 = ["ppp*"]
        [storage]
        exclude = ["/boot"]
        [gpu]
        interval = 2
        [kafka]
        "security.protocol" = "SSL"
        """,
        RACKMETER_AGENT_NETWORK_EXCLUDE="lo, veth*",
    )
    assert (chosen.interval_ms, chosen.gpu_interval_ms, chosen.state) == (250, 2000, Path("/tmp/s"))
    assert chosen.network.exclude == ("lo", "veth*")
    assert (chosen.network.include, chosen.network.wrap32) == (("eth*",), ("ppp*",))
    assert chosen.storage.exclude == ("/boot",)
    assert chosen.kafka == {"security.protocol": "SSL"}


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("interval = 0", "interval is 0; allowed is a number of seconds from 0.05 to 3600"),
        ('interval = "x"', "interval is 'x'; allowed is a number"),
        ("interval = true", "interval is True; allowed is a number"),
        ("intervall = 5", "intervall is not a setting; did you mean interval?"),
        ("[network]\nloopback = 2", "network.loopback is 2; allowed is true or false"),
        ("[network]\nexclude = 2", "network.exclude is 2; allowed is a list of texts"),
        ('topic = "a b"', "topic is 'a b'; allowed is 1 to 249 letters"),
        ('server = ""', "server is ''; allowed is a printable text"),
        ('log_format = "xml"', "log_format is 'xml'; allowed is plain or json"),
        ("[spool]\nmib = 0", "spool.mib is 0; allowed is a whole number from 1 to 65536"),
        ("[spool]\nmib = 1.5", "spool.mib is 1.5; allowed is a whole number"),
        ("[spool]\nsync = -1", "spool.sync is -1; allowed is a number of seconds from 0 to 3600"),
        ('[kafka]\n"sasl.password" = "x"', 'every user here can read kafka."sasl.password"'),
        ("kafka = 3", "kafka is 3; allowed is a table"),
        ("[kafka]\na = []", 'kafka."a" is []; allowed are text'),
        ("interval = ", "cannot be read"),
    ],
)
def test_one_sentence_names_file_field_and_what_is_allowed(
    tmp_path: Path, toml: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        told(tmp_path, toml)
    assert str(tmp_path / "agent.toml") in str(caught.value)
    assert sentence in str(caught.value)


def test_a_mistyped_variable_is_not_silently_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean RACKMETER_AGENT_SERVER"):
        told(tmp_path, "", RACKMETER_AGENT_SERVR="x")
    with pytest.raises(ConfigError, match="there is no such configuration file"):
        settings({"config": str(tmp_path / "none")}, {})


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "text",
    [
        f'kid = "k1"\nsecret = "{SECRET.hex()}"\n',
        f'kid = "k1"\nserver = "s1"\nsecret = "{base64.b64encode(SECRET).decode()}"\n',
        json.dumps({"kid": "k1", "secret": SECRET.hex()}),
    ],
)
def test_keys_in_each_form(tmp_path: Path, text: str) -> None:
    key = keyfile.load(key_file(tmp_path, text, 0o640), "s1")
    assert (key.kid, key.server, key.secret) == ("k1", "s1", SECRET)


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (f'kid="k"\nsecret="{SECRET.hex()}"', 0o644, "run: chmod 600"),
        ('kid = ""', 0o600, "kid is ''"),
        ('kid = "k"', 0o600, "secret is missing"),
        ('kid = "k"\nsecret = "abcd"', 0o600, "has 2 bytes; at least 16"),
        ('kid = "k"\nsecret = "?"', 0o600, "neither hex nor base64"),
        ("{", 0o600, "neither TOML nor JSON"),
        (f'kid="k"\nserver="s2"\nsecret="{SECRET.hex()}"', 0o600, "is for server 's2'"),
    ],
)
def test_keys_that_will_not_do(tmp_path: Path, text: str, mode: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        keyfile.load(key_file(tmp_path, text, mode), "s1")
    assert sentence in str(caught.value)


def test_no_key_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        keyfile.load(tmp_path / "none", "s1")
