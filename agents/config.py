"""Settings of the agent: flags, then environment, then file, then defaults. Reads them once; knows
no source.

Every mistake is one sentence: where, which field, what was found, what is allowed.
"""

import difflib
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import network as nics
from agents import storage as disks
from agents.fields import FIELDS
from schemas.errors import ConfigError

DEFAULT_FILE = Path("/etc/rackmeter/agent.toml")
PREFIX = "RACKMETER_AGENT_"
SECRETS = ("sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password")
"""Client properties that nobody else may read."""
OTHERS = 0o007


@dataclass(frozen=True, slots=True)
class Settings:
    server: str
    bootstrap: str = "127.0.0.1:9092"
    topic: str = "usage.reports"
    environment: str = "dev"
    key_file: Path | None = None
    state: Path = Path("/var/lib/rackmeter-agent")
    interval_ms: int = 60_000
    log_format: str = "plain"
    root: Path = Path("/")
    network: nics.Choice = field(default_factory=nics.Choice)
    storage: disks.Choice = field(default_factory=disks.Choice)
    gpu_interval_ms: int = 1_000
    spool_bytes_max: int = 16 * 2**20
    """Ten days of a report a minute with 24 series."""
    spool_sync_ms: int = 2_000
    kafka_password_file: Path | None = None
    kafka: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def settings(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """``flags`` by field name, only those given; ``config`` among them names the file."""
    named = flags.get("config") or environ.get(f"{PREFIX}CONFIG")
    values, kafka = _file(Path(str(named)) if named else None)
    for name, text in _environment(environ).items():
        values[name] = _parsed(_variable(name), name, text)
    for name, found in flags.items():
        if name in FIELDS:
            option = "--" + name.removeprefix("network.").replace("_", "-")
            values[name] = _parsed(option, name, found)
    return _settings(values, kafka)


def _settings(values: dict[str, Any], kafka: dict[str, str | int | float | bool]) -> Settings:
    top = {name: value for name, value in values.items() if "." not in name}
    if "interval" in top:
        top["interval_ms"] = top.pop("interval")
    if "gpu.interval" in values:
        top["gpu_interval_ms"] = values["gpu.interval"]
    if "spool.mib" in values:
        top["spool_bytes_max"] = values["spool.mib"] * 2**20
    if "spool.sync" in values:
        top["spool_sync_ms"] = values["spool.sync"]
    top.setdefault("server", socket.gethostname())
    return Settings(
        **top,
        network=nics.Choice(**_section(values, "network.")),
        storage=disks.Choice(**_section(values, "storage.")),
        kafka=kafka,
    )


def _section(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def _file(named: Path | None) -> tuple[dict[str, Any], dict[str, str | int | float | bool]]:
    path = named or DEFAULT_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named is None:
            return {}, {}
        raise ConfigError(f"{path}: there is no such configuration file") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the configuration cannot be read ({error})") from error
    kafka = _kafka(path, document.pop("kafka", {}))
    secret = next((name for name in SECRETS if name in kafka), None)
    if secret and path.stat().st_mode & OTHERS:
        raise ConfigError(
            f'{path}: every user here can read kafka."{secret}"; run: chmod 640 {path}, '
            "or put the password into a file of its own and name that with kafka_password_file"
        )
    flat: dict[str, object] = {}
    for name, found in document.items():
        if isinstance(found, dict):
            flat |= {f"{name}.{inner}": value for inner, value in found.items()}
        else:
            flat[name] = found
    return {name: _parsed(str(path), name, found) for name, found in flat.items()}, kafka


def _kafka(path: Path, found: object) -> dict[str, str | int | float | bool]:
    """Client properties, handed on: TLS and SASL have forty of them, and librdkafka names what it
    refuses.
    """
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: kafka is {found!r}; allowed is a table of client properties")
    for name, value in found.items():
        if not isinstance(value, (str, int, float, bool)):
            raise ConfigError(
                f'{path}: kafka."{name}" is {value!r}; allowed are text, numbers, booleans'
            )
    return dict(found)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    known = {_variable(name): name for name in FIELDS}
    found: dict[str, str] = {}
    for variable, text in environ.items():
        if variable in known:
            found[known[variable]] = text
        elif variable.startswith(PREFIX) and variable != f"{PREFIX}CONFIG":
            raise ConfigError(f"{variable} is not a setting{_nearest(variable, list(known))}")
    return found


def _parsed(source: str, name: str, found: object) -> Any:
    if name not in FIELDS:
        raise ConfigError(f"{source}: {name} is not a setting{_nearest(name, list(FIELDS))}")
    try:
        return FIELDS[name](found)
    except ValueError as error:
        raise ConfigError(f"{source}: {name} is {found!r}; allowed is {error}") from error


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "_")
