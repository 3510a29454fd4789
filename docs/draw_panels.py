"""A panel of a dashboard as a chart of altair: its fields, units, colours and thresholds. Pure.

Not Grafana's look, but what Grafana would show: whoever reads the page sees what a panel answers.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import altair as alt

from tests.deploy.boards import Answer

Panel = Mapping[str, Any]
Chart = Any
"""One of altair's charts: it has a type for each way to put them together."""
COLUMN, ROW = 44, 30
"""Pixels of a 24th of the page and of a row of the grid."""
ROWS_MAX: Final = 8
CHAR: Final = 6.4
"""Pixels of a character of 11 points."""
CELL_MAX: Final = 30
FONT: Final = "DejaVu Sans"
COLORS: Final = {
    "blue": "#3274d9", "green": "#3aa655", "red": "#d1242f", "orange": "#e8912d", "text": "#1f2328",
}  # fmt: skip


def drawn(panel: Panel, answer: Answer) -> Chart:
    """The panel as tall and wide as it is on the board, with its title."""
    size = {"width": _width(panel), "height": _height(panel, answer)}
    chart = _KINDS[panel["type"]](panel, answer)
    title = alt.TitleParams(panel["title"], anchor="start", font=FONT, fontSize=13)
    return chart.properties(title=title, **size)


def _width(panel: Panel) -> int:
    return int(panel["gridPos"]["w"] * COLUMN) - 70


def _height(panel: Panel, answer: Answer) -> int:
    """A table is as tall as its rows."""
    room = int(panel["gridPos"]["h"] * ROW) - 70
    return (
        min(room, 22 * (1 + min(len(answer.rows), ROWS_MAX))) if panel["type"] == "table" else room
    )


def shown(value: Any, unit: str, decimals: int | None = None) -> str:
    """A value in its unit, as people read it."""
    if value is None:
        return "–"
    if unit == "dateTimeAsIso":
        return f"{datetime.fromtimestamp(float(value) / 1000, UTC):%Y-%m-%d %H:%M}"
    if not isinstance(value, int | float | Decimal):
        text = str(value)
        return text if len(text) <= CELL_MAX else text[: CELL_MAX - 1] + "…"
    if unit == "s" and value >= 120:
        return f"{value / 60:,.0f} min"
    places = decimals if decimals is not None else 0 if value == int(value) else 2
    return f"{value:,.{places}f}{_ENDS.get(unit, '')}"


_ENDS: Final = {"percent": " %", "s": " s", "h": " h"}


def _rows(values: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=values))  # type: ignore[no-untyped-call]


def _axis(**more: Any) -> alt.Axis:
    quiet = {"title": None, "labelFont": FONT, "domain": False, "ticks": False}
    return alt.Axis(gridColor="#e8ebee", **(quiet | more))


def _stat(panel: Panel, answer: Answer) -> Chart:
    cells = [
        {
            "name": name,
            "value": shown(value, *_unit(panel, name)),
            "color": _color(panel, name, value),
        }
        for name, value in zip(answer.columns, answer.rows[0], strict=True)
    ]
    base = _rows(cells).encode(
        x=alt.X("name:N", axis=None, sort=None, scale=alt.Scale(padding=0.5))
    )
    letters = max(len(cell["value"]) for cell in cells) * len(cells)
    big = max(12, min(26, round(1.2 * _width(panel) / letters)))
    value = base.mark_text(font=FONT, fontSize=big, fontWeight="bold", dy=-6).encode(
        text="value:N", color=alt.Color("color:N", scale=None)
    )
    return value + base.mark_text(font=FONT, fontSize=11, dy=20, color="#59636e").encode(
        text="name:N"
    )


def _timeseries(panel: Panel, answer: Answer) -> Chart:
    points = list(_points(answer))
    names = list(dict.fromkeys(point["name"] for point in points))
    stacked = panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"
    unit = {"bps": "bit/s"}.get(_unit(panel, "")[0], "")
    base = _rows(points).encode(
        x=alt.X(
            "time:T",
            scale=alt.Scale(type="utc"),
            axis=_axis(grid=False, tickCount=8, labelOverlap=True, domain=True),
        ),
        y=alt.Y(
            "value:Q",
            axis=_axis(labelExpr=f"format(datum.value, '~s') + ' {unit}'"),
            stack="zero" if stacked else None,
        ),
        color=_scale(panel, names),
    )  # fmt: skip
    if stacked:
        return alt.layer(base.mark_bar(size=14))
    return alt.layer(*(
        base.transform_filter(alt.datum.name == name).mark_point(size=14, filled=True)
        if "custom.drawStyle" in (properties := _properties(panel, name))
        else base.transform_filter(alt.datum.name == name).mark_line(
            strokeWidth=1.4,
            strokeDash=[6, 4] if "custom.lineStyle" in properties else [1, 0],
        )
        for name in names
    ))  # fmt: skip


def _points(answer: Answer) -> Iterator[dict[str, Any]]:
    """Long rows (time, metric, value), or a column for each series."""
    for row in answer.dicts():
        time = row["time"].astimezone(UTC).isoformat()
        if "metric" in row:
            yield {"time": time, "name": row["metric"], "value": float(row["value"])}
            continue
        for name in answer.columns[1:]:
            if row[name] is not None:
                yield {"time": time, "name": name, "value": float(row[name])}


def _bars(panel: Panel, answer: Answer) -> Chart:
    name, value = answer.columns[0], answer.columns[-1]
    rows = [
        {
            "name": str(row[name]),
            "value": float(row[value]),
            "color": _color(panel, value, row[value]),
            "text": shown(row[value], *_unit(panel, value)),
        }
        for row in answer.dicts()[:ROWS_MAX]
    ]  # fmt: skip
    base = _rows(rows).encode(
        y=alt.Y("name:N", sort=None, axis=_axis()),
        x=alt.X("value:Q", axis=None),
    )  # fmt: skip
    bars = base.mark_bar(height={"band": 0.7}).encode(color=alt.Color("color:N", scale=None))
    return bars + base.mark_text(font=FONT, align="left", dx=4, fontSize=11).encode(text="text:N")


def _barchart(panel: Panel, answer: Answer) -> Chart:
    """Upright; with a column `metric` one bar for each of its values side by side."""
    if "metric" not in answer.columns:
        return _bars(panel, answer)
    rows = [{**row, "value": float(row["value"])} for row in answer.dicts()]
    return alt.layer(
        _rows(rows).mark_bar(size=40).encode(
            x=alt.X("month:N", axis=_axis(labelAngle=0)),
            xOffset="metric:N",
            y=alt.Y("value:Q", axis=_axis()),
            color=_scale(panel, list(dict.fromkeys(row["metric"] for row in rows))),
        )
    )  # fmt: skip


def _history(panel: Panel, answer: Answer) -> Chart:
    cells = [
        {"time": row["time"].astimezone(UTC).strftime("%d %H:%M"), "server": row["metric"],
         "color": _color(panel, "", row["value"])}
        for row in answer.dicts()
    ]  # fmt: skip
    return alt.layer(
        _rows(cells).mark_rect(stroke="white").encode(
            x=alt.X("time:N", axis=_axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("server:N", axis=_axis()),
            color=alt.Color("color:N", scale=None),
        )
    )  # fmt: skip


def _table(panel: Panel, answer: Answer) -> Chart:
    rows = [dict(zip(answer.columns, answer.columns, strict=True)), *answer.dicts()[:ROWS_MAX]]
    texts = [
        [name if number == 0 else shown(row[name], *_unit(panel, name)) for name in answer.columns]
        for number, row in enumerate(rows)
    ]
    widths = [max(len(row[column]) for row in texts) + 2 for column in range(len(answer.columns))]
    room = _width(panel) / CHAR
    cells = [
        {"x": sum(widths[:column]), "y": number, "text": text, "head": number == 0}
        for number, row in enumerate(texts)
        for column, text in enumerate(row)
    ]  # fmt: skip
    wide = max(sum(widths), room)
    base = _rows(cells).mark_text(font=FONT, fontSize=round(11 * room / wide, 1), align="left")
    return alt.layer(*(
        base.transform_filter(alt.datum.head == head).encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, wide])),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[len(rows) - 0.5, -0.5])),
            text="text:N", color=alt.value("#59636e" if head else "#1f2328"),
        )
        for head in (True, False)
    ))  # fmt: skip


def _unit(panel: Panel, column: str) -> tuple[str, int | None]:
    defaults, own = panel["fieldConfig"]["defaults"], _properties(panel, column)
    return own.get("unit", defaults.get("unit", "")), own.get("decimals", defaults.get("decimals"))


def _properties(panel: Panel, column: str) -> dict[str, Any]:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == column:
            return {one["id"]: one["value"] for one in override["properties"]}
    return {}


def _color(panel: Panel, column: str, value: Any) -> str:
    fixed = _properties(panel, column).get("color")
    if fixed:
        return COLORS[fixed["fixedColor"]]
    if not isinstance(value, int | float | Decimal):
        return COLORS["text"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [one for one in steps if one["value"] is None or value >= one["value"]]
    return COLORS[reached[-1]["color"]]


def _scale(panel: Panel, names: list[str]) -> alt.Color:
    """Colours that are fixed, and the others' from the palette."""
    rest = iter(["#3274d9", "#e8912d", "#3aa655", "#8f3bb8", "#d1242f", "#59636e"])
    fixed = {name: _properties(panel, name).get("color") for name in names}
    colors = [COLORS[one["fixedColor"]] if one else next(rest) for one in fixed.values()]
    lines = panel["fieldConfig"]["defaults"]["custom"].get("drawStyle") == "line"
    symbol = "stroke" if lines else "square"
    legend = alt.Legend(title=None, orient="bottom", labelFont=FONT, symbolType=symbol)
    return alt.Color("name:N" if panel["type"] == "timeseries" else "metric:N",
                     scale=alt.Scale(domain=names, range=colors), legend=legend)  # fmt: skip


_KINDS: Final[dict[str, Callable[[Panel, Answer], Chart]]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "bargauge": _bars,
    "barchart": _barchart,
    "status-history": _history,
    "table": _table,
}
