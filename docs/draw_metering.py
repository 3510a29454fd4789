"""Draws docs/pictures: cases of tests/pipeline/cases as the meter meters them. Makes nothing up.

``python -m docs.draw_metering`` writes them anew; a test holds that they are what it would write.
What a report put into which window is the difference of all windows before and after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from pipeline.heads import Reading
from pipeline.windows import WIDTH_MS, window_ms
from schemas.verdict import Verdict
from tests.pipeline.cases import CASES
from tests.pipeline.clerk import SHORT, Case, at, clock
from tests.pipeline.world import World

FOLDER: Final = Path(__file__).parent / "pictures"
PICTURES: Final = {
    "first-report": "the first report is spread from the origin's beginning",
    "lost": "a lost report",
    "late": "a late report",
    "reboot": "a reboot",
    "tail": "a late tail of the former origin",
    "absent": "a series that is absent and comes back",
    "falls": "a counter that falls",
    "implausible": "more than the hardware can do",
    "split": "three windows at once",
    "clock-back": "the clock steps back",
    "coverage": "a millisecond longer",
}
"""File → the case it shows."""
LEFT, RIGHT, LINE, CHAR = 96, 16, 24, 7.9
WIDTH: Final = 860
STYLE: Final = """
text{font:13px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328}
.paper{fill:#fff}.quiet{fill:#59636e}.edge{stroke:#d1d9e0}.life{stroke:#59636e;stroke-width:2}
.cell{fill:#f6f8fa;stroke:#818b98}.open{stroke-dasharray:5 4}.sum{font-weight:bold}
.dot{fill:#0969da}.late{fill:#9a6700}.bad{fill:#d1242f}.in{fill:#fff;text-anchor:middle}
.mid{text-anchor:middle}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.paper{fill:#0d1117}.quiet{fill:#9198a1}
.edge{stroke:#3d444d}.life{stroke:#9198a1}.cell{fill:#151b23;stroke:#656c76}.dot{fill:#1f6feb}
.late{fill:#9e6a03}.bad{fill:#da3633}.in{fill:#fff}}
"""
Cells = dict[tuple[int, str], list[tuple[int, int, bool]]]
"""(Window, series) → report, what it put there, and whether as a late entry."""


@dataclass(frozen=True)
class Metered:
    """A case after the meter: the verdict on each report, and where each went."""

    reports: list[tuple[Reading, Verdict]]
    cells: Cells
    cover: dict[int, int]
    open_ms: int

    @property
    def edges(self) -> list[int]:
        times, wins = [r.at_ms for r, _ in self.reports], [win for win, _ in self.cells]
        first = window_ms(min([*times, *wins]))
        last = max([-(-max(times) // WIDTH_MS) * WIDTH_MS, max(wins) + WIDTH_MS])
        return list(range(first, last + 1, WIDTH_MS))


def metered(case: Case) -> Metered:
    world, cells, reports = World(), Cells(), list[tuple[Reading, Verdict]]()
    for number, reading in enumerate(case.readings, 1):
        before, late = world.windows(), len(world.out.late)
        world.one_by_one([reading])
        reports.append((reading, world.verdicts[-1]))
        entries = {
            (row.win_ms, SHORT[series])
            for row in world.out.late[late:]
            for series, quantity in zip(row.names.series, row.qty, strict=True)
            if quantity
        }
        for (server, win, meter, resource), quantity in sorted(world.windows().items()):
            put = quantity - before.get((server, win, meter, resource), 0)
            key = (win, SHORT[meter, resource])
            if put:
                cells.setdefault(key, []).append((number, put, key in entries))
    cover = {win: ms for (_, win), ms in world.cover().items()}
    return Metered(reports, cells, cover, next(iter(world.heads.values())).win_ms)


def words(case: Case, shown: Metered) -> str:
    """The picture as text, for whoever cannot see it."""
    said = [
        f"Report {n}, {r.origin}#{r.seq} read at {_time(r.at_ms)}: {_values(r)}, {verdict.value}."
        for n, (r, verdict) in enumerate(shown.reports, 1)
    ]
    for (win, series), parts in sorted(shown.cells.items()):
        put = " and ".join(f"{q} from report {n}{' (late)' * late}" for n, q, late in parts)
        said.append(f"Window {at(win)} {series}: {put}.")
    return f"{case.why} {' '.join(said)}"


def svg(case: Case) -> str:
    shown = metered(case)
    origins = dict.fromkeys(r.origin for r, _ in shown.reports)
    body, y = list[str](), 20
    for origin in origins:
        drawn, y = _life(origin, case, shown, y)
        body += drawn
    axis_y = y + 8
    body += _axis(shown, axis_y)
    y = axis_y + 16
    for series in dict.fromkeys(series for _, series in sorted(shown.cells)):
        drawn, y = _windows(series, shown, y)
        body += drawn
    if case.cover is not None:
        body += _cover(shown, y)
        y += 20
    grid = [_line(_x(shown, edge), 8, _x(shown, edge), axis_y, "edge") for edge in shown.edges]
    title = f"<title>{escape(case.name)}</title><desc>{escape(words(case, shown))}</desc>"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" width="{WIDTH}"'
        f' height="{y + 8}" role="img">{title}<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{y + 8}"/>\n'
        + "\n".join([*grid, *body])
        + "\n</svg>\n"
    )


def _life(origin: str, case: Case, shown: Metered, y: int) -> tuple[list[str], int]:
    """An origin from its beginning on, with its reports in as many lines as their words need."""
    mine = [
        (n, r, verdict) for n, (r, verdict) in enumerate(shown.reports, 1) if r.origin == origin
    ]
    since = _x(shown, max(clock(case.since.get(origin, "00:00")), shown.edges[0]))
    end = max(_x(shown, r.at_ms) for _, r, _ in mine)
    drawn = [_text(12, y + 4, f"origin {origin}"), _line(since, y, end, y, "life")]
    drawn += [_line(since, y - 6, since, y + 6, "life"), _text(since + 4, y - 5, "0", "quiet")]
    ends = list[float]()
    for n, reading, verdict in mine:
        x = _x(shown, reading.at_ms)
        said = "" if verdict is Verdict.ACCEPTED else f" {verdict.value}"
        label = f"#{reading.seq} {_values(reading)}{said}"
        wide = CHAR * len(label) + 34
        start = x - 10 if x + wide < WIDTH else x - wide
        row = next((i for i, taken in enumerate(ends) if taken <= start), len(ends))
        ends[row : row + 1] = [start + wide]
        kind = "bad" if verdict.refused else "dot" if verdict is Verdict.ACCEPTED else "late"
        level = y + row * LINE + 14 * (row > 0)
        drawn += _dot(x, level, n, kind)
        anchor = x + 14 if start >= x - 10 else x - 14 - CHAR * len(label)
        drawn.append(_text(anchor, level + (4 if row else 19), label, "quiet"))
    return drawn, y + len(ends) * LINE + 22


def _axis(shown: Metered, y: int) -> list[str]:
    drawn = [_line(LEFT, y, WIDTH - RIGHT, y, "edge"), _text(12, y + 14, "time", "quiet")]
    return drawn + [_text(_x(shown, edge), y + 14, at(edge), "quiet mid") for edge in shown.edges]


def _windows(series: str, shown: Metered, y: int) -> tuple[list[str], int]:
    """A cell for each window: what each report put there, and the sum."""
    starts = shown.edges[:-1]
    parts = {win: shown.cells.get((win, series), []) for win in starts}
    height = 17 * (max(map(len, parts.values())) + 1) + 10
    drawn = [_text(12, y + 22, f"{series} in"), _text(12, y + 39, "windows")]
    for win, put in parts.items():
        x, right = _x(shown, win), _x(shown, win + WIDTH_MS)
        kind = "cell open" if win == shown.open_ms else "cell"
        drawn.append(
            f'<rect class="{kind}" x="{x + 3:.1f}" y="{y + 5}" width="{right - x - 6:.1f}"'
            f' height="{height}" rx="4"/>'
        )
        for i, (n, quantity, late) in enumerate(put):
            drawn += _dot(x + 20, y + 18 + 17 * i, n, "late" if late else "dot", 7)
            drawn.append(_text(x + 33, y + 22 + 17 * i, f"{quantity}{' late' * late}"))
        total = f"= {sum(quantity for _, quantity, _ in put)}"
        note = " still open" if win == shown.open_ms else ""
        drawn.append(_text(x + 14, y + height - 1, total + note, "sum"))
    return drawn, y + height + 12


def _cover(shown: Metered, y: int) -> list[str]:
    said = ((win, shown.cover.get(win, 0)) for win in shown.edges[:-1])
    return [_text(12, y + 16, "observed", "quiet")] + [
        _text(_x(shown, win) + 14, y + 16, f"{ms / 1000:g} of 300 s", "quiet") for win, ms in said
    ]


def _x(shown: Metered, t_ms: int) -> float:
    first, last = shown.edges[0], shown.edges[-1]
    return LEFT + (t_ms - first) * (WIDTH - LEFT - RIGHT - 20) / (last - first)


def _values(reading: Reading) -> str:
    pairs = zip(reading.names.series, reading.value.tolist(), strict=True)
    return " ".join(f"{SHORT[series]}={value}" for series, value in pairs)


def _time(t_ms: int) -> str:
    start = window_ms(t_ms)
    minutes, ms = divmod(t_ms - start, 60_000)
    hours, minute = at(start).split(":")
    return f"{hours}:{int(minute) + minutes:02}" + (f":{ms / 1000:06.3f}" if ms else "")


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def _line(x: float, y: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, number: int, kind: str, radius: int = 9) -> Iterator[str]:
    yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
    yield _text(x, y + 4.5, str(number), "in")


def drawings() -> dict[Path, str]:
    by_name = {case.name: case for case in CASES}
    return {FOLDER / f"{file}.svg": svg(by_name[name]) for file, name in PICTURES.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path, drawn in drawings().items():
        path.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
