"""How alerts go out, from the settings in force; what is missing is said before a worker starts."""

from email.headerregistry import HeaderRegistry
from typing import Any

from agents.keyfile import private_text
from rackmeter.errors import ConfigError
from rackmeter.settings import Settings
from schemas.events import webhook_keys
from sinks.deliver import Provisioning, Ways
from sinks.mail import MailServer
from sinks.vault import Vault


def ways(settings: Settings, vault: Vault) -> Ways:
    """Every channel that is set up."""
    return Ways(vault, settings.allow_private_webhooks, _mail(settings), _provisioning(settings))


def _mail(settings: Settings) -> MailServer | None:
    if settings.smtp_host is None:
        return None
    if not _is_sender(settings.smtp_from):
        raise ConfigError(
            f"RACKMETER_SMTP_FROM is {settings.smtp_from!r}; write the address that alerts come"
            " from, as Hosting <alerts@hosting.example>."
        )
    if (settings.smtp_user is None) != (settings.smtp_password_file is None):
        raise ConfigError("Set RACKMETER_SMTP_USER and RACKMETER_SMTP_PASSWORD_FILE, or neither.")
    if settings.smtp_user is not None and settings.smtp_tls == "none":
        raise ConfigError("RACKMETER_SMTP_TLS is none: a password is not sent without TLS.")
    file = settings.smtp_password_file
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_tls,
        settings.smtp_from or "",
        settings.smtp_user,
        None if file is None else private_text(file).rstrip("\r\n"),
        settings.smtp_ca_file,
    )


def _is_sender(text: str | None) -> bool:
    if not text or "\n" in text or "\r" in text:
        return False
    header = HeaderRegistry()("From", text)
    addresses: tuple[Any, ...] = getattr(header, "addresses", ())
    return len(addresses) == 1 and bool(addresses[0].domain) and not header.defects


def _provisioning(settings: Settings) -> Provisioning | None:
    url, file = settings.provisioning_url, settings.provisioning_secret_file
    if url is None and file is None:
        return None
    if url is None or file is None:
        raise ConfigError(
            "Set RACKMETER_PROVISIONING_URL and RACKMETER_PROVISIONING_SECRET_FILE, or neither."
        )
    secrets = private_text(file).strip()
    try:
        webhook_keys(secrets)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}.") from None
    return Provisioning(url, secrets)
