"""What was measured behind each metered line: sums a day, readings, coverage. Reads only.

The arithmetic happens in the database, in numeric, by a way of its own (``invoicing.pieces``), so
the sums also serve as the second opinion on every quantity that pricing computed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from invoicing.document import Position, Reading, Series
from invoicing.pieces import NOBODY, Part, Piece, metered, parts, pieces, whole
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


@dataclass(frozen=True, slots=True)
class Seen:
    """The ledger as a seal, or a later look at the period, saw it: what came above is left out."""

    scope: str
    cut: Sequence[Position]
    look: int = 0


def evidence(
    conn: Connection,
    wanted: Sequence[tuple[Scope, Sequence[Line]]],
    days: Sequence[datetime],
    seen: Seen | None = None,
) -> list[list[tuple[Series, ...]]]:
    """Of each scope, for each line the series that it was made of; empty for lines that are not
    metered.

    ``days`` are the starts of the local days, the first that of the period.
    """
    lines = [(scope, line) for scope, mine in wanted for line in mine]
    meters = [
        frozenset(model.meters) if (model := metered(scope, line)) else frozenset[str]()
        for scope, line in lines
    ]
    found: list[Part] = []
    cuts: list[Piece] = []
    first = charges = 0
    for scope, mine in wanted:
        own = parts(scope, mine)
        taken = pieces(scope, mine, own)
        found += (replace(part, line=part.line + first) for part in own)
        for piece in taken:
            line = piece.line if piece.line == NOBODY else piece.line + first
            cuts.append(replace(piece, charge=piece.charge + charges, line=line))
        first, charges = first + len(mine), charges + len(mine)
    sums: dict[Key, _Sums] = {}
    for key, row in _rows(conn, meters, found, cuts, days, seen):
        _add(sums, key, row, len(days))
    _add_readings(conn, found, sums, meters)
    made: list[list[Series]] = [[] for _ in lines]
    for (number, server, meter, resource), total in sorted(sums.items()):
        made[number].append(_series(server, meter, resource, total))
    each = iter(made)
    return [[tuple(next(each)) for _ in mine] for _, mine in wanted]


def _rows(
    conn: Connection,
    meters: Sequence[frozenset[str]],
    found: Sequence[Part],
    cuts: Sequence[Piece],
    days: Sequence[datetime],
    seen: Seen | None,
) -> Iterator[tuple[Key, Any]]:
    """(days, quantity of each, windows, first, last, covered_ms) of each key, in parts."""
    cut = seen.cut if seen else ()
    common = {
        "meters": sorted(frozenset[str]().union(*meters)),
        "days": list(days),
        "scope": seen.scope if seen else "",
        "look": seen.look if seen else 0,
        "bits": TOPIC_BITS,
        "is_cut": bool(cut),
        "cut_topics": [position.topic for position in cut],
        "cut_parts": [position.partition for position in cut],
        "cut_offsets": [position.next_offset for position in cut],
    }
    for query, columns in (
        (WHOLE, _columns(whole(found), ("line", "server", "start", "end"))),
        (CUT, _columns(cuts, _PIECE)),
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
    found, quantities, windows, first, last, covered_ms = row
    total = sums.setdefault(key, _Sums([0] * days, first, last))
    for day, quantity in zip(found, quantities, strict=True):
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


def _add_readings(
    conn: Connection,
    found: Sequence[Part],
    sums: dict[Key, _Sums],
    meters: Sequence[frozenset[str]],
) -> None:
    """Of each origin the last reading kept before a part began, or its first, and its last."""
    if not found:
        return
    columns = _columns(found, ("line", "server", "start", "end"))
    wanted = {**columns, "meters": sorted(frozenset[str]().union(*meters))}
    kept: dict[Key, dict[str, list[Reading]]] = defaultdict(lambda: defaultdict(list))
    for number, server, meter, resource, *row in conn.execute(READINGS, wanted):
        reading = Reading(*row)
        kept[number, server, meter, resource][reading.origin].append(reading)
    for key, total in sums.items():
        for readings in kept[key].values():
            total.readings += dict.fromkeys((readings[0], readings[-1]))
        total.readings.sort(key=lambda reading: (reading.at, reading.seq))
