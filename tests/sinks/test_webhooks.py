"""Where an account's events go: checked, encrypted, and open again after a 410."""

import pytest

from schemas.errors import ConfigError, RefusedError
from sinks.database import Connection
from sinks.vault import Vault
from sinks.webhooks import secret_row, set_webhook
from tests.fix_billing import SECRET
from tests.vault import VAULT

URL = "https://acme.example/new"


def test_a_webhook_set_anew_lifts_what_disabled_it(customer: Connection) -> None:
    customer.execute("UPDATE account SET webhook_disabled_at = now()")
    set_webhook(customer, VAULT, "acme", URL, SECRET)
    row = customer.execute(
        "SELECT webhook_url, webhook_disabled_at, webhook_secret FROM account"
    ).fetchone()
    assert row is not None
    assert row[:2] == (URL, None)
    assert VAULT.decrypt(row[2], secret_row("acme")) == SECRET.encode()


def test_no_address_is_no_webhook(customer: Connection) -> None:
    set_webhook(customer, VAULT, "acme", None, None)
    row = customer.execute("SELECT webhook_url, webhook_secret FROM account").fetchone()
    assert row == (None, None)


def test_what_is_refused(customer: Connection) -> None:
    with pytest.raises(RefusedError, match="no account nobody"):
        set_webhook(customer, VAULT, "nobody", None, None)
    for secret in (None, "whsec_", "secret"):
        with pytest.raises(ConfigError, match="Account acme: a webhook secret"):
            set_webhook(customer, VAULT, "acme", URL, secret)
    for url in (None, ""):
        with pytest.raises(ConfigError, match="Account acme: a webhook's secret needs its add"):
            set_webhook(customer, VAULT, "acme", url, SECRET)
    with pytest.raises(ConfigError, match=f"under master key {VAULT.current}, and only"):
        set_webhook(customer, Vault([b"x" * 32]), "acme", URL, SECRET)
    row = customer.execute("SELECT webhook_url FROM account").fetchone()
    assert row == ("https://acme.example/hooks",)
