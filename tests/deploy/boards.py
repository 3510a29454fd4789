"""The dashboards as they are committed, and asking their questions as Grafana would.

Used by the tests of the dashboards, their pictures and their benchmark; nothing here looks at the
Python that the files were made from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.grafana.macros import expand
from sinks.database import Connection

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
AS_READER = """
SELECT set_config('role', rolname, true) FROM pg_roles
WHERE rolname = 'rackmeter_reader' AND has_table_privilege(oid, 'usage_window', 'SELECT')
"""
"""Where there are roles: TimescaleDB in WebAssembly has none."""


@dataclass(frozen=True, slots=True)
class View:
    """A board opened at a time: what is shown, and what is chosen."""

    low: datetime
    high: datetime
    chosen: Mapping[str, str]

    def expand(self, sql: str) -> str:
        return expand(sql, self.low, self.high, self.chosen)


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a panel, with the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def panels(board: str, kind: str) -> list[dict[str, Any]]:
    """Panels that ask a data source of this type, in order."""
    return [one for one in BOARDS[board]["panels"] if one["datasource"]["type"] == kind]


def sql_panels() -> list[tuple[str, dict[str, Any]]]:
    """Board and panel, all that ask the ledger."""
    return [(name, one) for name in BOARDS for one in panels(name, "grafana-postgresql-datasource")]


def opened(conn: Connection, board: str, now: datetime, **wanted: str) -> View:
    """The board as it opens at `now`: of each variable the first value, unless one is wanted."""
    low, high = shown(BOARDS[board]["time"], now)
    chosen: dict[str, str] = {}
    for variable in BOARDS[board]["templating"]["list"]:
        if variable["type"] == "query":
            values = asked(conn, variable["query"], View(low, high, chosen))
            first = str(values.rows[0][-1]) if values.rows else ""
            chosen[variable["name"]] = wanted.get(variable["name"], first)
    return View(low, high, chosen)


def shown(time: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Grafana's relative times, those that are used here."""
    if time == {"from": "now/M", "to": "now/M"}:
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = (first + timedelta(days=32)).replace(day=1)
        return first, after - timedelta(milliseconds=1)
    hours = int(time["from"].removeprefix("now-").removesuffix("h"))
    return now - timedelta(hours=hours), now


def asked(conn: Connection, sql: str, view: View) -> Answer:
    """The rows, read as Grafana reads: in a transaction that cannot write, as the reader."""
    with conn.transaction():
        conn.execute("SET TRANSACTION READ ONLY")
        conn.execute(AS_READER)
        cursor = conn.execute(view.expand(sql).encode())
        columns = tuple(column.name for column in cursor.description or ())
        return Answer(columns, cursor.fetchall())


def answer(conn: Connection, panel: Mapping[str, Any], view: View) -> Answer:
    return asked(conn, panel["targets"][0]["rawSql"], view)


def panel_of(board: str, title: str) -> dict[str, Any]:
    return next(one for one in BOARDS[board]["panels"] if one["title"] == title)
