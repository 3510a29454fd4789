"""docs/explain.md says what the commands do: each that it shows is run, in its order."""

import shlex
from pathlib import Path

import pytest

from rackmeter.cli import main as cli
from tests.invoicing.scenario import FOLDER, play

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
SHOWN, REAL = "RM-DE-2026-000005", "RM-2026-000001"


def commands() -> list[str]:
    """Commands on invoices that stand in code blocks, each without its remark."""
    lines = [line.split("  #")[0].strip() for line in PAGE.splitlines()]
    found = [line for line in lines if line.startswith("rackmeter invoice ")]
    first = [line for line in found if " bundle " in line]  # what it makes, others read
    return [*first, *(line for line in found if line not in first)]


def shown_tree() -> list[str]:
    block = next(part for part in PAGE.split("```") if f"{SHOWN}/2 AX server" in part)
    return [line.lstrip("│├└─ ") for line in block.strip().splitlines()]


def test_each_command_of_the_page_runs(
    billing_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    play(billing_url, (FOLDER / "full_month_over_allowance.txt").read_text())
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["invoice", "export", REAL, "--to", "."]) == 0
    said: dict[str, str] = {}
    for command in commands():
        capsys.readouterr()
        line = command.replace(SHOWN, REAL).removeprefix("rackmeter ")
        assert cli.run(shlex.split(line)) == 0, (command, capsys.readouterr().err)
        said[command] = capsys.readouterr().out
    assert len(said) == 8
    assert "agrees in everything" in said[f"rackmeter invoice verify {SHOWN}.zip"]
    tree = said[f"rackmeter invoice explain {SHOWN}/2"]
    for line in shown_tree():
        assert line.replace(SHOWN, REAL) in tree
    page = (tmp_path / "line.html").read_text(encoding="utf-8")
    assert "<svg" in page
