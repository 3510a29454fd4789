"""Budgets and alerts as operators have them: commands, settings, the receiver in the manual."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Chunk, Taped
from rackmeter.cli import main as cli
from rackmeter.errors import ConfigError
from rackmeter.rater import Rater
from rackmeter.settings import load_settings
from rackmeter.ways import ways
from schemas.events import Changed, encode_changed
from sinks.accruals import rate_scope
from sinks.budgets import drop_budget
from sinks.database import Connection
from sinks.deliver import Provisioning, Ways, deliver_due
from sinks.timelines import end
from sinks.watch import look
from tests.fix_api import free_port
from tests.fix_billing import SECRET, TX, meter_late, rent_small
from tests.fix_worker import wait_for
from tests.vault import ENVIRONMENT, VAULT

ROOT = Path(__file__).parents[2]
MB = 1_000_000
Run = Callable[..., Any]


@pytest.fixture
def run(
    customer: Connection,
    billing_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command for acme, who rents i-1; returns its document, errors as their text."""
    rent_small(customer)
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)

    def command(*arguments: str, code: int = 0) -> Any:
        assert cli.run([*arguments, "--json"]) == code
        shown = json.loads(capsys.readouterr().out)
        return shown["error"]["message"] if code else shown

    return command


def spend(conn: Connection) -> None:
    """15 EUR of traffic in the running month, rated and looked at."""
    now = datetime.now(UTC)
    window = now.replace(minute=0, second=0, microsecond=0)
    meter_late(conn, "s-1", TX, "eth0", window, 115 * MB)
    rate_scope(conn, "i-1", now, now)
    look(conn, "acme", now, now)


def test_a_budget_from_its_command_to_a_parked_alert_that_is_sent_again(
    run: Run, customer: Connection
) -> None:
    said = run("account", "budget", "set", "acme", "--limit", "10.00 EUR", "--at", "50", "--at",
               "100", "--by", "anna")  # fmt: skip
    assert (said["most"], said["percents"], said["set_by"], said["set"]) == (
        "10.00", [50, 100], "anna", True,
    )  # fmt: skip
    again = run("account", "budget", "set", "acme", "--limit", "10 EUR", "--at", "100", "--at",
                "50")  # fmt: skip
    assert (again["budget"], again["set"]) == (said["budget"], False)
    assert run("account", "mail", "acme", "--to", "a@acme.example")["mail_to"] == ["a@acme.example"]
    spend(customer)
    page = run("alert", "list", "--channel", "mail", "--limit", "3")
    assert len(page["alerts"]) == 3
    rest = run("alert", "list", "--channel", "mail", "--before", str(page["before"]))
    assert len(rest["alerts"]) == 2, "three of the allowance, two of the budget"
    one = page["alerts"][0]["alert"]
    customer.execute("UPDATE alert_outbox SET failed = 'ten tries' WHERE alert_id = %s", (one,))
    assert [row["why"] for row in run("alert", "list", "--state", "parked")["alerts"]] == [
        "ten tries"
    ]
    assert run("alert", "resend", "--state", "parked", "--yes")["alerts"] == [one]
    shown = run("alert", "show", one)
    assert (shown["state"], shown["attempts"], shown["recipient"]) == (
        "waiting", 0, "a@acme.example",
    )  # fmt: skip
    assert run("account", "budget", "drop", str(said["budget"]), "--by", "bert")["ended"]
    assert run("account", "budget", "list", "acme")["budgets"] == []
    (ended,) = run("account", "budget", "list", "--all")["budgets"]
    assert (ended["set_by"], ended["ended_by"]) == ("anna", "bert")


def test_a_command_that_others_followed_is_told_as_it_stands_now(
    run: Run, customer: Connection
) -> None:
    """Two servers are suspended and resumed, one is suspended again; nothing was delivered."""
    rent_small(customer, "i-2", "s-2")
    whole = run("account", "budget", "set", "acme", "--limit", "10", "--action", "cap")
    spend(customer)
    (suspend,) = run("alert", "list", "--channel", "command")["alerts"]
    same = run("alert", "resend", suspend["alert"])
    assert (same["alerts"], same["replaced"]) == ([suspend["alert"]], []), "under the same id"
    run("account", "budget", "drop", str(whole["budget"]))
    run("account", "budget", "set", "acme", "--limit", "1", "--action", "cap", "--item", "i-1")
    now = datetime.now(UTC)
    look(customer, "acme", now, now)
    customer.execute("UPDATE alert_outbox SET failed = 'ten tries' WHERE channel = 'command'")
    sent = run("alert", "resend", suspend["alert"])
    assert sent["replaced"] == [suspend["alert"]]
    told = [run("alert", "show", one) for one in sent["alerts"]]
    assert [(row["kind"], row["body"]["data"]["items"], row["state"]) for row in told] == [
        ("provisioning.resume", ["i-2"], "waiting"), ("provisioning.suspend", ["i-1"], "waiting"),
    ]  # fmt: skip
    ats = [
        row["body"]["data"]["at"] for row in run("alert", "list", "--channel", "command")["alerts"]
    ]
    assert ats == sorted(ats, reverse=True), "a receiver that goes by time takes the newest"
    shown = run("alert", "show", suspend["alert"])
    assert shown["state"] == "replaced"
    assert shown["why"] == f"replaced by {', '.join(sent['alerts'])}"
    parked = run("alert", "list", "--state", "parked")["alerts"]
    assert suspend["alert"] not in [row["alert"] for row in parked]


def test_commands_of_what_is_rented_no_more_are_told_nothing_instead(
    run: Run, customer: Connection
) -> None:
    whole = run("account", "budget", "set", "acme", "--limit", "10", "--action", "cap")
    spend(customer)
    run("account", "budget", "drop", str(whole["budget"]))
    now = datetime.now(UTC)
    look(customer, "acme", now, now)
    end(customer, "i-1", now)
    (_, suspend) = run("alert", "list", "--channel", "command")["alerts"]
    sent = run("alert", "resend", suspend["alert"])
    assert (sent["alerts"], sent["replaced"]) == ([], [suspend["alert"]])
    assert "nothing that it names is rented" in run("alert", "show", suspend["alert"])["why"]


def test_what_is_owed_is_part_of_how_it_stands(run: Run, customer: Connection) -> None:
    whole = run("account", "budget", "set", "acme", "--limit", "10", "--action", "cap")
    spend(customer)
    run("account", "budget", "drop", str(whole["budget"]))
    now = datetime.now(UTC)
    look(customer, "acme", now, now)
    suspend = run("alert", "list", "--channel", "command")["alerts"][-1]["alert"]
    customer.execute("INSERT INTO dunning (account_id, state, since, cycle)"
                     " VALUES ('acme', 'restricted', now(), now())")  # fmt: skip
    kinds = {
        "restricted": ["provisioning.resume", "provisioning.restrict"],
        "suspended": ["provisioning.suspend"],
        "terminated": ["provisioning.terminate"],
    }
    for state, expected in kinds.items():
        customer.execute("UPDATE dunning SET state = %s", (state,))
        sent = run("alert", "resend", suspend)["alerts"]
        assert [run("alert", "show", one)["kind"] for one in sent] == expected


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("account budget set acme --limit lots", "--limit is lots; write an amount"),
        ("account budget set acme --limit 0", "--limit is 0; write an amount"),
        ("account budget set acme --limit 5 --at 0", "--at is a percentage from 1 to 1000"),
        ("account budget set acme --limit 5 --charge traffic", "--charge needs --item"),
        ("account budget set acme --limit 5 --action stop", "it must be notify or cap"),
        ("account budget set acme --limit 5 --action cap --at 80", "name --at 100 too"),
        ("account budget set acme --limit 5 --forecast soon", "--forecast is soon; write"),
        ("account budget set acme --limit 5 --forecast 0", "--forecast is 0; write 6h or 2d"),
        ("account budget set acme --limit 5 --forecast 0h", "--forecast is 0h; write 6h or 2d"),
        ("account mail acme --to nobody", "'nobody' is no mail address"),
        ("alert list --state lost", "must be one of waiting, delivered, parked, replaced"),
        ("alert list --channel pigeon", "must be one of webhook, mail, command"),
        ("alert resend", "Which? Name an ALERT"),
    ],
)
def test_what_is_no_budget_address_or_alert_is_told(run: Run, arguments: str, why: str) -> None:
    assert why in run(*arguments.split(), code=2)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("--url ftp://x.example --secret {}", "must begin with https://, not ftp://"),
        ("--url https://x.example", "a webhook secret is missing; make one"),
        ("--url https://x.example --secret whsec_x", "is base64 after whsec_, and this is none"),
    ],
)
def test_what_is_no_webhook_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: str, why: str
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert why in run("account", "webhook", "acme", *arguments.format(SECRET).split(), code=2)
    url = "http://10.0.0.8/hooks"
    assert "unless RACKMETER_ALLOW_PRIVATE_WEBHOOKS is set" in run(
        "account", "webhook", "acme", "--url", url, "--secret", SECRET, code=2
    )
    monkeypatch.setenv("RACKMETER_ALLOW_PRIVATE_WEBHOOKS", "1")
    said = run("account", "webhook", "acme", "--url", url, "--secret", SECRET)
    assert said == {"account": "acme", "webhook_url": url}


def test_what_is_not_there_is_refused(run: Run) -> None:
    for arguments in ("alert show msg_0", "alert resend msg_0", "account budget drop 7"):
        assert "There is no" in run(*arguments.split(), code=5)


def test_a_worker_looks_at_budgets_after_a_rating_and_finds_dropped_ones_by_itself(
    run: Run, customer: Connection, billing_url: str
) -> None:
    said = run("account", "budget", "set", "acme", "--limit", "10", "--action", "cap")
    now = datetime.now(UTC)
    window = now.replace(minute=0, second=0, microsecond=0)
    meter_late(customer, "s-1", TX, "eth0", window, 115 * MB)
    rater = Rater(billing_url)
    value = encode_changed([Changed("i-1", 0, int(now.timestamp() * 1000))])

    async def rate() -> None:
        await rater.take(Chunk("changed", 0, [Taped(0, 0, 1, None, value, ())]))
        await rater.rate_waiting()

    def kinds() -> list[str]:
        rows = customer.execute("SELECT kind FROM alert_outbox WHERE channel = 'command'")
        return sorted(row[0] for row in rows)

    try:
        asyncio.run(rate())
        assert kinds() == ["suspend"]
        drop_budget(customer, said["budget"], "anna", now)
        rater._sweep_at = 0.0
        rater._wake = asyncio.Event()
        asyncio.run(rate())
        assert kinds() == ["resume", "suspend"]
    finally:
        rater.close()


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"smtp_host": "mail"}, "RACKMETER_SMTP_FROM is None; write the address"),
        ({"smtp_host": "mail", "smtp_from": "nobody"}, "RACKMETER_SMTP_FROM is 'nobody'"),
        ({"smtp_host": "m", "smtp_from": "a@b.c", "smtp_user": "u"}, "PASSWORD_FILE, or neither"),
        ({"provisioning_url": "https://p.example"}, "PROVISIONING_SECRET_FILE, or neither"),
        ({"provisioning_url": "ftp://p.example"}, "should begin with https://"),
    ],
)
def test_half_a_channel_is_told_at_the_start(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ways(load_settings(**settings), VAULT)


def test_channels_are_read_from_settings_and_private_files(tmp_path: Path) -> None:
    password, secret = tmp_path / "password", tmp_path / "secret"
    for path, text in ((password, "a password\n"), (secret, f"{SECRET}\n")):
        path.touch(mode=0o600)
        path.write_text(text)
    found = ways(
        load_settings(
            smtp_host="mail.example", smtp_from="Hosting <a@b.example>", smtp_user="u",
            smtp_password_file=str(password), provisioning_url="http://10.0.0.1/",
            provisioning_secret_file=str(secret),
        ),
        VAULT,
    )  # fmt: skip
    assert found.mail is not None
    assert (found.mail.port, found.mail.tls, found.mail.password) == (587, "starttls", "a password")
    assert found.provisioning == Provisioning("http://10.0.0.1/", SECRET)
    secret.write_text("not a secret")
    with pytest.raises(ConfigError, match="begins with whsec_"):
        ways(load_settings(provisioning_url="http://10.0.0.1/",
                           provisioning_secret_file=str(secret)), VAULT)  # fmt: skip


# -- the manual's receiver -------------------------------------------------------------------------


def test_the_receiver_of_the_manual_does_what_commands_say(
    run: Run, customer: Connection, tmp_path: Path
) -> None:
    manual = (ROOT / "docs" / "operate.md").read_text()
    program = tmp_path / "provisioning.py"
    program.write_text(manual.split("## Alerts")[1].split("```python\n")[1].split("```")[0])
    port, log = free_port(), tmp_path / "log"
    environment = {**os.environ, "SECRET": SECRET, "PORT": str(port)}
    said = run("account", "budget", "set", "acme", "--limit", "10", "--action", "cap")
    spend(customer)
    run("account", "budget", "drop", str(said["budget"]))
    now = datetime.now(UTC) + timedelta(seconds=1)
    look(customer, "acme", now, now)
    customer.execute("UPDATE alert_outbox SET failed = 'not now' WHERE channel = 'webhook'")
    customer.execute("UPDATE alert_outbox SET next_try_at = %s", (now - timedelta(days=1),))
    target = Provisioning(f"http://127.0.0.1:{port}/", SECRET)
    with log.open("wb") as out:
        receiver = subprocess.Popen([sys.executable, str(program)], stdout=out, stderr=out,
                                    env=environment)  # fmt: skip

        def done() -> bool:
            deliver_due(customer, Ways(VAULT, provisioning=target), lambda: datetime.now(UTC))
            customer.execute("UPDATE alert_outbox SET next_try_at = %s WHERE delivered_at IS NULL",
                             (now - timedelta(days=1),))  # fmt: skip
            return log.read_text().count("provisioning.") == 2

        try:
            wait_for(done, "command done")
        finally:
            receiver.terminate()
            receiver.wait()
    lines = [line for line in log.read_text().splitlines() if line.startswith("provisioning.")]
    assert lines == ["provisioning.suspend i-1", "provisioning.resume i-1"]
