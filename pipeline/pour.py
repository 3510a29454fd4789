"""Filling windows for many ordinary servers at once: the matrix twin of ``counters``. Pure.

Rows are readings of servers that share a shelf, one server after the other; everything is an
operation over all of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.heads import Block, Output, conserve
from pipeline.records import Bools, Int64s
from pipeline.shelves import Shelf
from pipeline.windows import WIDTH_MS


@dataclass(frozen=True)
class Rows:
    """Reports of ordinary servers, one after the other; ``prev`` is one reading earlier."""

    row: Int64s
    """In the batch."""
    place: Int64s
    """Row of its server in the shelf, ascending."""
    at: Int64s
    up: Int64s
    seq: Int64s
    value: Int64s
    prev_at: Int64s
    prev_up: Int64s
    prev_seq: Int64s
    prev_value: Int64s

    def only(self, keep: Bools) -> "Rows":
        return Rows(
            self.row[keep], self.place[keep], self.at[keep], self.up[keep], self.seq[keep],
            self.value[keep], self.prev_at[keep], self.prev_up[keep], self.prev_seq[keep],
            self.prev_value[keep],
        )  # fmt: skip

    @cached_property
    def first_of_server(self) -> Int64s:
        """Index of each server's first report."""
        return firsts(self.place)

    @cached_property
    def last_of_server(self) -> Int64s:
        return np.append(self.first_of_server[1:], len(self.place)) - 1

    @cached_property
    def reports_of_server(self) -> Int64s:
        return self.last_of_server - self.first_of_server + 1


def firsts(sorted_ids: Int64s) -> Int64s:
    """Positions where a run of equal ids begins."""
    return np.flatnonzero(np.append(True, sorted_ids[1:] != sorted_ids[:-1]))


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Row ``i`` is what one server used in one window; in time order for each server."""

    place: Int64s
    win_ms: Int64s
    qty: Int64s
    cover_ms: Int64s


def _pieces(rows: Rows, gap_limit_ms: int) -> _Pieces:
    """Split intervals by ``windows.share``; sum what falls into one window of one server."""
    total = rows.at - rows.prev_at
    start = rows.prev_at - rows.prev_at % WIDTH_MS
    count = -(-(rows.at - start) // WIDTH_MS)
    of = np.repeat(np.arange(len(rows.row)), count)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    win = start[of] + nth * WIDTH_MS
    upto = np.minimum(win + WIDTH_MS, rows.at[of]) - rows.prev_at[of]
    qty, span = (rows.value - rows.prev_value)[of], upto.copy()
    # The last window of an interval gets all that is left: only those before need a division.
    inner = np.flatnonzero(nth < count[of] - 1)
    if len(inner):
        whole, elapsed = total[of[inner]][:, np.newaxis], upto[inner][:, np.newaxis]
        quotient, remainder = np.divmod(qty[inner], whole)
        used = quotient * elapsed + remainder * elapsed // whole
        later = np.flatnonzero(nth > 0)
        qty[inner] = used
        before = qty[later - 1]
        qty[later] -= before
        span[later] -= upto[later - 1]
    span[total[of] > gap_limit_ms] = 0
    place = rows.place[of]
    begin = np.flatnonzero(np.append(True, (place[1:] != place[:-1]) | (win[1:] != win[:-1])))
    if len(begin) == len(of):
        return _Pieces(place, win, qty, span)
    return _Pieces(
        place[begin], win[begin], np.add.reduceat(qty, begin), np.add.reduceat(span, begin)
    )


def pour(shelf: Shelf, rows: Rows, out: Output, gap_limit_ms: int) -> None:
    """Merge the pieces with the open windows; all but each server's last are finished."""
    pieces = _pieces(rows, gap_limit_ms)
    first = firsts(pieces.place)
    last = np.append(first[1:], len(pieces.place)) - 1
    place = pieces.place[first]
    opened, open_win, open_cover = shelf.open[place], shelf.win_ms[place], shelf.cover_ms[place]
    same = pieces.win_ms[first] == open_win
    pieces.qty[first[same]] += opened[same]
    pieces.cover_ms[first[same]] += open_cover[same]

    over = np.flatnonzero(~same)
    finished = np.zeros_like(opened)
    if len(over):
        _finish(shelf, place[over], open_win[over], opened[over], open_cover[over], out)
        finished[over] = opened[over]
    done = np.ones(len(pieces.place), np.bool_)
    done[last] = False
    if done.any():
        _finish(
            shelf, pieces.place[done], pieces.win_ms[done], pieces.qty[done],
            pieces.cover_ms[done], out,
        )  # fmt: skip
        finished += np.add.reduceat(pieces.qty, first) - pieces.qty[last]
    left = pieces.qty[last]
    _conserve(shelf, rows, opened, finished, left)
    shelf.win_ms[place], shelf.cover_ms[place] = pieces.win_ms[last], pieces.cover_ms[last]
    shelf.open[place] = left


def _finish(
    shelf: Shelf, place: Int64s, win_ms: Int64s, qty: Int64s, cover_ms: Int64s, out: Output
) -> None:
    out.finished.append(Block(shelf.server[place], win_ms, shelf.names[place], qty, cover_ms))


def _conserve(shelf: Shelf, rows: Rows, opened: Int64s, finished: Int64s, left: Int64s) -> None:
    """Old open window + gained − finished = new open window, for each series of each server."""
    first, last = rows.first_of_server, rows.last_of_server
    owed = opened + rows.value[last] - rows.prev_value[first] - finished
    for i in np.flatnonzero((owed != left).any(axis=1)).tolist():
        conserve(shelf.server[rows.place[first[i]]], owed[i], left[i])
