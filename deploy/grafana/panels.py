"""Words that boards are written in: panel, column, variable, board. Dumb frozen data.

A panel asks either the ledger (SQL, a file below ``queries/``) or Prometheus (expressions).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Kind = Literal["stat", "timeseries", "table", "bargauge", "barchart", "status-history"]

QUERIES: Final = Path(__file__).parent / "queries"
ALL: Final = "rackmeter-"
"""What the uid of every board begins with."""


@dataclass(frozen=True, slots=True)
class Column:
    """How the column (or series) of one name is shown."""

    unit: str = ""
    decimals: int | None = None
    color: str = ""
    link: str = ""
    """Address opened by a click on a value; ``${__value.text}`` is the value."""
    gauge: bool = False
    """A bar from 0 to 100 in the cell of a table."""
    dashed: bool = False
    points: bool = False
    """Points without a line."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture or table. ``width`` counts 24ths of the page, ``height`` rows of 30 pixels."""

    title: str
    kind: Kind
    why: str
    """Said by the (i) of the panel: what it shows, and what to do about it."""
    width: int
    height: int
    sql: str = ""
    """``board/query``, a file below ``queries/`` without its ending."""
    promql: tuple[tuple[str, str], ...] = ()
    """Expression and legend."""
    unit: str = ""
    decimals: int | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    steps: tuple[tuple[float | None, str], ...] = ((None, "green"),)
    """Thresholds: from which value on which colour."""
    bounds: tuple[float | None, float | None] = (None, None)
    stack: bool = False
    interval: str = ""
    """The least of ``$__interval``."""
    text: bool = False
    """A stat whose value is text."""
    matrix: tuple[str, str, str] | None = None
    """Columns that become the rows, the columns and the cells of a bar chart."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the board. Its SQL gives a column, or ``__text`` and ``__value``."""

    name: str
    label: str
    sql: str
    on_time_range: bool = False
    """Asked again when another time is shown, not only when the board is loaded."""
    hidden: bool = False
    """Follows from the others: neither shown nor taken from the address."""


@dataclass(frozen=True, slots=True)
class Board:
    """A page of panels, placed from left to right in rows as they come."""

    name: str
    title: str
    why: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    span: tuple[str, str] = ("now-24h", "now")
    refresh: str = "1m"
    metrics: bool = False
    """Some panel asks Prometheus."""

    @property
    def uid(self) -> str:
        return f"{ALL}{self.name}"


def query(name: str) -> str:
    """The SQL of a panel or variable: a file's text without its last newline."""
    return (QUERIES / f"{name}.sql").read_text(encoding="utf-8").strip()


def link_to(board: str, **variables: str) -> str:
    """Address of another board at the time shown now: ``link_to("customer", account="acme")``."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{ALL}{board}?${{__url_time_range}}{chosen}"
