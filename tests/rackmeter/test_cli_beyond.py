"""What a command on an item does not reach is said with it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from rackmeter.cli import main as cli
from sinks.database import connect
from tests import vault
from tests.sinks.test_changes import two_plans

Say = Callable[..., str]


@pytest.fixture
def say(
    billing_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Say:
    """Runs a command; returns what it said. Acme rents web-1, on ax-1, from March on."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.chdir(tmp_path)
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def say(line: str, code: int = 0) -> str:
        assert cli.run(shlex.split(line)) == code
        said = capsys.readouterr()
        return said.out + said.err

    (tmp_path / "v2.toml").write_text(two_plans()[1])
    say("catalog apply v2.toml --yes")
    for account in ("acme", "bolt"):
        say(f"account add {account} --name {account} --country DE")
    say("item rent web-1 --account acme --plan small --server ax-1 --at 2026-03-01")
    return say


OVER = "item hand-over web-1 --to shop-1 --account bolt --at 2026-03-20"


@pytest.mark.parametrize(
    ("rule", "before", "change", "said"),
    [
        ("the next customer has the server that it was handed over with", [OVER],
         "swap web-1 --server ax-2 --at 2026-03-10",
         "that is until 2026-03-20 00:00+01:00: shop-1 has server ax-1 from then on, as web-1 had"),
        ("and the plan", [OVER], "resize web-1 --plan large --at 2026-03-10",
         "that is until 2026-03-20 00:00+01:00: shop-1 has plan small from then on, as web-1 had"),
        ("unless one was said for him", [f"{OVER} --plan small"],
         "resize web-1 --plan large --at 2026-03-10", ""),
        ("he has the same", [f"{OVER} --plan large"],
         "swap web-1 --server ax-1 --at 2026-03-10", ""),
        ("it was said of him too", [OVER, "item swap shop-1 --server ax-2 --at 2026-03-20"],
         "swap web-1 --server ax-2 --at 2026-03-10", ""),
        ("what was said in between is what was handed over",
         ["item swap web-1 --server ax-3 --at 2026-03-15", OVER],
         "swap web-1 --server ax-2 --at 2026-03-10",
         "that is until 2026-03-15 00:00+01:00: server ax-3 was said for then"),
        ("of an end", ["item end web-1 --at 2026-03-20"],
         "swap web-1 --server ax-2 --at 2026-03-10", ""),
        ("of an end that was taken back", [OVER.replace("2026-03-20", "2026-03-21"),
         "item end shop-1 --at 2026-03-22", "item swap shop-1 --server ax-9 --at 2026-03-21",
         "item reopen web-1"], "swap web-1 --server ax-2 --at 2026-03-10", ""),
    ],
)  # fmt: skip
def test_what_was_handed_over_goes_on_as_it_was(
    say: Say, rule: str, before: list[str], change: str, said: str
) -> None:
    for line in before:
        say(line)
    words = say(f"item {change}")
    assert said in words, rule
    assert ("that is until" in words) is bool(said), rule


MONTHLY = '[commitment.least]\namount = "100.00 / month"\ntax = "hosting"\n'


@pytest.mark.parametrize(
    ("rule", "until", "terms", "before", "line", "said"),
    [
        ("without an end", "", MONTHLY, "", "item end web-1 --at 2026-05-01",
         "the minimum of contract C is charged without an end"),
        ("until its end", "until = 2026-07-01", MONTHLY, "", "item end web-1 --at 2026-05-01",
         "the minimum of contract C is charged until 2026-07-01 00:00+02:00"),
        ("until that of what was agreed", "", f"{MONTHLY}until = 2026-08-01\n", "",
         "item end web-1 --at 2026-05-01", "is charged until 2026-08-01 00:00+02:00"),
        ("handed over", "", MONTHLY, "",
         "item hand-over web-1 --to shop-1 --account bolt --at 2026-05-01",
         "nothing of web-1 is rented after that"),
        ("it ends with the item", "until = 2026-05-01", MONTHLY, "",
         "item end web-1 --at 2026-05-01", ""),
        ("another item goes on", "", MONTHLY,
         "item rent web-2 --account acme --scope web-1 --plan small --server ax-2 --at 2026-03-01",
         "item end web-1 --at 2026-05-01", ""),
        ("nothing is asked for", "", '[discount.less]\npercent = "5 %"\n', "",
         "item end web-1 --at 2026-05-01", ""),
    ],
)  # fmt: skip
def test_a_minimum_that_outlasts_what_is_rented_is_told(
    say: Say, tmp_path: Path, rule: str, until: str, terms: str, before: str, line: str, said: str
) -> None:
    head = f'contract = "C"\nbase = "v2"\nscope = "web-1"\neffective = 2026-03-01\n{until}\n'
    (tmp_path / "c.toml").write_text(head + terms)
    say("catalog apply c.toml --yes")
    if before:
        say(before)
    words = say(line)
    assert said in words, rule
    assert ("the minimum of contract" in words) is bool(said), rule


def test_a_rental_from_before_the_customer_is_billed(say: Say, billing_url: str) -> None:
    rent = "item rent {} --account {} --plan small --server {} --at {}"
    old = "bolt is billed from 2026-06 on: no close bills what was rented before by itself"
    words = say(rent.format("web-3", "bolt", "ax-3", "2026-02-01"))
    assert "bolt was never billed: no close bills what was rented before by itself" in words
    assert "billed" not in say(rent.format("web-7", "bolt", "ax-7", "now"))
    assert say("account billed bolt --from 2026-06").startswith("bolt is billed from 2026-06 on")
    assert "  2026-06\n" in say("account list")
    words = say(rent.format("web-4", "bolt", "ax-4", "2026-02-01"))
    assert old in words
    assert "`rackmeter account billed bolt --from 2026-02`" in words
    assert old in say("item hand-over web-1 --to shop-1 --account bolt --at 2026-05-31")
    assert "is billed from" not in say(rent.format("web-5", "bolt", "ax-5", "2026-06-01"))
    assert "already" in say("account billed bolt --from 2026-06")
    say("account billed bolt")
    assert "was never billed" in say(rent.format("web-6", "bolt", "ax-6", "2026-02-01"))
    assert "is no month" in say("account billed bolt --from 2026-06-15", code=2)
    assert "There is no account" in say("account billed nobody --from 2026-06", code=5)
    with connect(billing_url, autocommit=True) as conn:
        rows = conn.execute("SELECT billed_from FROM account WHERE account_id = 'bolt'").fetchall()
    assert rows == [(None,)]
