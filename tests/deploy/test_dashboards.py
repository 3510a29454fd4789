"""Dashboards as files: current, sound by Grafana's own types, linked, in units that exist."""

import re
from typing import Any

import pytest
from grafana_foundation_sdk.models import dashboard as grafana
from grafana_foundation_sdk.models import units

from deploy.grafana.build import files
from schemas.metrics import METRICS
from tests.deploy.boards import BOARDS, panels
from tests.deploy.grafana_schema import problems

SQL = "grafana-postgresql-datasource"
UNITS = {value for name, value in vars(units).items() if not name.startswith("_")} | {"text"}
EXPRESSIONS = [
    (board, panel["title"], target["expr"])
    for board in BOARDS
    for panel in panels(board, "prometheus")
    for target in panel["targets"]
]


def test_the_files_are_what_the_boards_say() -> None:
    """After a change that is meant: python -m deploy.grafana.build."""
    assert {path.name for path in files()} == {f"{name}.json" for name in BOARDS}
    assert {path: path.read_text(encoding="utf-8") for path in files()} == files()


@pytest.mark.parametrize("board", BOARDS)
def test_grafana_knows_every_field_and_value(board: str) -> None:
    assert list(problems(BOARDS[board], grafana.Dashboard)) == []
    for panel in BOARDS[board]["panels"]:
        assert list(problems(panel, grafana.Panel, panel["title"])) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tittle": "a typing mistake"}, ".tittle is unknown to Grafana"),
        ({"title": 7}, ".title is 7"),
        ({"gridPos": {"x": "0", "y": 0, "w": 1, "h": 1}}, ".grid_pos.x is '0'"),
        ({"options": {"legend": {"displayMode": "lst"}}}, "is 'lst', not one of"),
    ],
    ids=["unknown", "kind", "deep", "choice"],
)
def test_a_mistake_would_be_found(change: dict[str, Any], said: str) -> None:
    panel = {**BOARDS["fleet"]["panels"][3], **change}
    assert any(said in problem for problem in problems(panel, grafana.Panel))


@pytest.mark.parametrize("board", BOARDS)
def test_panels_lie_side_by_side(board: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[board]["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert len(panel["description"]) > 30, panel["title"]


def words(value: Any, name: str) -> list[str]:
    """Every text under this name, however deep."""
    if isinstance(value, list):
        return [found for one in value for found in words(one, name)]
    if isinstance(value, dict):
        here = [value[name]] if isinstance(value.get(name), str) else []
        return here + [found for one in value.values() for found in words(one, name)]
    return []


@pytest.mark.parametrize("board", BOARDS)
def test_every_unit_is_one_of_grafana(board: str) -> None:
    used = words([panel["fieldConfig"]["defaults"] for panel in BOARDS[board]["panels"]], "unit")
    overrides = [
        one["value"]
        for panel in BOARDS[board]["panels"]
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "unit"
    ]
    assert used + overrides
    assert set(used + overrides) <= UNITS


@pytest.mark.parametrize("board", BOARDS)
def test_links_lead_to_boards_and_variables_that_are_there(board: str) -> None:
    known = {one["uid"]: one for one in BOARDS.values()}
    urls = words(BOARDS[board], "url")
    assert {re.match(r"/d/([\w-]+)", url)[1] for url in urls} >= known.keys() - {  # type: ignore[index]
        f"rackmeter-{board}"
    }
    for url in urls:
        target = known[re.match(r"/d/([\w-]+)", url)[1]]  # type: ignore[index]
        variables = {one["name"] for one in target["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", url)) <= variables


@pytest.mark.parametrize("board", BOARDS)
def test_a_link_takes_what_the_row_has(board: str) -> None:
    for panel in panels(board, SQL):
        fields = re.findall(r"__data\.fields\.(\w+)", str(panel["fieldConfig"]))
        for name in fields:
            assert re.search(rf"\b{name}\b", panel["targets"][0]["rawSql"]), panel["title"]


@pytest.mark.parametrize(("board", "title", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_what_is_exposed(board: str, title: str, expression: str) -> None:
    exposed = {
        metric.name + end: {*metric.labels, "instance", "le"}
        for metric in METRICS
        for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
    }
    names = set(re.findall(r"rackmeter_\w+", expression))
    assert names
    assert names <= exposed.keys()
    by = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split()}
    assert by <= {"le"}.union(*(exposed[name] for name in names))
    assert ("rate(" in expression) or not any(name.endswith("_bucket") for name in names)
