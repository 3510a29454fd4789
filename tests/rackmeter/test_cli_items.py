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


def test_open_periods_are_rated_anew_and_the_house_is_asked(run: Run) -> None:
    rated = run("rating", "rebuild", "web-1")["rated"]
    assert {one["scope"] for one in rated} == {"web-1"}
    assert len(run("rating", "rebuild", "--all")["rated"]) == len(rated)
    run("rating", "rebuild", code=2)
    run("rating", "rebuild", "web-9", code=5)
    assert run("usage", "unassigned") == {"usage": []}
    assert "belongs to a rented item" in run("usage", "unassigned", text=True)


def test_the_page_on_prices_is_tried(run: Run) -> None:
    """Its commands in their order, with the catalogue that explains everything."""
    page = (ROOT / "docs" / "price.md").read_text()
    section = page.partition("## Renting, changing, ending")[2].partition("```\n")[2]
    commands = [shlex.split(line) for line in section.partition("```")[0].splitlines()]
    assert len(commands) == 8
    run("item", "end", "web-1", "--at", "2026-03-05")
    run("catalog", "apply", str(ROOT / "deploy" / "catalog" / "example.toml"), "--yes")
    for _, *words in commands:
        renamed = ["web-2" if word == "web-1" else word for word in words]
        assert run(*renamed).get("changed", True), words
