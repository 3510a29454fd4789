"""`rackmeter item`, `usage unassigned`, `rating rebuild` on a real database, as people use them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli import main as cli
from tests import vault
from tests.sinks.test_changes import two_plans

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]


@pytest.fixture
def run(
    billing_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    """Runs a command; returns its document, or with ``text`` what it said on stdout and stderr."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0, text: bool = False) -> Any:
        assert cli.run([*arguments, *([] if text else ["--json"])]) == code
        said = capsys.readouterr()
        return said.out + said.err if text else json.loads(said.out)

    file = tmp_path / "v2.toml"
    file.write_text(two_plans()[1])
    run("catalog", "apply", str(file), "--yes")
    for account in ("acme", "bolt"):
        run("account", "add", account, "--name", account, "--country", "DE")
    rent = ("item", "rent", "web-1", "--account", "acme", "--plan", "small", "--server", "ax-1")
    assert run(*rent, "--at", "2026-03-01")["changed"]
    return run


CHANGES = (
    ("swap", "web-1", "--server", "ax-2"),
    ("resize", "web-1", "--plan", "large"),
    ("addon", "add", "web-1", "ipv4", "--count", "4"),
    ("addon", "drop", "web-1", "ipv4"),
    ("suspend", "web-1", "--kind", "maintenance", "--until", "2026-03-09"),
    ("suspend", "web-1"),
    ("resume", "web-1"),
    ("hand-over", "web-1", "--to", "shop-1", "--account", "bolt"),
    ("end", "shop-1"),
)


def test_each_change_once_dated_dry_and_for_people(run: Run) -> None:
    for day, change in enumerate(CHANGES, 2):
        dated = ("item", *change, "--at", f"2026-03-0{day % 10}T00:02:03Z", "--why", "a test")
        if day == 10:
            dated = ("item", *change, "--at", "2026-03-10T00:02:03Z")
        dry = run(*dated, "--dry-run")
        assert (dry["changed"], dry["dry_run"]) == (True, True)
        words = run(*dated, "--dry-run", text=True)
        assert " would be " in words
        answer = run(*dated, "--request-id", f"r-{day}")
        assert (answer["changed"], answer["repeated"]) == (True, False)
        again = run(*dated, "--request-id", f"r-{day}")
        assert again == {**answer, "repeated": True}
        refused = run(
            "item", *change, "--at", "2026-03-01T12:00Z", "--request-id", f"r-{day}", code=5
        )
        assert "give this one an id of its own" in refused["error"]["message"]
    shown = run("item", "show", "web-1")
    assert [change["command"] for change in shown["changes"]] == [
        "rent", "swap", "resize", "addon add", "addon drop", "suspend", "suspend", "resume",
        "hand-over",
    ]  # fmt: skip
    assert all("@" in change["by"] for change in shown["changes"])
    assert [row["server"] for row in shown["servers"]] == ["ax-1", "ax-2"]
    words = run("item", "show", "web-1", text=True)
    assert "maintenance" in words
    assert "a test" in words


def test_at_window_shares_no_window(run: Run) -> None:
    swapped = run("item", "swap", "web-1", "--server", "ax-2", "--at", "2026-03-02T00:02:03Z",
                  "--at-window")  # fmt: skip
    assert swapped["at"] == "2026-03-02T00:05:00+00:00"


def test_what_was_known_before_it_was_entered_is_nothing(run: Run) -> None:
    run("item", "show", "web-1", "--known-at", "2026-02-01", code=5)
    run("item", "suspend", "web-1", "--until", "now", code=2)


# -- whose day it is -------------------------------------------------------------------------------


def new_york(run: Run) -> None:
    run("account", "add", "city", "--name", "c", "--country", "US", "--timezone",
        "America/New_York")  # fmt: skip


def test_a_day_is_that_of_the_customer_who_rents(run: Run) -> None:
    new_york(run)
    rent = ("item", "rent", "ny-1", "--account", "city", "--plan", "small", "--server", "ax-9")
    assert run(*rent, "--at", "2026-03-02")["at"] == "2026-03-02T05:00:00+00:00"
    shown = run("item", "show", "web-1")
    assert (shown["from"], shown["timezone"]) == ("2026-02-28T23:00:00+00:00", "Europe/Berlin")
    for day, change in enumerate(CHANGES[:-2], 3):
        dated = run("item", *(word.replace("web-1", "ny-1") for word in change), "--at",
                    f"2026-03-0{day}T12:00")  # fmt: skip
        zone = 17 if day < 8 else 16  # New York's clocks change on the eighth
        assert dated["at"] == f"2026-03-0{day}T{zone}:00:00+00:00"
    assert run("item", "end", "ny-1", "--at", "2026-11-01")["at"] == "2026-11-01T04:00:00+00:00"
    (maintained, suspended) = run("item", "show", "ny-1")["intervals"]
    assert maintained["to"] == "2026-03-09T04:00:00+00:00"
    assert suspended["to"] == "2026-03-09T16:00:00+00:00"


def test_answers_are_by_the_customers_clock(run: Run) -> None:
    said = run("item", "swap", "web-1", "--server", "ax-2", "--at", "2026-04-01", text=True)
    assert "web-1 swapped to ax-2 at 2026-04-01 00:00+02:00 (Europe/Berlin)" in said
    shown = run("item", "show", "web-1", text=True)
    assert "2026-03-01 00:00+01:00 to open (Europe/Berlin)" in shown
    assert "ax-1    2026-03-01 00:00+01:00  2026-04-01 00:00+02:00" in shown
    assert "2026-03-01 00:00+01:00  open" in run("item", "list", text=True)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("resume web-1 --at 2026-03-05", "has no suspension at 2026-03-05 00:00+01:00."),
        ("addon drop web-1 ipv4 --at 2026-04-02T09:30",
         "has no add-on ipv4 at 2026-04-02 09:30+02:00."),
        ("swap web-1 --server ax-2 --at 2026-02-01", "is not rented at 2026-02-01 00:00+01:00."),
    ],
)  # fmt: skip
def test_refusals_are_by_the_customers_clock(run: Run, told: str, said: str) -> None:
    assert f"Item web-1 {said}" in run("item", *told.split(), code=5, text=True)


def test_the_list_says_the_plan_of_now(run: Run) -> None:
    for at, plan in (("2099-01-01", "small"), ("2026-04-01", "large")):
        run("item", "resize", "web-1", "--plan", "large", "--at", at)
        assert [item["plan"] for item in run("item", "list")["items"]] == [plan]


def test_an_item_shows_its_plans_and_the_number_of_its_addons(run: Run) -> None:
    """Nobody gave it a title: it is called as its plan, wherever it is named."""
    run("item", "resize", "web-1", "--plan", "large", "--at", "2026-03-05")
    for count, at in (("4", "2026-03-07"), ("2", "2026-03-09")):
        run("item", "addon", "add", "web-1", "ipv4", "--count", count, "--at", at)
    rows = [" ".join(row.split()) for row in run("item", "show", "web-1", text=True).splitlines()]
    assert rows[0] == "web-1: Small server, rented by acme"
    for row in (
        "small (Small server) at v2 2026-03-01 00:00+01:00 2026-03-05 00:00+01:00",
        "large (Small server) at v2 2026-03-05 00:00+01:00 open",
        "4 × ipv4 at v2 2026-03-07 00:00+01:00 2026-03-09 00:00+01:00",
        "2 × ipv4 at v2 2026-03-09 00:00+01:00 open",
    ):
        assert [one for one in rows if one.startswith(row)], row
    [listed] = run("item", "list")["items"]
    shown = run("item", "show", "web-1")
    assert {(one["plan"], one["title"]) for one in (listed, shown)} == {("large", "Small server")}


def test_one_day_of_two_customers_is_refused(run: Run) -> None:
    new_york(run)
    hand = ("item", "hand-over", "web-1", "--to", "ny-1", "--account", "city", "--at")
    for bare in ("2026-04-01", "2026-04-01T00:00"):
        refused = run(*hand, bare, code=2)["error"]["message"]
        assert refused == (
            f"{bare} is another instant in Europe/Berlin, where web-1 ends, than in"
            " America/New_York, where ny-1 begins: give --at with an offset, such as"
            " 2026-11-01T00:00:00+01:00."
        )
    assert run(*hand, "2026-04-01T00:00+02:00")["at"] == "2026-03-31T22:00:00+00:00"


def test_other_commands_on_a_customer_read_days_by_his_clock(run: Run) -> None:
    new_york(run)
    grant = ("wallet", "grant", "city", "hello", "--amount", "5.00", "--kind", "promotional")
    run(*grant, "--at", "2026-03-01", "--expires", "2026-04-01")
    (held,) = run("wallet", "show", "city")["credits"]
    assert held["granted_at"] == "2026-03-01T05:00:00+00:00"
    assert held["expires_at"] == "2026-04-01T04:00:00+00:00"
    assert "2026-04-01 00:00-04:00" in run("wallet", "show", "city", text=True)
    taxed = ("account", "tax", "set", "city", "--country", "FR", "--vat-id", "FR40303265045",
             "--mode", "reverse-charge", "--evidence", "V", "--checked", "2026-03-02")  # fmt: skip
    assert run(*taxed, "--from", "2026-03-01")["from"] == "2026-03-01T05:00:00+00:00"
    assert run("account", "tax", "show", "city")["now"]["checked_at"] == "2026-03-02T05:00:00+00:00"
    assert "2026-03-01 00:00-05:00" in run("account", "tax", "show", "city", text=True)
    preview = run("invoice", "preview", "web-1", "--as-of", "2026-04-01")
    assert preview["as_of"] == "2026-03-31T22:00:00+00:00"


# -- what a command finds by itself ----------------------------------------------------------------


def published(run: Run, tmp_path: Path, version: str, effective: str) -> None:
    file = tmp_path / f"{version}.toml"
    file.write_text(two_plans(version, **{"2026-01-01": effective})[1])
    run("catalog", "apply", str(file), "--yes")


def test_prices_are_those_of_the_newest_catalogue_in_force(run: Run, tmp_path: Path) -> None:
    for version, effective in (("v4", "2026-06-01"), ("v3", "2026-04-01"), ("v3b", "2026-04-01")):
        published(run, tmp_path, version, effective)
    for name, at, version in (
        ("a", "2026-03-31T23:59Z", "v2"), ("b", "2026-04-01T00:00Z", "v3b"),
        ("c", "2026-06-01T00:00Z", "v4"),
    ):  # fmt: skip
        run("item", "rent", name, "--account", "acme", "--plan", "small", "--server", f"s-{name}",
            "--at", at)  # fmt: skip
        assert {row["version"] for row in run("item", "show", name)["prices"]} == {version}
    run("item", "resize", "c", "--plan", "large", "--at", "2026-07-01")
    assert run("item", "show", "c")["prices"][-1]["version"] == "v4"
    refused = run("item", "rent", "d", "--account", "acme", "--plan", "small", "--server", "s-d",
                  "--at", "2025-12-31T12:00Z", code=2)["error"]["message"]  # fmt: skip
    assert refused == (
        "No catalogue is in force at 2025-12-31 12:00 UTC; there is v2 from 2026-01-01 00:00 UTC,"
        " v3 from 2026-04-01 00:00 UTC, v3b from 2026-04-01 00:00 UTC, v4 from 2026-06-01 00:00"
        " UTC: give a time in one of them, or name one with --catalog VERSION."
    )


@pytest.mark.parametrize("name", ["", " ", "-x", "web 1", "a/b", "x" * 257, "§"])
def test_ids_are_words(run: Run, name: str) -> None:
    rent = ("item", "rent", "--account=acme", "--plan=small")
    for given in (
        (*rent, "--server=s-9", "--", name),
        (*rent, f"--server={name}", "web-9"),
        (*rent, "--server=s-9", f"--scope={name}", "web-9"),
        ("item", "swap", "web-1", f"--server={name}"),
        ("item", "hand-over", "web-1", "--account=bolt", f"--to={name}"),
    ):
        assert cli.run([*given]) == 2
    assert [item["item"] for item in run("item", "list")["items"]] == ["web-1"]


def test_a_server_that_nobody_heard_of_is_noted(run: Run, tmp_path: Path) -> None:
    rent = ("item", "rent", "--account", "acme", "--plan", "small", "--at", "2026-03-02")
    said = run(*rent, "web-8", "--server", "ax-88", text=True)
    assert "server ax-88 has no key and never reported: is it called so?" in said
    run("server", "add", "ax-99", "--key-file", str(tmp_path / "ax-99.key"))
    assert "never reported" not in run(*rent, "web-9", "--server", "ax-99", text=True)
    swap = run("item", "swap", "web-9", "--server", "ax-98", "--at", "2026-03-03", text=True)
    assert "server ax-98 has no key" in swap


def test_a_suspension_tells_what_it_came_to(run: Run) -> None:
    suspend = ("item", "suspend", "web-1", "--at")
    assert "from" not in run(*suspend, "2026-03-10", "--until", "2026-03-20", text=True)
    said = run(*suspend, "2026-03-12", "--until", "2026-03-15", text=True)
    assert "was put into suspension so already" in said
    whole = "web-1 is in suspension from 2026-03-10 00:00+01:00 to 2026-03-20 00:00+01:00"
    assert whole in said
    said = run(*suspend, "2026-03-15", "--dry-run", text=True)
    assert "web-1 would be in suspension from 2026-03-10 00:00+01:00 until resumed" in said


def test_open_periods_are_rated_anew_and_the_house_is_asked(run: Run) -> None:
    rated = run("rating", "rebuild", "web-1")["rated"]
    assert {one["scope"] for one in rated} == {"web-1"}
    assert len(run("rating", "rebuild", "--all")["rated"]) == len(rated)
    run("rating", "rebuild", code=2)
    run("rating", "rebuild", "web-9", code=5)
    assert run("usage", "unassigned") == {"usage": []}
    assert "belongs to a rented item" in run("usage", "unassigned", text=True)


def test_an_end_is_taken_back_and_the_item_shows_what_holds_now(run: Run) -> None:
    run("item", "resize", "web-1", "--plan", "large", "--at", "2999-01-01")
    [listed] = run("item", "list")["items"]
    assert listed["plan"] == "small"
    run("item", "end", "web-1", "--at", "2026-03-05")
    assert "web-1 would be reopened at 2026-03-05 00:00" in run(
        "item", "reopen", "web-1", "--dry-run", text=True
    )
    run("item", "reopen", "web-1", "--at", "2026-03-06", code=5)
    assert run("item", "reopen", "web-1")["changed"]
    assert not run("item", "reopen", "web-1")["changed"]
    shown = run("item", "show", "web-1")
    assert (shown["plan"], shown["to"]) == ("small", None)
    assert [one["command"] for one in shown["changes"]] == ["rent", "resize", "end", "reopen"]
    assert "plan large, catalog v2" in run("item", "show", "web-1", text=True)


def test_a_change_says_until_when_it_holds(run: Run) -> None:
    run("item", "resize", "web-1", "--plan", "small", "--at", "2026-03-10")
    said = run("item", "resize", "web-1", "--plan", "large", "--at", "2026-03-05", text=True)
    assert "that is until 2026-03-10 00:00+01:00: plan small was said for then" in said
    run("item", "addon", "add", "web-1", "ipv4", "--count", "3", "--at", "2026-03-10")
    said = run("item", "addon", "add", "web-1", "ipv4", "--at", "2026-03-05", text=True)
    assert "that is until 2026-03-10 00:00+01:00: 3 ipv4 was said for then" in said


def test_a_rental_that_is_over_is_told_at_once(run: Run) -> None:
    rent = ("item", "rent", "web-2", "--account", "acme", "--plan", "small", "--server", "ax-2")
    assert run(*rent, "--at", "2026-03-01", "--until", "2026-03-05")["changed"]
    assert "2026-03-05 00:00+01:00 (Europe/Berlin)" in run("item", "show", "web-2", text=True)
    run(*rent, "--at", "2026-03-01", "--until", "2026-03-01", code=5)


def test_the_page_on_prices_is_tried(run: Run) -> None:
    """Its commands in their order, with the catalogue that explains everything."""
    page = (ROOT / "docs" / "price.md").read_text()
    section = page.partition("## Renting, changing, ending")[2].partition("```\n")[2]
    commands = [shlex.split(line) for line in section.partition("```")[0].splitlines()]
    assert len(commands) == 9
    run("item", "end", "web-1", "--at", "2026-03-05")
    run("catalog", "apply", str(ROOT / "deploy" / "catalog" / "example.toml"), "--yes")
    for _, *words in commands:
        renamed = ["web-2" if word == "web-1" else word for word in words]
        assert run(*renamed).get("changed", True), words


@pytest.mark.parametrize("name", ["", " acme", "acme gmbh", "ä/b"])
def test_a_customer_is_called_by_an_id(run: Run, name: str) -> None:
    refused = run("account", "add", name, "--name", "x", "--country", "DE", code=2)
    assert "is no account id; write letters, digits" in refused["error"]["message"]
