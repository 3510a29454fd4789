"""Where an account's events go: its webhook, with the secret that signs them, encrypted
(sinks.vault), and its mail addresses.
"""

from collections.abc import Iterable

from schemas.errors import ConfigError, RefusedError
from schemas.events import webhook_keys
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.egress import TargetRefusedError, check
from sinks.mail import check_address
from sinks.mail_words import LANGUAGES
from sinks.secrets import WEBHOOK_TABLE, in_use
from sinks.vault import Row, Vault


def set_webhook(
    conn: Connection,
    vault: Vault,
    account: str,
    url: str | None,
    secret: str | None,
    *,
    allow_private: bool = False,
) -> None:
    """Where an account's events go from now on; also lifts what a 410 had disabled.

    Neither address nor secret: there is no webhook. Where a name points is checked at every
    delivery: names move. ``allow_private`` is what deliveries go by too (sinks.egress).
    """
    stored = None
    if url is not None or secret is not None:
        _check(account, url, secret, allow_private=allow_private)
        vault.require(list(in_use(conn)))
        stored = vault.encrypt((secret or "").encode(), secret_row(account))
    with conn.transaction():
        changed = conn.execute(
            """
            UPDATE account SET webhook_url = %s, webhook_secret = %s, webhook_disabled_at = NULL
            WHERE account_id = %s
            """,
            (url, stored, account),
        )
        if changed.rowcount != 1:
            raise RefusedError(f"There is no account {account}.")
        record(conn, Act("account.webhook", f"account/{account}", account, after={"url": url},
                         personal=True))  # fmt: skip


def set_mail(conn: Connection, account: str, to: Iterable[str], language: str) -> list[str]:
    """To whom an account's events are mailed from now on, each once, and in which language."""
    try:
        addresses = list(dict.fromkeys(check_address(address) for address in to))
    except ValueError as error:
        raise ConfigError(f"Account {account}: {error}.") from None
    if language not in LANGUAGES:
        raise ConfigError(f"Account {account}: mails are written in {', '.join(LANGUAGES)}.")
    with conn.transaction():
        changed = conn.execute(
            "UPDATE account SET mail_to = %s, language = %s WHERE account_id = %s",
            (addresses, language, account),
        )
        if changed.rowcount != 1:
            raise RefusedError(f"There is no account {account}.")
        said = {"to": addresses, "language": language}
        record(conn, Act("account.mail", f"account/{account}", account, after=said, personal=True))
    return addresses


def secret_row(account: str) -> Row:
    """What the webhook secret of an account is bound to."""
    return Row(WEBHOOK_TABLE, account)


def _check(account: str, url: str | None, secret: str | None, *, allow_private: bool) -> None:
    if not url:
        raise ConfigError(f"Account {account}: a webhook's secret needs its address too.")
    try:
        check(url, allow_private=allow_private)
    except TargetRefusedError as error:
        raise ConfigError(f"Account {account}, webhook: {error}.") from None
    try:
        webhook_keys(secret or "")
    except ValueError as error:
        raise ConfigError(f"Account {account}: {error}.") from None
