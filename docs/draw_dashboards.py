"""Draws docs/pictures/dashboard-*.svg: each board's panels that ask the ledger, on a rented fleet.

``python -m docs.draw_dashboards`` seeds one and writes them anew; a test holds that they are what
it would write. The queries are those of the committed dashboards.
"""

import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import altair as alt
import vl_convert

from docs.draw_panels import FONT, drawn
from rackmeter.stack import Stack
from sinks.database import Connection, connect, migrate
from tests.deploy.boards import BOARDS, Answer, View, answer, opened, panels
from tests.deploy.rented_fleet import END, Size, bill, seed, store

FOLDER: Final = Path(__file__).parent / "pictures"
LEDGER: Final = "grafana-postgresql-datasource"
POINTS_MAX: Final = 576
"""Of a series with a point each five minutes two days are drawn: a month of them is a blot."""


def drawings(conn: Connection) -> dict[Path, str]:
    """File → picture, of a ledger that `fleet` has filled."""
    return {FOLDER / f"dashboard-{board}.svg": picture(conn, board) for board in BOARDS}


def fleet(conn: Connection, url: str) -> None:
    """The ledger that is shown."""
    seed(conn, Size(days=22))
    store(conn)
    bill(conn, url)


def picture(conn: Connection, board: str) -> str:
    view = opened(conn, board, END)
    lines = groupby(panels(board, LEDGER), key=lambda panel: panel["gridPos"]["y"])
    chart = alt.vconcat(
        *(_apart(alt.hconcat(*(drawn(one, _asked(conn, one, view)) for one in line)))
          for _, line in lines),
        background="white", padding=16, spacing=24,
    )  # fmt: skip
    chart = _apart(chart).configure(font=FONT, view=alt.ViewConfig(stroke=None))
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    return svg + "\n"


def _apart(charts: Any) -> Any:
    """Each with colours and a legend of its own."""
    return charts.resolve_scale(color="independent")


def _asked(conn: Connection, panel: dict[str, Any], view: View) -> Answer:
    found = answer(conn, panel, view)
    wide = panel["type"] == "timeseries" and "metric" not in found.columns
    return Answer(found.columns, found.rows[-POINTS_MAX:]) if wide else found


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="rackmeter-draw-") as folder,
        Stack.start(Path(folder), broker=False) as stack,
        connect(stack.database_url, autocommit=True) as conn,
    ):
        migrate(stack.database_url)
        fleet(conn, stack.database_url)
        for path, text in drawings(conn).items():
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
