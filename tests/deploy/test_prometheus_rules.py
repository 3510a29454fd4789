"""Rules and alerts: promtool is content, every alert fires when it should and has its section."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.metrics import METRICS
from tests.deploy.alerts import CASES, Case
from tests.deploy.prometheus import DEPLOYED, RULE_FILES, alerts, promtool, rules

OTHERS = {"up", "process_start_time_seconds"}
"""Names that every scrape or every Python process has."""


ALERTS = alerts()
RECORDS = [rule for rule in rules() if "record" in rule]


def exposed() -> set[str]:
    """Names of series: a histogram has three."""
    found = set(OTHERS)
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {metric.name + end for end in ends}
    return found


def used(expression: str) -> set[str]:
    """Names of series in an expression; functions are followed by a bracket, labels by none."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\w|\s*\()", bare)
    return set(words) - {"and", "or", "unless"}


def test_promtool_is_content() -> None:
    promtool("check", "config", DEPLOYED / "prometheus.yml")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_what_is_exposed(rule: dict[str, Any]) -> None:
    names = used(rule["expr"])
    assert names
    assert names <= exposed() | {record["record"] for record in RECORDS}


@pytest.mark.parametrize("name", [record["record"] for record in RECORDS])
def test_a_recorded_name_says_level_metric_and_operation(name: str) -> None:
    """https://prometheus.io/docs/practices/rules/"""
    operation = r"(max|rate\d+m|ratio_rate\d+m|p\d\d_rate\d+m)"
    assert re.fullmatch(rf"(rackmeter|partition|instance):[a-z_]+:{operation}", name)


def test_labels_in_rules_are_those_of_the_metric() -> None:
    known = {metric.name: {*metric.labels, "instance", "job", "le"} for metric in METRICS}
    selectors = [
        (name, label)
        for rule in rules()
        for name, inside in re.findall(r"(rackmeter_\w+)\{([^}]*)\}", rule["expr"])
        for label in re.findall(r"(\w+)\s*[!=]", inside)
    ]
    assert len(selectors) > 5
    for name, label in selectors:
        assert label in known[re.sub(r"_(bucket|count|sum)$", "", name)], name


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_and_where_help_stands(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_alert_has_cases() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in ALERTS}
    assert all(case.quiet for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.at}")
def test_an_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_case_can_fail(tmp_path: Path) -> None:
    """What is quiet does not fire, and what fires is not quiet."""
    case = CASES[1]
    with pytest.raises(AssertionError, match="FAILED"):
        check(replace(case, fires=case.quiet[0]), tmp_path)
    with pytest.raises(AssertionError, match="FAILED"):
        check(replace(case, quiet=(case.fires,)), tmp_path)


def check(case: Case, folder: Path) -> None:
    rule = next(rule for rule in ALERTS if rule["alert"] == case.alert)
    fires = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {**rule["annotations"], "summary": case.summary},
    }
    tests = [
        {
            "interval": case.step,
            "input_series": [{"series": name, "values": v} for name, v in series.items()],
            "alert_rule_test": [
                {"alertname": case.alert, "eval_time": case.at, "exp_alerts": expected}
            ],
        }
        for series, expected in [(case.fires, [fires]), *((quiet, []) for quiet in case.quiet)]
    ]
    file = folder / "case.yml"
    files = [str(rules) for rules in RULE_FILES]
    groups = [g["name"] for one in RULE_FILES for g in yaml.safe_load(one.read_text())["groups"]]
    case_file = {
        "rule_files": files, "evaluation_interval": case.step, "tests": tests,
        "group_eval_order": groups,  # what records before what reads it; else in any order
    }  # fmt: skip
    file.write_text(yaml.safe_dump(case_file))
    promtool("test", "rules", file)
