"""Draws a run: reports sent and committed over time, and every fault. Draws only what was measured.

``python -m tests.chaos.picture DATA.json PICTURE.svg`` draws again from what ``--data`` wrote.
"""

import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from tests.chaos.outcome import Outcome
from tests.chaos.schedule import KILLS

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 360, 76, 16, 64, 84
STEP_S: Final = 1.0
"""Rates are of a second."""
STYLE: Final = """
text{font:13px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328}
.paper{fill:#fff}.quiet{fill:#59636e}.edge{stroke:#d1d9e0}.end{text-anchor:end}
.mid{text-anchor:middle}.sent{fill:none;stroke:#818b98;stroke-dasharray:4 3}
.done{fill:none;stroke:#0969da;stroke-width:1.6}.kill{stroke:#d1242f;stroke-width:1.2}
.other{fill:#9a6700;opacity:.35}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.paper{fill:#0d1117}.quiet{fill:#9198a1}
.edge{stroke:#3d444d}.sent{stroke:#656c76}.done{stroke:#4493f8}.kill{stroke:#f85149}
.other{fill:#d29922}}
"""


def drawn_from(out: Outcome) -> dict[str, Any]:
    """What a picture needs, as JSON holds it."""
    return {
        "title": f"{out.kills} workers killed, {out.reports:,} reports,"
        f" {out.lost} lost, {out.doubled} doubled (seed {out.seed})",
        "sent": [[round(max(at_s, 0), 2), number] for at_s, number in out.sent],
        "reports": out.reports,
        "samples": [[round(max(at_s, 0), 2), sum(held)] for at_s, held in out.samples],
        "kills": [round(at_s, 2) for at_s in out.killed_s],
        "others": [
            [round(one.at_s, 2), round(one.ended_s, 2), one.fault.kind.value]
            for one in out.played
            if one.fault.kind not in KILLS
        ],
    }


def draw(found: dict[str, Any]) -> str:
    """The picture of one run."""
    end_s, top = found["samples"][-1][0], max(found["reports"], found["samples"][-1][1])

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * float(at_s / end_s)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * float(count / top)

    base = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="24">{escape(found["title"])}</text>',
        f'<text class="quiet" x="{LEFT}" y="44">dashed: sent; blue: committed to the ledger</text>',
    ]
    for n in range(5):
        count = top * n / 4
        parts.append(f'<line class="edge" x1="{LEFT}" x2="{WIDTH - RIGHT}" {_level(y(count))}/>')
        parts.append(f'<text class="quiet end" x="{LEFT - 8}" y="{y(count) + 4:.1f}">'
                     f"{count / 1000:,.0f}k</text>")  # fmt: skip
    for at_s, until_s, kind in found["others"]:
        parts.append(
            f'<rect class="other" x="{x(at_s):.1f}" y="{base + 26}" height="8"'
            f' width="{max(x(until_s) - x(at_s), 1.5):.1f}"><title>{escape(kind)}</title></rect>'
        )
    parts += [
        f'<line class="kill" x1="{x(at_s):.1f}" x2="{x(at_s):.1f}" y1="{base + 10}"'
        f' y2="{base + 22}"/>'
        for at_s in found["kills"]
    ]
    parts.append(f'<path class="sent" d="{_path(found["sent"], x, y)}"/>')
    parts.append(f'<path class="done" d="{_path(found["samples"], x, y)}"/>')
    every = next(n for n in (10, 30, 60, 120, 300, 600) if end_s / n <= 12)
    parts += [
        f'<text class="quiet mid" x="{x(at_s):.1f}" y="{base + 50}">{_clock(at_s)}</text>'
        for at_s in range(0, int(end_s) + 1, every)
    ]
    parts.append(f'<text class="quiet" x="{LEFT}" y="{HEIGHT - 12}">red: a worker killed;'
                 " yellow: broker, database or worker stopped, slow or cut off</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


def _path(samples: Sequence[Sequence[float]], x: Any, y: Any) -> str:
    """A step at each commit; commits of the same pixel are one."""
    points, before = [f"M{x(0):.1f} {y(0):.1f}"], ""
    for at_s, count in samples:
        if f"{x(at_s):.0f}" != before:
            points.append(f"H{x(at_s):.1f}V{y(count):.1f}")
            before = f"{x(at_s):.0f}"
    at_s, count = samples[-1]
    return "".join([*points, f"H{x(at_s):.1f}V{y(count):.1f}"])


def _level(at: float) -> str:
    return f'y1="{at:.1f}" y2="{at:.1f}"'


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


if __name__ == "__main__":
    data, picture = map(Path, sys.argv[1:])
    picture.write_text(draw(json.loads(data.read_text(encoding="utf-8"))), encoding="utf-8")
