"""Grafana's provisioning files: sound, and each alert fires on its trouble and not beside it."""

import operator
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models import alerting, expr

from sinks.database import Connection, connect
from tests.deploy.boards import BOARDS, FOLDER, View, asked
from tests.deploy.grafana_schema import problems
from tests.deploy.rented_fleet import END, Size, bill, seed
from tests.fix_stack import MakeDatabase

PROVISIONING = FOLDER / "provisioning"
PAGE = (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text(encoding="utf-8")
EXPRESSIONS = {"reduce": expr.TypeReduce, "threshold": expr.TypeThreshold}
COMPARE = {"gt": operator.gt, "lt": operator.lt}
OURS = {"dashboardUid", "panelId"}
"""Fields of the file that the API has under another name."""
TROUBLE = {
    "rackmeter-silent": {"srv-0007", "srv-0011"},
    "rackmeter-coverage": {None},
    "rackmeter-refused": {"malformed", "regression", "unknown_key"},
    "rackmeter-unreconciled": {"acct-001"},
    "rackmeter-parked": {"acct-000"},
}
"""Rule → what it names on a fleet with troubles."""


def loaded(path: str) -> Any:
    return yaml.safe_load((PROVISIONING / path).read_text(encoding="utf-8"))


GROUP = loaded("alerting/rackmeter.yaml")["groups"][0]
RULES: list[dict[str, Any]] = GROUP["rules"]


@pytest.fixture(scope="module")
def troubled(make_database: MakeDatabase, billing_template: str) -> Iterator[Connection]:
    """The rented fleet; a day of holes, one account parked for a reason without figures."""
    url = make_database(billing_template)
    with connect(url, autocommit=True) as conn:
        seed(conn, Size(days=22))
        bill(conn, url)
        conn.execute(
            "UPDATE close_outcome SET status = 'parked', reasons = '{failed}'"
            " WHERE account_id = 'acct-000'"
        )
        yield conn


@pytest.fixture(scope="module")
def calm(make_database: MakeDatabase, billing_template: str) -> Iterator[Connection]:
    """Servers of which none is silent or has holes, a close without a parked invoice."""
    url = make_database(billing_template)
    with connect(url, autocommit=True) as conn:
        seed(conn, Size(servers=5, days=2))
        conn.execute("UPDATE dead_letter SET append_ms = append_ms - 86400000")
        conn.execute(
            "INSERT INTO close_outcome SELECT account_id, currency, %s, %s, %s, 'waiting', 1, 0"
            " FROM account",
            (END - timedelta(days=50), END - timedelta(days=20), END),
        )
        yield conn


def firing(conn: Connection, rule: dict[str, Any]) -> set[str | None]:
    """What Grafana would do: ask, take the last value of each series, compare."""
    query, reduced, condition = rule["data"]
    low = END - timedelta(seconds=query["relativeTimeRange"]["from"])
    found = asked(conn, query["model"]["rawSql"], View(low, END, {}))
    assert (reduced["model"]["expression"], condition["model"]["expression"]) == ("A", "B")
    evaluator = condition["model"]["conditions"][0]["evaluator"]
    compare = COMPARE[evaluator["type"]]
    label = next((name for name in found.columns if name not in ("time", "value")), "")
    limit = evaluator["params"][0]
    return {row.get(label) for row in found.dicts() if compare(row["value"], limit)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_an_alert_fires_on_its_trouble(troubled: Connection, rule: dict[str, Any]) -> None:
    assert firing(troubled, rule) == TROUBLE[rule["uid"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_an_alert_is_quiet_where_all_is_well(calm: Connection, rule: dict[str, Any]) -> None:
    assert firing(calm, rule) == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_grafana_knows_what_a_rule_says(rule: dict[str, Any]) -> None:
    named = {name: value for name, value in rule.items() if name not in OURS}
    assert list(problems(named, alerting.Rule)) == []
    for node in rule["data"]:
        assert list(problems(node, alerting.Query)) == []
        if node["datasourceUid"] == "__expr__":
            assert list(problems(node["model"], EXPRESSIONS[node["model"]["type"]])) == []
        else:
            assert node["datasourceUid"] in uids()
            assert node["model"]["format"] == "time_series"  # all that PostgreSQL alerts take
            assert "${" not in node["model"]["rawSql"]  # nobody puts variables in here


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_a_rule_leads_to_its_panel_and_its_words(rule: dict[str, Any]) -> None:
    board = rule["dashboardUid"].removeprefix("rackmeter-")
    assert rule["panelId"] in {panel["id"] for panel in BOARDS[board]["panels"]}
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    titles = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    headings = {title.lower().replace(" ", "-") for title in titles}
    assert (page, anchor in headings) == ("docs/dashboards.md", True)
    labels = set(re.findall(r"\.Labels\.(\w+)", rule["annotations"]["summary"]))
    assert all(f"AS {name}" in rule["data"][0]["model"]["rawSql"] or f" {name}," in
               rule["data"][0]["model"]["rawSql"] for name in labels)  # fmt: skip


def uids() -> dict[str, str]:
    return {one["uid"]: one["type"] for one in loaded("datasources/rackmeter.yaml")["datasources"]}


def test_the_boards_begin_with_the_data_sources_that_are_provisioned() -> None:
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                assert uids()[variable["current"]["value"]] == variable["query"]


def test_no_secret_and_no_address_stands_in_the_files() -> None:
    for source in loaded("datasources/rackmeter.yaml")["datasources"]:
        assert re.fullmatch(r"\$RACKMETER_GRAFANA_[A-Z_]+", source["url"])
        secrets = source.get("secureJsonData", {}).values()
        assert all(re.fullmatch(r"\$RACKMETER_GRAFANA_\w+", secret) for secret in secrets)


def test_the_compose_file_gives_grafana_what_its_files_ask_for() -> None:
    compose = yaml.safe_load((FOLDER.parent / "compose.yaml").read_text(encoding="utf-8"))
    grafana = compose["services"]["grafana"]
    asked = re.findall(
        r"\$(RACKMETER_\w+)", (PROVISIONING / "datasources/rackmeter.yaml").read_text()
    )
    assert set(asked) - {"RACKMETER_GRAFANA_DB_PASSWORD"} <= grafana["environment"].keys()
    assert "RACKMETER_GRAFANA_DB_PASSWORD" in str(grafana["entrypoint"])
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    path = loaded("dashboards/rackmeter.yaml")["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{path}:ro" in grafana["volumes"]
    assert "db_grafana" in grafana["secrets"]
