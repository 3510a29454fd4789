"""`rackmeter payment`, as an operator runs it; each act leaves its row in the audit trail."""

import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli import main as cli
from sinks.audit import Wanted, newest
from tests.payments.stripe_server import REFUND, Fault
from tests.payments.test_webhooks import settings_of
from tests.payments.world import GOOD, NOW, World

Run = Callable[..., Any]


@pytest.fixture
def run(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    for name, value in {
        "RACKMETER_DATABASE_URL": world.url, "RACKMETER_DATA_DIR": str(tmp_path),
        "RACKMETER_ACTOR": "ann@desk", "RACKMETER_METRICS_DIR": str(tmp_path),
        **settings_of(world, tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> Any:
        assert cli.run([*shlex.split(f"payment {line}"), "--json"]) == code, capsys.readouterr()
        return json.loads(capsys.readouterr().out)

    return run


def acted(world: World, action: str) -> tuple[str, str]:
    """Who and why, of the newest row of an action."""
    (row,) = newest(world.conn, Wanted(action=action), 1)
    assert row.act is not None
    assert row.said is not None
    return row.act.actor, row.said.reason


def test_from_the_link_to_the_refund(run: Run, world: World, tmp_path: Path) -> None:
    world.account(card=None)
    path = "/v1/checkout/sessions"
    world.stripe.objects[path] = {"id": "cs_1", "object": "checkout.session", "url": "https://pay"}
    assert run("method add acme --why asked")["link"] == "https://pay"
    assert acted(world, "payment.method") == ("ann@desk", "asked")
    assert run("method list acme") == {"methods": []}
    row = world.conn.execute("SELECT customer FROM payment_customer").fetchone()
    assert row is not None
    world.save("acme", row[0], GOOD)
    assert [m["label"] for m in run("method list acme")["methods"]] == ["visa •••• 4242, 12/2034"]

    number = world.bill("acme", "119.00")
    assert [c["state"] for c in run("collect --dry-run")["collected"]] == ["due"]
    assert not list(tmp_path.glob("*.prom")), "a dry run tells nothing"
    assert [c["state"] for c in run("collect --yes")["collected"]] == ["paid"]
    assert "rackmeter_collect_unanswered 0.0" in (tmp_path / "collect.prom").read_text()
    assert (tmp_path / "collect_success.prom").exists()
    assert acted(world, "payment.attempt")[0] == "ann@desk"
    (attempt,) = run("list --account acme --state paid")["attempts"]
    assert (attempt["invoice"], attempt["received"], "token" in attempt) == (
        number,
        "119.00",
        False,
    )

    run(f"refund {number} --amount 19.00 --yes", 2)  # why?
    assert run(f"refund {number} --amount 19.00 --yes --why 'two days'")["state"] == "done"
    assert acted(world, "payment.refund") == ("ann@desk", "two days")
    world.stripe.faults = [Fault("reset", REFUND, after=True)]
    failed = run(f"refund {number} --yes --why all", 4)
    assert "do not enter it again" in failed["error"]["message"]
    run("collect --yes")
    shown = run(f"show {number}")
    assert [(r["amount"], r["state"]) for r in shown["refunds"]] == [
        ("19.00", "done"), ("100.00", "done"),
    ]  # fmt: skip
    assert run(f"refund {number} --yes --why again", 5)["error"]["kind"] == "refused"


def test_a_transfer_is_entered_by_its_reference(run: Run, world: World) -> None:
    world.account(card=None)
    run("method add acme --gateway transfer")
    number = world.bill("acme", "119.00")
    run("collect --yes")
    reference = run(f"show {number}")["attempts"][0]["reference"]
    run(f"received {reference[:-1]}X --amount 119.00", 2)
    found = run(f"received '{reference[:4]} {reference[4:]}' --amount 119.00 --why statement")
    assert (found["state"], found["received"]) == ("paid", "119.00")
    assert acted(world, "payment.received") == ("ann@desk", "statement")
    assert world.status(number) == "paid"
    run(f"received {reference} --amount 119.00", 5)


def test_a_person_terminates_and_nobody_else(run: Run, world: World) -> None:
    world.account(card=None)
    world.bill("acme", "119.00", due_at=NOW - timedelta(days=60))
    run("terminate acme --yes", 5)
    for days in range(0, 30, 2):
        world.now = NOW - timedelta(days=30) + timedelta(days=days)
        world.collect()
    (row,) = run("standing --state suspended")["accounts"]
    assert (row["account"], row["noticed"]) == ("acme", "terminated")
    assert "waits for" in run("collect --yes")["moved"][0]["what"]
    run("terminate acme --yes --why 'sixty days'")
    assert acted(world, "account.terminate") == ("ann@desk", "sixty days")
    assert world.told()[-1] == ("command", "provisioning.terminate")
    changes = run("standing --account acme")["changes"]
    assert [(c["after"], c["by"]) for c in changes] == [
        ("terminated", "ann@desk"), ("suspended", "rackmeter"), ("restricted", "rackmeter"),
        ("overdue", "rackmeter"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list --state lost", "--state is lost; it must be one of intended, open"),
        ("standing --state poor", "--state is poor; it must be one of current"),
        ("show RM-0", "There is no invoice RM-0"),
        ("method add nobody", "There is no account nobody"),
        ("method add acme --gateway paypal", "--gateway is paypal"),
        ("received RF1 --amount 1.00", "RF1 is no creditor reference"),
        ("refund RM-0 --why x --yes", "RM-0 was not paid through a gateway"),
    ],
)
def test_a_mistake_is_one_sentence(run: Run, line: str, said: str) -> None:
    code = 5 if said.startswith(("There", "RM-0")) else 2
    assert said in run(line, code)["error"]["message"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STRIPE_RETURN_URL", "", "RACKMETER_STRIPE_RETURN_URL as well"),
        ("DUNNING_SUSPEND_DAYS", "14", "each must be more than the one before"),
        ("DUNNING_RETRY_DAYS", "soon", "whole days with commas between"),
    ],
)
def test_a_wrong_setting_is_said_before_anything_is_charged(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"RACKMETER_{name}", value)
    asked = len(world.stripe.calls)
    assert said in run("collect --yes", 2)["error"]["message"]
    assert len(world.stripe.calls) == asked


def test_a_key_that_others_may_read_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").chmod(0o644)
    assert "chmod 600" in run("collect --yes", 2)["error"]["message"]
