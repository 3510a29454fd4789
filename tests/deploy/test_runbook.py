"""The runbook is short, has a section for each alert, and names only what there is."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli.app import command
from schemas.metrics import METRICS
from tests.deploy.prometheus import alerts, rules

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
LINES_MAX = 8
COMMANDS = sorted(
    {*re.findall(r"`(rackmeter [a-z][^`]*)`", RUNBOOK)}
    | {
        line.partition("#")[0].strip()
        for line in re.findall(r"^rackmeter .*", RUNBOOK, re.MULTILINE)
    }
)


def test_there_is_a_short_section_for_each_alert_and_no_other() -> None:
    _, *sections = re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)
    bodies = {title: body for title, _, body in (s.partition("\n") for s in sections)}
    assert bodies.keys() == {rule["alert"] for rule in alerts()}
    for title, body in bodies.items():
        lines = [line for line in body.partition("\n## ")[0].splitlines() if line.strip()]
        assert 2 <= len(lines) <= LINES_MAX, title


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_the_runbook_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[1:]
    found: Any = command()
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    assert not hasattr(found, "commands"), "a verb is missing"
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_commands_were_found() -> None:
    assert len(COMMANDS) > 10


def test_a_metric_in_the_runbook_exists() -> None:
    known = {rule["record"] for rule in rules() if "record" in rule}
    for metric in METRICS:
        known |= {metric.name, f"{metric.name}_count"}
    named = set(re.findall(r"`(rackmeter[_:][a-z0-9_:]+)", RUNBOOK))
    assert len(named) > 5
    assert named <= known
