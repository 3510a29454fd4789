"""What was measured behind each metered line: sums a day, readings, coverage. Reads only.

The arithmetic happens in the database, in numeric, by a way of its own (``invoicing.pieces``), so
the sums also serve as the second opinion on every quantity that pricing computed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from invoicing.document import Position, Reading, Series
from invoicing.pieces import NOBODY, Part, metered, parts, pieces, whole
from schemas.billing import Line, Scope
from sinks.database import Connection
from sinks.positions import TOPIC_BITS

FOLDER: Final = files("invoicing") / "queries"
WHOLE: Final = (FOLDER / "whole_windows.sql").read_text()
CUT: Final = (FOLDER / "cut_windows.sql").read_text()
READINGS: Final = (FOLDER / "readings.sql").read_text()

Key = tuple[int, str, str, str]
"""Line number, server, meter, resource."""


@dataclass(slots=True)
class _Sums:
    """A series of a line while it is added up."""

    days: list[int]
    first: datetime
    last: datetime
    windows: int = 0
    covered_ms: int = 0
    readings: list[Reading] = field(default_factory=list)


def evidence(
    conn: Connection,
    scope: Scope,
    lines: Sequence[Line],
    days: Sequence[datetime],
    cut: Sequence[Position] = (),
    look: int = 0,
) -> list[tuple[Series, ...]]:
    """For each line the series that it was made of; empty for lines that are not metered.

    ``days`` are the starts of the local days, the first that of the period. With ``cut`` what came
    above it is left out: the ledger as the seal saw it, or a later look at the period.
    """
    found = parts(scope, lines)
    sums: dict[Key, _Sums] = {}
    for key, row in _rows(conn, scope, lines, found, days, cut, look):
        _add(sums, key, row, len(days))
    _add_readings(conn, found, sums)
    made: list[list[Series]] = [[] for _ in lines]
    for (number, server, meter, resource), total in sorted(sums.items()):
        made[number].append(_series(server, meter, resource, total))
    return [tuple(series) for series in made]


def _rows(
    conn: Connection,
    scope: Scope,
    lines: Sequence[Line],
    found: Sequence[Part],
    days: Sequence[datetime],
    cut: Sequence[Position],
    look: int,
) -> Iterator[tuple[Key, Any]]:
    """(day, quantity, windows, first, last, covered_ms) of each key and day."""
    wanted = [metered(scope, line) for line in lines]
    meters = [frozenset(model.meters) if model else frozenset[str]() for model in wanted]
    common = {
        "meters": sorted(frozenset[str]().union(*meters)),
        "days": list(days),
        "scope": scope.scope,
        "look": look,
        "bits": TOPIC_BITS,
        "is_cut": bool(cut),
        "cut_topics": [position.topic for position in cut],
        "cut_parts": [position.partition for position in cut],
        "cut_offsets": [position.next_offset for position in cut],
    }
    for query, columns in (
        (WHOLE, _columns(whole(found), ("line", "server", "start", "end"))),
        (CUT, _columns(pieces(scope, lines, found), _PIECE)),
    ):
        if columns["line"]:
            for number, server, meter, resource, *row in conn.execute(query, {**common, **columns}):
                if number != NOBODY and meter in meters[number]:
                    yield (number, server, meter, resource), row


_PIECE: Final = (
    "charge", "line", "server", "window", "outer", "outer_us", "inner", "inner_us",
)  # fmt: skip


def _columns(rows: Sequence[object], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in names}


def _add(sums: dict[Key, _Sums], key: Key, row: Any, days: int) -> None:
    day, quantity, windows, first, last, covered_ms = row
    total = sums.setdefault(key, _Sums([0] * days, first, last))
    total.days[day] += int(quantity)
    total.windows += windows
    total.covered_ms += int(covered_ms)
    total.first, total.last = min(total.first, first), max(total.last, last)


def _series(server: str, meter: str, resource: str, total: _Sums) -> Series:
    return Series(
        server=server,
        meter=meter,
        resource=resource,
        quantity=sum(total.days),
        windows=total.windows,
        first=total.first,
        last=total.last,
        covered_ms=total.covered_ms,
        days=tuple(total.days),
        readings=tuple(total.readings),
    )


def _add_readings(conn: Connection, found: Sequence[Part], sums: dict[Key, _Sums]) -> None:
    """Of each origin the last reading kept before the part began, or its first, and its last."""
    columns = _columns(found, ("line", "server", "start", "end"))
    if not found:
        return
    kept: dict[Key, dict[str, list[Reading]]] = defaultdict(lambda: defaultdict(list))
    for number, server, meter, resource, *row in conn.execute(READINGS, columns):
        reading = Reading(*row)
        kept[number, server, meter, resource][reading.origin].append(reading)
    for key, total in sums.items():
        for readings in kept[key].values():
            total.readings += dict.fromkeys((readings[0], readings[-1]))
        total.readings.sort(key=lambda reading: (reading.at, reading.seq))
