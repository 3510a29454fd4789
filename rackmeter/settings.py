"""What an operator may choose: read once, from the environment and an optional TOML file.

Order: arguments of the command line, RACKMETER_… in the environment, the file named by
RACKMETER_CONFIG (or rackmeter.toml in the working folder), the defaults below. A bad value ends in
one ConfigError that names the setting, the value and what is allowed. Nothing else reads the
environment.
"""

import os
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rackmeter.errors import ConfigError

PREFIX = "RACKMETER_"
AGENT_PREFIX = "RACKMETER_AGENT_"  # the agent's own settings (agents/config.py)
CONFIG_VARIABLE = "RACKMETER_CONFIG"
CONFIG_FILE = "rackmeter.toml"
MIB = 1024 * 1024
_SECRET = ("database_url", "master_key")  # their values hold what must not be shown

TopicName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="should be letters, digits, dots, underscores and hyphens, at most 249",
    ),
]
_ADDRESSES = r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$"
_ADDRESSES_SAID = "should be host:port, several with commas between"
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Port = Annotated[int, Field(ge=1, le=65535)]
Milliseconds = Annotated[int, Field(ge=0, le=400 * 24 * 3_600_000)]
Absolute = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class Settings(BaseSettings):
    """Every setting with its default. Durations are milliseconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # Part of every signature: a report signed for one environment is foreign in another.
    environment: str = Field(
        default="dev",
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="should be lower-case letters, digits and hyphens, at most 32",
    )
    data_dir: Absolute = Path("~/.local/share/rackmeter").expanduser()

    # None = the embedded server, started and stopped by rackmeter.
    database_url: str | None = Field(
        default=None,
        pattern=r"^postgres(ql)?://",
        description="should be postgresql://user:password@host:port/database",
    )
    kafka_bootstrap: str | None = Field(
        default=None,
        pattern=_ADDRESSES,
        description=_ADDRESSES_SAID,
    )
    kafka_security_protocol: Protocol = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password_file: Absolute | None = None
    # PEM. Without, the system's authorities are believed.
    kafka_ca_file: Absolute | None = None
    # PEM; the key may lie in the certificate's file.
    kafka_cert_file: Absolute | None = None
    kafka_key_file: Absolute | None = None
    # What the secrets in the ledger are encrypted with: base64 or hex, one a line; the first
    # encrypts, all decrypt. Neither set = the embedded database's own key, in data_dir.
    master_key: SecretStr | None = None
    master_key_file: Absolute | None = None
    # The embedded broker's port; None = a free one.
    broker_port: Port | None = None

    topic_reports: TopicName = "usage.reports"
    topic_changed: TopicName = "usage.changed"
    topic_dead: TopicName = "usage.dead"
    # Fixed for the life of a topic: growing means a new topic, the old one drained first.
    partitions: int = Field(default=4, ge=1, le=1000)
    # Feed the ledger from a topic that was made again or lies on another cluster: set it once.
    accept_new_topic: bool = False

    # A checkpoint is taken at whichever of the three comes first.
    flush_interval_ms: int = Field(default=1_000, ge=50, le=60_000)
    flush_servers: int = Field(default=20_000, ge=1, le=1_000_000)
    flush_bytes: int = Field(default=64 * MIB, ge=MIB, le=1024 * MIB)

    # A worker stops when every report of more than this share of a partition's servers was refused
    # in a window of so much append time and of so many reports at least (pipeline/refusals.py).
    # The window must hold several reports of a server; a ratio of 1 never stops.
    dead_letter_ratio_max: float = Field(default=0.5, ge=0.01, le=1)
    dead_letter_window_ms: Milliseconds = 900_000
    dead_letter_reports_min: int = Field(default=1_000, ge=1, le=1_000_000_000)

    # Every invoice number, one line each, on a disk that does not share the database's fate; one
    # file for all who close. None = numbers.log in data_dir.
    number_log: Absolute | None = None

    # Who acts, in the audit trail, where a console runs commands for a person; None = the user of
    # the operating system. The keys that sign its heads (private, mode 600; the first signs, all
    # verify), and the file of heads, which is to outlive the database; None = audit-heads.jsonl in
    # data_dir.
    actor: str | None = Field(default=None, min_length=1, max_length=200)
    audit_key_file: Absolute | None = None
    audit_heads: Absolute | None = None

    # Where `rackmeter archive` keeps raw reports; None = archive in data_dir.
    archive_dir: Absolute | None = None
    # What `rackmeter reconcile` compares with (rackmeter/nightly_files.py): the provider's
    # inventory, which port a server is plugged to, and meters of the same traffic.
    inventory_file: Absolute | None = None
    ports_file: Absolute | None = None
    cross_checks: str = "net.tx_bytes=port.rx_bytes:2%,net.rx_bytes=port.tx_bytes:2%"

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Neighbouring readings further apart than this leave the time between them uncovered: three
    # reports of five minutes missed.
    gap_limit_ms: Milliseconds = 900_000
    # A wall clock further than this from the broker's is corrected and the server flagged.
    clock_tolerance_ms: Milliseconds = 30_000
    # How long after its end a period stays open for what is still on its way.
    grace_ms: Milliseconds = 120_000
    # What was billed too much is given back by a credit note from this amount on, in the account's
    # currency; less is on the account's next invoice.
    credit_note_min: Decimal = Field(default=Decimal("1.00"), ge=0, max_digits=12)

    # `rackmeter db maintain` drops windows that are older and not needed; None = never.
    keep_windows_days: int | None = Field(default=None, ge=62, le=36_500)
    # A sealed period's windows are kept this long after its end, whatever the line above says.
    dispute_days: int = Field(default=90, ge=0, le=3_650)
    # TimescaleDB: a chunk of windows is compressed this long after its end. Late ones still come.
    columnstore_after_days: int = Field(default=7, ge=1, le=365)

    # Webhooks to private and loopback addresses, and over plain HTTP: for tests and demos.
    allow_private_webhooks: bool = False
    # Where alerts are handed in as mail; without a host there is none. The file is PEM, of the
    # server's authority where the system does not know it.
    smtp_host: str | None = None
    smtp_port: Port = 587
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password_file: Absolute | None = None
    smtp_ca_file: Absolute | None = None
    # From whom: alerts@hosting.example, or Hosting <alerts@hosting.example>.
    smtp_from: str | None = None
    # The provider's own endpoint that suspends and resumes; the file holds whsec_…, mode 600.
    provisioning_url: str | None = Field(
        default=None, pattern=r"^https?://", description="should begin with https:// or http://"
    )
    provisioning_secret_file: Absolute | None = None

    # Stripe: a restricted key (rk_…) and the endpoint's signing secrets (whsec_…, two with a space
    # while one replaces the other), each in a file, mode 600; where customers come back to.
    stripe_secret_file: Absolute | None = None
    stripe_webhook_secret_file: Absolute | None = None
    stripe_return_url: str | None = Field(
        default=None, pattern=r"^https?://", description="should begin with https:// or http://"
    )
    # Stripe Invoicing as a way to pay: Stripe hosts a page for our invoice.
    stripe_invoicing: bool = False
    # Another address than Stripe's own, for tests.
    stripe_api: str | None = Field(
        default=None, pattern=r"^https?://", description="should begin with https:// or http://"
    )
    # Days after each decline at which a charge is tried again, with commas; days after the due date
    # at which an account is overdue, restricted, suspended and to be terminated; days of notice.
    dunning_retry_days: str = Field(
        default="3,5,7",
        pattern=r"^(\d{1,2}(,\d{1,2}){0,9})?$",
        description="should be whole days with commas between, as 3,5,7",
    )
    dunning_overdue_days: int = Field(default=1, ge=0, le=365)
    dunning_restrict_days: int = Field(default=14, ge=1, le=365)
    dunning_suspend_days: int = Field(default=21, ge=1, le=365)
    dunning_terminate_days: int = Field(default=45, ge=1, le=365)
    dunning_notice_days: int = Field(default=7, ge=1, le=90)
    # What an account owes at least before it is dunned, by currency; where none is said, what cards
    # pay at least (0.50 EUR). Less than that nobody is written to for, nor loses a server.
    dunning_minimum: str = Field(
        default="",
        pattern=r"^(\d+(\.\d+)? [A-Z]{3}(, ?\d+(\.\d+)? [A-Z]{3})*)?$",
        description="should be amounts with currencies and commas between, as 5.00 EUR,800 JPY",
    )

    # The API. Without a certificate it gives keys only to this machine and to trusted proxies'
    # https; those are addresses or networks, several with commas, and "*" is everybody.
    api_host: str = Field(
        default="127.0.0.1",
        pattern=r"^[0-9A-Fa-f:.]+$",
        description=("should be an address, as 127.0.0.1, 0.0.0.0 or ::"),
    )
    api_port: Port = 8080
    api_cert_file: Absolute | None = None
    api_key_file: Absolute | None = None
    api_trusted_proxies: str | None = None
    # What servers are told at enrolment; None = as for the worker.
    enroll_bootstrap: str | None = Field(
        default=None, pattern=_ADDRESSES, description=_ADDRESSES_SAID
    )
    enroll_security_protocol: Protocol | None = None
    # Prometheus metrics of a worker, each on a port of its own; None = not served.
    metrics_port: Port | None = None
    # Only this machine, unless it is known who else reaches the port: the page needs no password.
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    # Where jobs leave their metrics for node_exporter's textfile collector.
    metrics_dir: Absolute | None = None

    @property
    def numbers(self) -> Path:
        """The number log in force."""
        return self.number_log or self.data_dir / "numbers.log"

    @property
    def heads(self) -> Path:
        """The file of the audit trail's signed heads in force."""
        return self.audit_heads or self.data_dir / "audit-heads.jsonl"

    @property
    def archive(self) -> Path:
        """The archive's folder in force."""
        return self.archive_dir or self.data_dir / "archive"

    @field_validator(
        "database_url",
        "kafka_bootstrap",
        "kafka_username",
        "kafka_password_file",
        "kafka_ca_file",
        "kafka_cert_file",
        "kafka_key_file",
        "master_key",
        "master_key_file",
        "broker_port",
        "number_log",
        "archive_dir",
        "inventory_file",
        "ports_file",
        "actor",
        "audit_key_file",
        "audit_heads",
        "smtp_host",
        "smtp_user",
        "smtp_password_file",
        "smtp_ca_file",
        "smtp_from",
        "provisioning_url",
        "provisioning_secret_file",
        "stripe_secret_file",
        "stripe_webhook_secret_file",
        "stripe_return_url",
        "stripe_api",
        "api_cert_file",
        "api_key_file",
        "api_trusted_proxies",
        "enroll_bootstrap",
        "enroll_security_protocol",
        "metrics_port",
        "metrics_dir",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, file; no .env and no secrets folder."""
        file = TomlConfigSettingsSource(settings_cls, _config_file())
        if "master_key" in file.toml_data:
            raise ConfigError(
                f"{_config_file()} holds master_key, and configuration is for many to read: put the"
                " key into a file of its own, mode 600, and name that as master_key_file."
            )
        return init_settings, env_settings, file


def load_settings(**arguments: Any) -> Settings:
    """The settings in force; an argument that is None was not given."""
    given = {name: value for name, value in arguments.items() if value is not None}
    _refuse_misspelt_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], given)) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_config_file()} cannot be read as TOML: {error}.") from error


def _config_file() -> Path:
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise ConfigError(f"{CONFIG_VARIABLE} names {named}, which is not a file.")
    return Path(named or CONFIG_FILE)


def _refuse_misspelt_variables() -> None:
    """A misspelt variable would otherwise be a default nobody notices."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [CONFIG_VARIABLE]
    for name in sorted(os.environ):
        if name.startswith(AGENT_PREFIX):
            continue
        if name.startswith(PREFIX) and name not in known:
            for meant in get_close_matches(name, known, n=1, cutoff=0.85):
                raise ConfigError(f"{name} is no setting; {meant} is: was that meant?")


def _sentence(error: ErrorDetails, given: dict[str, Any]) -> str:
    """One sentence: which setting, from where, which value, what is allowed."""
    name = str(error["loc"][0]) if error["loc"] else "settings"
    where = _origin(name, given)
    if error["type"] == "extra_forbidden":
        return f"{where} is no setting; known are {', '.join(sorted(Settings.model_fields))}."
    shown = "set" if name in _SECRET else repr(error["input"])
    return f"{where} is {shown}, but it {_allowed(name, error)}."


def _allowed(name: str, error: ErrorDetails) -> str:
    field = Settings.model_fields.get(name)
    if error["type"] == "string_pattern_mismatch" and field is not None and field.description:
        return field.description
    return error["msg"].removeprefix("Input ").removeprefix("Value error, ")


def _origin(name: str, given: dict[str, Any]) -> str:
    variable = PREFIX + name.upper()
    if name in given:
        return name
    return variable if variable in os.environ else f"{name} in {_config_file()}"
