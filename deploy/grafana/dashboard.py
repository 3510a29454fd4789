"""Grafana's dashboard JSON (schema 41, Grafana 11.6 and later) from a board. Pure.

Both data sources are variables of the board, so that an imported one finds those that are there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from deploy.grafana.panels import Board, Column, Panel, Variable, query

Json = dict[str, Any]

LEDGER: Final = {"type": "grafana-postgresql-datasource", "uid": "${ledger}"}
METRICS: Final = {"type": "prometheus", "uid": "${metrics}"}


def dashboard(board: Board, others: Sequence[Board]) -> Json:
    """The board as Grafana imports it; ``others`` are linked at its top."""
    return {
        "uid": board.uid,
        "title": f"rackmeter · {board.title}",
        "description": board.why,
        "tags": ["rackmeter"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "schemaVersion": 41,
        "version": 1,
        "refresh": board.refresh,
        "time": {"from": board.span[0], "to": board.span[1]},
        "annotations": {"list": []},
        "links": [_board_link(other) for other in others if other.name != board.name],
        "templating": {"list": [*_sources(board), *(_variable(one) for one in board.variables)]},
        "panels": list(_placed(board.panels)),
    }


def _board_link(board: Board) -> Json:
    return {
        "title": board.title, "type": "link", "icon": "dashboard", "tooltip": board.why,
        "url": f"/d/{board.uid}", "tags": [], "asDropdown": False, "targetBlank": False,
        "includeVars": False, "keepTime": board.span[0] == "now-24h",
    }  # fmt: skip


def _sources(board: Board) -> Iterable[Json]:
    yield _source("ledger", "Ledger", LEDGER["type"], "rackmeter-ledger")
    if board.metrics:
        yield _source("metrics", "Metrics", METRICS["type"], "rackmeter-metrics")


def _source(name: str, label: str, kind: str, uid: str) -> Json:
    return {
        "name": name, "label": label, "type": "datasource", "query": kind, "regex": "", "hide": 2,
        "current": {"text": uid, "value": uid}, "refresh": 1, "multi": False, "includeAll": False,
        "options": [], "skipUrlSync": False,
    }  # fmt: skip


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name, "label": variable.label, "type": "query", "datasource": LEDGER,
        "query": query(variable.sql), "regex": "", "sort": 0, "multi": False,
        "includeAll": False, "options": [], "refresh": 2 if variable.on_time_range else 1,
        "hide": 2 if variable.hidden else 0, "skipUrlSync": variable.hidden,
    }  # fmt: skip


def _placed(panels: Iterable[Panel]) -> Iterable[Json]:
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        yield {"id": number, "gridPos": place, **_panel(panel)}
        x, tallest = x + panel.width, max(tallest, panel.height)


def _panel(panel: Panel) -> Json:
    body: Json = {
        "title": panel.title, "description": panel.why, "type": panel.kind, "transparent": False,
        "datasource": LEDGER if panel.sql else METRICS, "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel.columns))},
        "options": _OPTIONS[panel.kind](panel),
    }  # fmt: skip
    if panel.interval:
        body["interval"] = panel.interval
    if panel.matrix:
        options = dict(zip(("rowField", "columnField", "valueField"), panel.matrix, strict=True))
        body["transformations"] = [{"id": "groupingToMatrix", "options": options}]
    return body


def _targets(panel: Panel) -> Iterable[Json]:
    if panel.sql:
        series = panel.kind in ("timeseries", "status-history")
        yield {
            "refId": "A", "datasource": LEDGER, "rawQuery": True, "editorMode": "code",
            "format": "time_series" if series else "table", "rawSql": query(panel.sql),
        }  # fmt: skip
    for letter, (expr, legend) in zip("ABCDEFGH", panel.promql, strict=False):
        yield {
            "refId": letter, "datasource": METRICS, "editorMode": "code", "expr": expr,
            "legendFormat": legend, "range": True, "instant": False,
        }  # fmt: skip


def _defaults(panel: Panel) -> Json:
    low, high = panel.bounds
    defaults: Json = {
        "color": {"mode": "palette-classic" if panel.kind in _LINES else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in panel.steps],
        },
        "mappings": [],
        "custom": _CUSTOM[panel.kind](panel),
    }
    given = {"unit": panel.unit or None, "decimals": panel.decimals, "min": low, "max": high}
    return defaults | {name: value for name, value in given.items() if value is not None}


def _overrides(columns: Mapping[str, Column]) -> Iterable[Json]:
    for name, column in columns.items():
        yield {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": what, "value": value} for what, value in _properties(column)],
        }


def _properties(column: Column) -> Iterable[tuple[str, Any]]:
    if column.unit:
        yield "unit", column.unit
    if column.decimals is not None:
        yield "decimals", column.decimals
    if column.color:
        yield "color", {"mode": "fixed", "fixedColor": column.color}
    if column.link:
        yield "links", [{"title": "Open", "url": column.link, "targetBlank": False}]
    if column.gauge:
        yield "custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        yield "min", 0
        yield "max", 100
    if column.dashed:
        yield "custom.lineStyle", {"fill": "dash", "dash": [8, 6]}
    if column.points:
        yield "custom.drawStyle", "points"


_LINES: Final = ("timeseries", "barchart")


def _reduced(*, rows: bool = False, text: bool = False) -> Json:
    """Every row is a value of its own, or the last of each column; numbers, or text as well."""
    return {"values": rows, "calcs": ["lastNotNull"], "fields": "/.*/" if text else ""}


_OPTIONS: Final[Mapping[str, Callable[[Panel], Json]]] = {
    "stat": lambda panel: {
        "reduceOptions": _reduced(text=panel.text), "colorMode": "value", "graphMode": "none",
        "justifyMode": "auto", "textMode": "auto", "orientation": "auto",
    },
    "bargauge": lambda _: {
        "reduceOptions": _reduced(rows=True), "displayMode": "basic", "valueMode": "color",
        "orientation": "horizontal", "showUnfilled": True,
    },
    "timeseries": lambda _: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "barchart": lambda _: {
        "orientation": "auto", "xTickLabelRotation": 0, "xTickLabelSpacing": 0,
        "showValue": "auto", "stacking": "none", "groupWidth": 0.7, "barWidth": 0.9,
        "barRadius": 0.0, "fullHighlight": False,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    },
    "status-history": lambda _: {
        "showValue": "never", "rowHeight": 0.9, "colWidth": 0.95,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "table": lambda _: {"showHeader": True, "cellHeight": "sm"},
}  # fmt: skip
_CUSTOM: Final[Mapping[str, Callable[[Panel], Json]]] = {
    "stat": lambda _: {},
    "bargauge": lambda _: {},
    "timeseries": lambda panel: {
        "drawStyle": "bars" if panel.stack else "line", "lineWidth": 1, "pointSize": 4,
        "fillOpacity": 60 if panel.stack else 8, "showPoints": "auto", "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
    },
    "barchart": lambda _: {"fillOpacity": 80, "lineWidth": 1},
    "status-history": lambda _: {"fillOpacity": 80, "lineWidth": 0},
    "table": lambda _: {"align": "auto", "filterable": True},
}  # fmt: skip
