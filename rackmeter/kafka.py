"""How Kafka is reached: one place for addresses, TLS and SASL, for both of its clients.

librdkafka (confluent-kafka) makes topics and asks after them, aiokafka below Faust reads and
writes. ``Cluster`` says it to each in its own words. Reads the password's file, opens no connection
but in ``Admin``.
"""

import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from agents.keyfile import private_text
from rackmeter.errors import ConfigError, DependencyError, RackmeterError
from rackmeter.settings import Settings

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

_TRY_SECONDS: Final = 0.5
_SAID_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cluster:
    """Addresses, and who we are to them. Without more it is a plain connection."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL")

    def client(self) -> dict[str, Any]:
        """For confluent-kafka."""
        said: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.protocol,
        }
        if self.sasl:
            said["sasl.mechanism"] = self.mechanism
            said["sasl.username"], said["sasl.password"] = self.username, self.password
        if self.tls:
            files = {"ca": self.ca_file, "certificate": self.cert_file, "key": self.key_file}
            said |= {f"ssl.{name}.location": str(path) for name, path in files.items() if path}
        return said

    def credentials(self) -> "CredentialsT | None":
        """For Faust."""
        from faust.auth import SASLCredentials, SSLCredentials  # noqa: PLC0415 - starts slowly

        context = self._context() if self.tls else None
        if self.sasl:
            return SASLCredentials(
                username=self.username, password=self.password, ssl_context=context,
                mechanism=self.mechanism,
            )  # fmt: skip
        return SSLCredentials(context) if context is not None else None

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def cluster(settings: Settings, bootstrap: str | None = None) -> Cluster:
    """The cluster that is set; ``bootstrap`` is an embedded broker's, which knows no security."""
    if settings.kafka_bootstrap is None:
        if bootstrap is None:
            raise ConfigError("Which broker? Set RACKMETER_KAFKA_BOOTSTRAP.")
        return Cluster(bootstrap)
    made = Cluster(
        settings.kafka_bootstrap,
        settings.kafka_security_protocol,
        settings.kafka_sasl_mechanism,
        settings.kafka_username,
        _password(settings.kafka_password_file),
        settings.kafka_ca_file,
        settings.kafka_cert_file,
        settings.kafka_key_file,
    )
    _check(made)
    return made


def _password(path: Path | None) -> str | None:
    return private_text(path).strip() if path is not None else None


def _check(made: Cluster) -> None:
    """What is missing, and what would silently have no effect."""
    own = "RACKMETER_KAFKA_SECURITY_PROTOCOL"
    if made.sasl and not (made.username and made.password):
        raise ConfigError(
            f"{own} is {made.protocol}: set RACKMETER_KAFKA_USERNAME and"
            " RACKMETER_KAFKA_PASSWORD_FILE, a file with the password."
        )
    if not made.sasl and (made.username or made.password):
        raise ConfigError(f"{own} is {made.protocol}, which has no users: SASL_SSL has.")
    if not made.tls and (made.ca_file or made.cert_file or made.key_file):
        raise ConfigError(f"{own} is {made.protocol}, which has no certificates: SSL has.")
    if made.key_file is not None and made.cert_file is None:
        raise ConfigError("RACKMETER_KAFKA_KEY_FILE is set: RACKMETER_KAFKA_CERT_FILE as well.")
    if made.tls:
        try:
            made._context()
        except (OSError, ssl.SSLError) as error:
            files = [str(path) for path in (made.ca_file, made.cert_file, made.key_file) if path]
            raise ConfigError(
                f"{' or '.join(files)} cannot be used for TLS ({error}): PEM files are wanted."
            ) from None


class Admin:
    """An admin client that knows why it was refused: librdkafka says that only on the side."""

    def __init__(self, where: Cluster) -> None:
        self._where = where
        self._said: list[KafkaError] = []
        # Refused connections are told in one sentence, not by librdkafka on stderr.
        said: dict[str, Any] = {"log_level": 0, "error_cb": self._said.append}
        self.client = AdminClient({**where.client(), **said})

    def reach(self, seconds: float) -> None:
        """A broker has answered within that time; what repeating cannot mend is raised at once."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.client.list_topics(timeout=min(seconds, _TRY_SECONDS))
                return
            except KafkaException:
                self.client.poll(_SAID_SECONDS)
                why = _refusal(self._where, self._said)
                if why is not None or time.monotonic() > deadline:
                    raise why or self._silent() from None

    def _silent(self) -> DependencyError:
        unknown = any(error.code() == KafkaError._RESOLVE for error in self._said)
        why = " (the name of its host is not known)" if unknown else ""
        how = f" as {self._where.protocol}" if self._where.protocol != "PLAINTEXT" else ""
        return DependencyError(
            f"Kafka at {self._where.bootstrap} does not answer{how}{why}: start it, or correct"
            " RACKMETER_KAFKA_BOOTSTRAP or RACKMETER_KAFKA_SECURITY_PROTOCOL."
        )


def _refusal(where: Cluster, said: list[KafkaError]) -> RackmeterError | None:
    """The sentence for what a person has to mend."""
    kafka = f"Kafka at {where.bootstrap}"
    for error in said:
        text = error.str()
        if error.code() == KafkaError._AUTHENTICATION and "mechanism handshake" in text:
            return ConfigError(
                f"{kafka} does not do {where.mechanism} ({_end(text)}): correct"
                " RACKMETER_KAFKA_SASL_MECHANISM or RACKMETER_KAFKA_SECURITY_PROTOCOL."
            )
        if error.code() == KafkaError._AUTHENTICATION:
            return ConfigError(
                f"{kafka} refuses user {where.username} with {where.mechanism}: correct"
                " RACKMETER_KAFKA_USERNAME or what RACKMETER_KAFKA_PASSWORD_FILE holds."
            )
        if "verify failed" in text:
            return ConfigError(
                f"{kafka} shows a certificate that {where.ca_file or 'this system'} does not"
                " vouch for, or of another host: correct RACKMETER_KAFKA_CA_FILE."
            )
        if "PLAINTEXT broker" in text:
            return ConfigError(
                f"{kafka} speaks no TLS there: correct RACKMETER_KAFKA_BOOTSTRAP or"
                " RACKMETER_KAFKA_SECURITY_PROTOCOL."
            )
        if "alert bad certificate" in text or "certificate required" in text:
            return ConfigError(
                f"{kafka} wants a client's certificate that it knows: set"
                " RACKMETER_KAFKA_CERT_FILE and RACKMETER_KAFKA_KEY_FILE."
            )
    return None


def _end(text: str) -> str:
    """What the broker said, without librdkafka's state and time."""
    return text.rpartition("Broker: ")[2].partition(" (after")[0]
