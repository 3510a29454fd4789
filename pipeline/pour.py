"""Filling windows for many ordinary servers at once: the matrix twin of ``counters``. Pure.

Rows are readings of servers that share their series, one server after the other; everything is an
operation over all of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.heads import Block, Head, Output, conserve
from pipeline.records import Int64s, Names
from pipeline.windows import WIDTH_MS

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Rows:
    """Reports of ordinary servers, one after the other; ``prev`` is one reading earlier."""

    row: Int64s
    server: Int64s
    """Index of the row's head in the group."""
    at: Int64s
    up: Int64s
    seq: Int64s
    value: Int64s
    prev_at: Int64s
    prev_up: Int64s
    prev_seq: Int64s
    prev_value: Int64s

    def only(self, keep: Bools) -> "Rows":
        return Rows(*(getattr(self, name)[keep] for name in self.__slots__))


def firsts(sorted_ids: Int64s) -> Int64s:
    """Positions where a run of equal ids begins."""
    return np.flatnonzero(np.append(True, sorted_ids[1:] != sorted_ids[:-1]))


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Row ``i`` is what one server used in one window; in time order for each server."""

    server: Int64s
    win_ms: Int64s
    qty: Int64s
    cover_ms: Int64s


def _pieces(rows: Rows, gap_limit_ms: int) -> _Pieces:
    """Split intervals by ``windows.share``; sum what falls into one window of one server."""
    gain, total = rows.value - rows.prev_value, rows.at - rows.prev_at
    start = rows.prev_at - rows.prev_at % WIDTH_MS
    count = -(-(rows.at - start) // WIDTH_MS)
    of = np.repeat(np.arange(len(rows.row)), count)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    win = start[of] + nth * WIDTH_MS
    upto = np.minimum(win + WIDTH_MS, rows.at[of]) - rows.prev_at[of]
    quotient, remainder = np.divmod(gain, total[:, np.newaxis])
    used = quotient[of] * upto[:, np.newaxis]
    used += remainder[of] * upto[:, np.newaxis] // total[of][:, np.newaxis]
    later = nth > 0
    qty, span = used.copy(), upto.copy()
    qty[later] -= used[np.flatnonzero(later) - 1]
    span[later] -= upto[np.flatnonzero(later) - 1]
    span[total[of] > gap_limit_ms] = 0
    server = rows.server[of]
    edge = np.append(True, (server[1:] != server[:-1]) | (win[1:] != win[:-1]))
    begin = np.flatnonzero(edge)
    return _Pieces(
        server[begin], win[begin], np.add.reduceat(qty, begin), np.add.reduceat(span, begin)
    )


def pour(heads: list[Head], rows: Rows, names: Names, out: Output, gap_limit_ms: int) -> None:
    """Merge the pieces with the open windows; all but each server's last are finished."""
    pieces = _pieces(rows, gap_limit_ms)
    first = firsts(pieces.server)
    last = np.append(first[1:], len(pieces.server)) - 1
    opened = np.array([head.open for head in heads])
    open_win = np.array([head.win_ms for head in heads])
    open_cover = np.array([head.cover_ms for head in heads])
    same = pieces.win_ms[first] == open_win
    pieces.qty[first[same]] += opened[same]
    pieces.cover_ms[first[same]] += open_cover[same]

    over = np.flatnonzero(~same)
    server_ids = [head.server for head in heads]
    if len(over):
        servers = [server_ids[i] for i in over]
        out.finished.append(Block(servers, open_win[over], names, opened[over], open_cover[over]))
    done = np.ones(len(pieces.server), np.bool_)
    done[last] = False
    if done.any():
        servers = [server_ids[i] for i in pieces.server[done]]
        out.finished.append(
            Block(servers, pieces.win_ms[done], names, pieces.qty[done], pieces.cover_ms[done])
        )
    finished = np.add.reduceat(pieces.qty, first) - pieces.qty[last]
    finished[over] += opened[over]
    _conserve(heads, rows, opened, finished, pieces.qty[last])
    for i, head in enumerate(heads):
        head.win_ms, head.cover_ms = int(pieces.win_ms[last[i]]), int(pieces.cover_ms[last[i]])
        # A copy: a view would keep the whole chunk's matrix alive for as long as the server rests.
        head.open = pieces.qty[last[i]].copy()


def _conserve(
    heads: list[Head], rows: Rows, opened: Int64s, finished: Int64s, left: Int64s
) -> None:
    """Old open window + gained − finished = new open window, for each series of each server."""
    first = firsts(rows.server)
    last = np.append(first[1:], len(rows.server)) - 1
    owed = opened + rows.value[last] - rows.prev_value[first] - finished
    for i in np.flatnonzero((owed != left).any(axis=1)):
        conserve(heads[i].server, owed[i], left[i])
