"""A CSV of usage against a fleet's truth, to the unit.

``server,meter,resource,window_start,quantity``: a row a window, late entries as rows of their own,
so that a window's rows are summed. Everything in the file must be in the truth, whosever it is.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from rackmeter.errors import ConfigError
from rackmeter.fleet.audit import Audit, compared, expected, keeps_windows
from rackmeter.fleet.truth import Truth

COLUMNS: Final = ["server", "meter", "resource", "window_start", "quantity"]


def audit_csv(path: Path, truth: Truth) -> Audit:
    """Compare the totals of every series, and its windows where the truth keeps them."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    windows = keeps_windows(truth)
    for server, meter, resource, start, units in _rows(path):
        start_ms = round(start.timestamp() * 1000)
        found[server, meter, resource, "life"] += units
        if truth.plan.start_ms <= start_ms < truth.plan.end_ms:
            found[server, meter, resource, "period"] += units
        if windows:
            found[server, meter, resource, start.isoformat()] += units
    return compared(truth, expected(truth, readings=False), dict(found))


def _rows(path: Path) -> Iterator[tuple[str, str, str, datetime, int]]:
    """Every row; raises ``ConfigError`` with the line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            if next(reader, None) != COLUMNS:
                raise ConfigError(f"{path} is no usage: line 1 must be {','.join(COLUMNS)}.")
            for row in reader:
                try:
                    yield _row(row)
                except ValueError as error:
                    raise ConfigError(f"{path}, line {reader.line_num}: {error}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error


def _row(row: list[str]) -> tuple[str, str, str, datetime, int]:
    if len(row) != len(COLUMNS):
        raise ValueError(f"it has {len(row)} columns instead of {len(COLUMNS)}")
    server, meter, resource, start, quantity = row
    at = datetime.fromisoformat(start)
    if at.tzinfo is None:
        raise ValueError(f"{start} has no time zone")
    return server, meter, resource, at, int(quantity)
