"""A chart of an explanation as inline SVG: a course or bars, and the line beside it. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from html import escape
from typing import Final

from invoicing.explaining.tree import Chart

WIDTH: Final = 720
HEIGHT: Final = 200
LEFT: Final = 64
BOTTOM: Final = 22
TOP: Final = 14
UNITS: Final = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
TICKS: Final = 4
LABELS: Final = 6


def svg(chart: Chart) -> str:
    """The drawing; colours come from the page, so that it follows light and dark."""
    most = max((*(value for value in chart.values if value is not None), chart.line, 1))
    return "".join(
        (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.caption)}">',
            *_grid(most),
            *(_bars(chart, most) if chart.bars else _course(chart, most)),
            *_unmeasured(chart),
            *_line(chart, most),
            *_dates(chart),
            "</svg>",
        )
    )


def short(value: int) -> str:
    """A figure with a decimal prefix: 21.5T."""
    for size, name in UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return str(value)


def _y(value: int, most: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most, 1)


def _x(number: float, chart: Chart) -> float:
    return round(LEFT + (WIDTH - LEFT) * number / len(chart.values), 1)


def _grid(most: int) -> Iterator[str]:
    for tick in range(TICKS + 1):
        value = most * tick // TICKS
        y = _y(value, most)
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{short(value)}</text>'


def _course(chart: Chart, most: int) -> Iterator[str]:
    points = [
        f"{_x(number + 1, chart)} {_y(value, most)}"
        for number, value in enumerate(chart.values)
        if value is not None
    ]
    base = _y(0, most)
    path = f"M{LEFT} {base}L" + "L".join(points)
    yield f'<path class="area" d="{path}V{base}Z"/><path class="course" d="{path}"/>'


def _bars(chart: Chart, most: int) -> Iterator[str]:
    width = max(0.5, round((WIDTH - LEFT) / len(chart.values) * 0.85, 2))
    base = _y(0, most)
    path = "".join(
        f"M{_x(number, chart)} {base}V{_y(value, most)}h{width}V{base}Z"
        for number, value in enumerate(chart.values)
        if value
    )
    yield f'<path class="bar" d="{path}"/>'


def _unmeasured(chart: Chart) -> Iterator[str]:
    """A strip below where nothing was measured."""
    width = round((WIDTH - LEFT) / len(chart.values), 2)
    path = "".join(
        f"M{_x(number, chart)} {HEIGHT - BOTTOM}h{width}v3h-{width}Z"
        for number, value in enumerate(chart.values)
        if value is None
    )
    if path:
        yield f'<path class="unmeasured" d="{path}"><title>not measured</title></path>'


def _line(chart: Chart, most: int) -> Iterator[str]:
    if not chart.line:
        return
    y = _y(chart.line, most)
    side = y + 12 if y < TOP + 12 else y - 4
    yield f'<path class="line" d="M{LEFT} {y}H{WIDTH}"/>'
    said = f"{chart.line_name} {short(chart.line)}"
    yield f'<text class="named" x="{LEFT + 6}" y="{side}">{escape(said)}</text>'


def _dates(chart: Chart) -> Iterator[str]:
    step = max(1, len(chart.values) // LABELS)
    for number in range(0, len(chart.values), step):
        at = chart.start + timedelta(milliseconds=chart.step_ms) * number
        x = _x(number, chart)
        if x < WIDTH - 40:
            yield f'<text x="{x}" y="{HEIGHT - 6}">{at:%Y-%m-%d}</text>'
