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


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("not a url", "the address is not a URL"),
        ("acme.example/hooks", "the address is not a URL"),
        ("https://acme example/hooks", "the address is not a URL"),
        ("https://acme.example:99999/", "the address is not a URL"),
        ("https://acme.example:0/", "the address is not a URL"),
        ("ftp://acme.example/", "must begin with https://, not ftp://"),
        ("file:///etc/passwd", "must begin with https://, not file://"),
        ("http://acme.example/", "not http://, unless RACKMETER_ALLOW_PRIVATE_WEBHOOKS is set"),
        ("https:///hooks", "the address must name a host"),
        ("https://user:word@acme.example/", "must hold no user and no password"),
        ("https://user@acme.example/", "must hold no user and no password"),
        ("https://10.0.0.8/hooks", "10.0.0.8 is not on the public internet"),
        ("https://[::1]:8443/", "is not on the public internet"),
    ],
)
def test_an_address_that_is_none_is_refused_with_one_that_is(
    customer: Connection, url: str, why: str
) -> None:
    with pytest.raises(ConfigError, match="Account acme, webhook: ") as refused:
        set_webhook(customer, VAULT, "acme", url, SECRET)
    assert why in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")
    row = customer.execute("SELECT webhook_url FROM account").fetchone()
    assert row == ("https://acme.example/hooks",)


@pytest.mark.parametrize("url", ["http://10.0.0.8:8080/hooks?of=us", "https://acme.example/ä"])
def test_a_private_network_is_allowed_where_deliveries_may_go_there(
    customer: Connection, url: str
) -> None:
    set_webhook(customer, VAULT, "acme", url, SECRET, allow_private=True)
    with pytest.raises(ConfigError):
        set_webhook(customer, VAULT, "acme", "ftp://10.0.0.8/", SECRET, allow_private=True)
