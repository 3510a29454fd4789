"""The collectors' file: where reports go, and what is read. TOML; a mistake is one sentence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from agents import keyfile
from agents.integrate import RULES
from agents.publish import Target
from rackmeter.collect.redfish import Bmc, Reads, trusting
from rackmeter.collect.redfish import Login as BmcLogin
from rackmeter.collect.scrape import Exporter, Rule
from rackmeter.collect.snmp import Engines, Login, Switch
from rackmeter.errors import ConfigError
from schemas.envelope import Key

Server = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,255}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Read = TypeVar("Read", bound="Collect")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SwitchTable(_Strict):
    """``[[switch]]``"""

    name: Text
    host: Text
    port: int = Field(161, ge=1, le=65535)
    version: Literal["2c", "3"]
    community_file: Path | None = None
    user: str = ""
    auth: Literal["", "sha1", "sha256", "sha512"] = ""
    auth_file: Path | None = None
    privacy: Literal["", "aes128", "aes256"] = ""
    privacy_file: Path | None = None
    ports: dict[Text, Server] = Field(min_length=1)


class Collect(_Strict):
    """What all collectors say of themselves."""

    bootstrap: Text = "127.0.0.1:9092"
    topic: Text = "usage.reports"
    environment: Text = "dev"
    keys: Path
    """A folder with the key of each reported server: SERVER.key."""
    state: Path
    interval: float = Field(60, ge=0.05, le=3600)
    spool_mib: int = Field(256, ge=1, le=65_536)
    at_once: int = Field(64, ge=1, le=1000)
    """Sources that are asked at the same time."""
    kafka: dict[str, str | int | float | bool] = Field(default_factory=dict)


class RuleTable(_Strict):
    """``[[exporter.rule]]``"""

    metric: Text
    meter: Text
    server: Text
    resource: str = ""
    scale: Decimal = Field(Decimal(1), gt=0)
    where: dict[str, str] = Field(default_factory=dict)
    level: bool = False
    """Power, of a meter of energy; in microwatts."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.level and not self.meter.endswith(".energy_mj"):
            raise ValueError(f"level is for power, and {self.meter} counts no energy")
        return self

    @field_validator("meter")
    @classmethod
    def _known(cls, meter: str) -> str:
        if meter not in RULES:
            raise ValueError(f"{meter} is no meter; known are {', '.join(sorted(RULES))}")
        return meter


class ExporterTable(_Strict):
    """``[[exporter]]``"""

    name: Text
    url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    servers: frozenset[Server] = Field(min_length=1)
    rule: tuple[RuleTable, ...] = Field(min_length=1)


class BmcTable(_Strict):
    """``[[bmc]]``"""

    name: Text
    host: Text
    port: int = Field(443, ge=1, le=65535)
    user: Text
    password_file: Path
    ca_file: Path | None = None
    fingerprint: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the controller's certificate."""
    reads: Reads = "power"
    server: Server | None = None
    chassis: dict[Text, Server] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if (self.server is None) == (not self.chassis):
            raise ValueError("write server, or [bmc.chassis] with the server of each chassis' id")
        return self


class Scrape(Collect):
    """The file of ``rackmeter collect scrape``."""

    state: Path = Path("/var/lib/rackmeter/collector-scrape")
    exporter: tuple[ExporterTable, ...] = Field(min_length=1)


class Redfish(Collect):
    """The file of ``rackmeter collect redfish``."""

    state: Path = Path("/var/lib/rackmeter/collector-redfish")
    bmc: tuple[BmcTable, ...] = Field(min_length=1)


class Snmp(Collect):
    """The file of ``rackmeter collect snmp``."""

    state: Path = Path("/var/lib/rackmeter/collector-snmp")
    switch: tuple[SwitchTable, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Ring(Target):
    """A target that signs for many servers."""

    keys: Mapping[str, Key] = field(default_factory=dict)

    def key_of(self, server: str) -> Key | None:
        return self.keys.get(server)


def ring(collect: Collect, servers: frozenset[str]) -> Ring:
    """Reads every server's key; raises ConfigError for one that is missing or open to others."""
    keys = {one: keyfile.load(collect.keys / f"{one}.key", one) for one in sorted(servers)}
    kafka = {"bootstrap.servers": collect.bootstrap, **collect.kafka}
    return Ring(collect.topic, collect.environment, next(iter(keys.values())), kafka, keys)


def read(path: Path, kind: type[Read]) -> Read:
    """Raises ConfigError: which field, and what is wrong with it."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {where}: {first['msg']}.") from error


def exporters(said: Scrape) -> list[Exporter]:
    """Raises ConfigError for two exporters of one name."""
    _unlike("exporters", [one.name for one in said.exporter])
    return [
        Exporter(one.name, one.url, tuple(_rule(rule) for rule in one.rule), one.servers)
        for one in said.exporter
    ]


def _rule(one: RuleTable) -> Rule:
    return Rule(one.metric, one.meter, one.server, one.resource, one.scale, one.where, one.level)


def _unlike(what: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two {what} are called {twice}; their series would be one.")


def controllers(said: Redfish) -> list[Bmc]:
    """Raises ConfigError for a secret that is missing, or two controllers of one name."""
    _unlike("controllers", [one.name for one in said.bmc])
    return [
        Bmc(one.name, one.host, one.port, _bmc_login(one), one.reads, one.server or "", one.chassis)
        for one in said.bmc
    ]


def _bmc_login(one: BmcTable) -> BmcLogin:
    password = keyfile.own_text(one.password_file).strip()
    try:
        trust = trusting(str(one.ca_file) if one.ca_file else None, one.fingerprint)
    except OSError as error:
        raise ConfigError(f"controller {one.name}: {one.ca_file}: {error}.") from error
    return BmcLogin(one.user, password, trust, one.fingerprint)


def switches(said: Snmp) -> list[Switch]:
    """Raises ConfigError for a login that is incomplete, or two switches of one name."""
    _unlike("switches", [one.name for one in said.switch])
    engines = Engines()
    interval_ms = round(1000 * said.interval)
    return [
        Switch(one.name, one.host, one.port, _login(one), one.ports, engines, interval_ms)
        for one in said.switch
    ]


def _login(one: SwitchTable) -> Login:
    if one.version == "2c":
        return Login(community=_secret(one, "community_file", one.community_file))
    if not one.user:
        raise ConfigError(f"switch {one.name}: version 3 needs user.")
    if one.privacy and not one.auth:
        raise ConfigError(f"switch {one.name}: SNMP knows no privacy without auth.")
    return Login(
        user=one.user,
        auth=one.auth,
        auth_secret=_secret(one, "auth_file", one.auth_file) if one.auth else "",
        privacy=one.privacy,
        privacy_secret=_secret(one, "privacy_file", one.privacy_file) if one.privacy else "",
    )


def _secret(one: SwitchTable, name: str, path: Path | None) -> str:
    if path is None:
        raise ConfigError(f"switch {one.name}: {name} is missing; it names a file with the word.")
    word = keyfile.own_text(path).strip()
    if not word:
        raise ConfigError(f"switch {one.name}: {path} is empty.")
    return word
