"""Metered usage as CSV: ``server,meter,resource,window_start,quantity``, one row a window.

The offline meter and the export of a ledger write the same bytes for the same usage: rows in order
of their code points, then by time and quantity; late entries are rows of their own.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from pipeline.offline import Cells, Series
from pipeline.records import Int64s

HEAD: Final = "server,meter,resource,window_start,quantity\n"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOW_BITS: Final = 32


def ranks(series: list[Series]) -> tuple[list[Series], Int64s]:
    """All series in order, and the rank of each."""
    order = sorted(range(len(series)), key=series.__getitem__)
    rank = np.empty(len(series), np.int64)
    rank[order] = np.arange(len(series))
    return [series[i] for i in order], rank


def rows(cells: Cells, ordered: list[Series]) -> Iterator[str]:
    """The lines of sorted cells, series by series; ``series`` is a position in ``ordered``."""
    first, _ = _runs(cells)
    for begin, end in pairwise([*first.tolist(), len(cells)]):
        names = line_start(*ordered[cells["series"][begin]])
        starts = map(_start, cells["start_ms"][begin:end].tolist())
        quantities = cells["quantity"][begin:end].tolist()
        pairs = zip(starts, quantities, strict=True)
        yield "".join([f"{names}{start},{quantity}\n" for start, quantity in pairs])


def totals(cells: Cells) -> Iterable[tuple[int, int]]:
    """``(series, sum)`` of sorted cells; exact beyond 64 bits."""
    first, series = _runs(cells)
    if not len(series):
        return ()
    high = np.add.reduceat(cells["quantity"] >> _LOW_BITS, first).tolist()
    low = np.add.reduceat(cells["quantity"] & ((1 << _LOW_BITS) - 1), first).tolist()
    sums = [(h << _LOW_BITS) + l for h, l in zip(high, low, strict=True)]  # noqa: E741
    return zip(series.tolist(), sums, strict=True)


def _runs(cells: Cells) -> tuple[Int64s, Int64s]:
    """Where each series begins, and which it is."""
    series = cells["series"]
    first = np.flatnonzero(np.append(True, series[1:] != series[:-1])) if len(series) else series
    return first, series[first]


def line(server: str, meter: str, resource: str, start: datetime, quantity: int) -> str:
    """One row."""
    return f"{line_start(server, meter, resource)}{_shown(start)},{quantity}\n"


# A year of windows: all servers have the same.
@lru_cache(maxsize=2**17)
def _start(epoch_ms: int) -> str:
    return _shown(_EPOCH + timedelta(milliseconds=epoch_ms))


@lru_cache(maxsize=2**17)
def _shown(start: datetime) -> str:
    return f"{start:%Y-%m-%dT%H:%M:%SZ}"


# Neighbouring rows are mostly of one series.
@lru_cache(maxsize=2**10)
def line_start(server: str, meter: str, resource: str) -> str:
    return f"{_quoted(server)},{_quoted(meter)},{_quoted(resource)},"


def _quoted(name: str) -> str:
    if any(char in name for char in ',"\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name
