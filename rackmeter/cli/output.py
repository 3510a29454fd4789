"""Where words go: what was asked for to stdout, everything else to stderr.

`--json` prints exactly one document on stdout. Decimals become strings, instants ISO 8601: a reader
that parses numbers as floats loses nothing.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def lines(text: Iterable[str]) -> None:
    """Text on stdout."""
    for line in text:
        sys.stdout.write(f"{line}\n")


def note(text: str) -> None:
    """A word to the person, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns on stdout, aligned by spaces; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    width = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    number = [
        bool(rows) and all(isinstance(row[i], (int, Decimal)) for row in rows)
        for i in range(len(head))
    ]
    for row in [list(head), *cells]:
        aligned = (
            cell.rjust(width[i]) if number[i] else cell.ljust(width[i])
            for i, cell in enumerate(row)
        )
        lines(["  ".join(aligned).rstrip()])


def local_time(at: datetime, timezone: str) -> str:
    """To the minute, or to the second where it has some, with the zone's offset."""
    local = at.astimezone(ZoneInfo(timezone))
    return local.isoformat(" ", "seconds" if local.second else "minutes")


def local_times(text: str, timezone: str) -> str:
    """The sentence with its instants of UTC by the clock of the zone."""

    def local(found: re.Match[str]) -> str:
        return local_time(datetime.fromisoformat(found[0]), timezone)

    return _UTC.sub(local, text)


def _plain(value: object) -> object:
    if isinstance(value, (Decimal, UUID, Path)):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
