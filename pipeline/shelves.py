"""The heads of a partition, column by column: what the matrix works on. Pure; knows no rule.

Servers with equally many series share a shelf, a row each; a column is an array over its rows. To
whoever asks for one server it is a mapping from its id to a ``Head``: a copy, to be put back.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.heads import SEEN, Allowance, Chains, Head, Objects
from pipeline.records import Bools, Int64s, Names

_ROW_BITS: Final = 40
_ROW_MASK: Final = (1 << _ROW_BITS) - 1
_FIRST_ROWS: Final = 8


class Columns:
    """One entry a server; of servers with equally many series."""

    server: Objects
    origin: Objects
    names: Objects
    flagged: Objects
    absent: Objects
    since_ms: Int64s
    seq_hi: Int64s
    at_ms: Int64s
    up_ms: Int64s
    win_ms: Int64s
    cover_ms: Int64s
    order: Int64s
    origins: Int64s
    hour: Int64s
    hour_origins: Int64s
    hour_series: Int64s
    bound: Int64s
    """Row of ``bounds`` that holds its series' physical bounds."""
    whole: Bools
    """No series is absent."""
    dirty: Bools
    last: Int64s
    open: Int64s
    seen: npt.NDArray[np.uint16]


class Shelf(Columns):
    """Columns of servers with ``width`` series each; rows beyond ``used`` are free."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.used = 0
        self.columns = {
            **dict.fromkeys(("server", "origin", "names", "flagged", "absent"), (np.object_, ())),
            **dict.fromkeys(
                (
                    *("since_ms", "seq_hi", "at_ms", "up_ms", "win_ms", "cover_ms", "order"),
                    *("origins", "hour", "hour_origins", "hour_series", "bound"),
                ),
                (np.int64, ()),
            ),
            **dict.fromkeys(("whole", "dirty"), (np.bool_, ())),
            "last": (np.int64, (width,)),
            "open": (np.int64, (width,)),
            "seen": (np.uint16, (SEEN,)),
        }
        for name, (kind, shape) in self.columns.items():
            setattr(self, name, np.zeros((_FIRST_ROWS, *shape), kind))
        self.bounds: Int64s = np.zeros((0, width), np.int64)
        self._bound_of: dict[bytes, int] = {}
        self._free: list[int] = []

    def take_row(self) -> int:
        """A row nobody uses."""
        if self._free:
            return self._free.pop()
        first: int = self.take_rows(1).start
        return first

    def take_rows(self, count: int) -> slice:
        """Rows at the end, which nobody has used."""
        first, self.used = self.used, self.used + count
        if self.used > (size := len(self.server)):
            wanted = max(self.used, size + size // 2 + _FIRST_ROWS)
            for name in self.columns:
                column = getattr(self, name)
                more = np.zeros((wanted - size, *column.shape[1:]), column.dtype)
                setattr(self, name, np.concatenate((column, more)))
        return slice(first, self.used)

    def free_row(self, row: int) -> None:
        self._free.append(row)
        self.server[row] = self.names[row] = self.absent[row] = None
        self.dirty[row] = False

    def bound_row(self, names: Names) -> int:
        key = names.per_second_max.tobytes()
        known = self._bound_of.setdefault(key, len(self._bound_of))
        if known == len(self.bounds):
            self.bounds = np.concatenate((self.bounds, names.per_second_max[np.newaxis]))
        return known


class States(Columns):
    """Some rows of a shelf as they were: copies of its columns under the same names."""

    def __init__(self, shelf: Shelf, rows: Int64s) -> None:
        for name in shelf.columns:
            setattr(self, name, getattr(shelf, name)[rows])


class Heads(MutableMapping[str, Head]):
    """Server → head. What is put is dirty until ``take_dirty``."""

    __slots__ = ("_place", "shelves")

    def __init__(self) -> None:
        self.shelves: dict[int, Shelf] = {}
        self._place: dict[str, int] = {}

    def find(self, servers: Sequence[str]) -> tuple[Int64s, Int64s]:
        """The shelf of each server, by its width, and its row there; width −1: unknown."""
        place = np.fromiter(map(self._place.get, servers, repeat(-1)), np.int64, len(servers))
        return place >> _ROW_BITS, place & _ROW_MASK

    def load(self, width: int, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put servers that are not here yet, as the ledger has them: none of them is dirty.

        ``columns`` are all of a shelf's but ``bound``, ``whole`` and ``dirty``.
        """
        shelf = self.shelves.setdefault(width, Shelf(width))
        rows = shelf.take_rows(len(columns["server"]))
        for name, values in columns.items():
            getattr(shelf, name)[rows] = values
        bounds = {names: shelf.bound_row(names) for names in set(columns["names"])}
        shelf.bound[rows] = [bounds[names] for names in columns["names"]]
        shelf.whole[rows] = [not absent for absent in columns["absent"]]
        codes = range(width << _ROW_BITS | rows.start, width << _ROW_BITS | rows.stop)
        self._place.update(zip(columns["server"], codes, strict=True))

    def __getitem__(self, server: str) -> Head:
        shelf, row = self._at(self._place[server])
        chains = Chains(
            shelf.origin[row], int(shelf.since_ms[row]), int(shelf.seq_hi[row]),
            int(shelf.at_ms[row]), int(shelf.up_ms[row]), shelf.names[row],
            shelf.last[row].copy(), dict(shelf.absent[row]), int(shelf.order[row]),
        )  # fmt: skip
        return Head(
            server, chains, shelf.seen[row].copy(), int(shelf.win_ms[row]), shelf.open[row].copy(),
            int(shelf.cover_ms[row]), shelf.flagged[row], int(shelf.origins[row]),
            Allowance(
                int(shelf.hour[row]), int(shelf.hour_origins[row]), int(shelf.hour_series[row])
            ),
        )  # fmt: skip

    def __setitem__(self, server: str, head: Head) -> None:
        width = len(head.open)
        code = self._place.get(server)
        if code is None or code >> _ROW_BITS != width:
            if code is not None:
                self._free(code)
            if width not in self.shelves:
                self.shelves[width] = Shelf(width)
            code = width << _ROW_BITS | self.shelves[width].take_row()
            self._place[server] = code
        _put(self.shelves[width], code & _ROW_MASK, head)

    def __delitem__(self, server: str) -> None:
        self._free(self._place.pop(server))

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, server: object) -> bool:
        return server in self._place

    def _at(self, code: int) -> tuple[Shelf, int]:
        return self.shelves[code >> _ROW_BITS], code & _ROW_MASK

    def _free(self, code: int) -> None:
        shelf, row = self._at(code)
        shelf.free_row(row)

    def flag(self, server: str, why: str) -> None:
        """Mark a known server for a look."""
        code = self._place.get(server)
        if code is not None:
            shelf, row = self._at(code)
            shelf.flagged[row], shelf.dirty[row] = why, True

    def dirty(self) -> dict[str, int]:
        """Servers that changed since the last ``take_dirty`` → time of their newest reading."""
        found: dict[str, int] = {}
        for shelf in self.shelves.values():
            rows = np.flatnonzero(shelf.dirty)
            found.update(zip(shelf.server[rows], shelf.at_ms[rows].tolist(), strict=True))
        return found

    def take_dirty(self) -> list[States]:
        """What changed, as it is now; from here on nothing is dirty."""
        taken: list[States] = []
        for shelf in self.shelves.values():
            rows = np.flatnonzero(shelf.dirty)
            if len(rows):
                taken.append(States(shelf, rows))
                shelf.dirty[:] = False
        return taken

    def dirty_count(self) -> int:
        return sum(int(np.count_nonzero(shelf.dirty)) for shelf in self.shelves.values())


def _put(shelf: Shelf, row: int, head: Head) -> None:
    chains, allowance = head.chains, head.allowance
    shelf.server[row], shelf.origin[row] = head.server, chains.origin
    shelf.names[row], shelf.flagged[row] = chains.names, head.flagged
    shelf.absent[row], shelf.whole[row] = dict(chains.absent), not chains.absent
    shelf.since_ms[row], shelf.seq_hi[row] = chains.since_ms, chains.seq_hi
    shelf.at_ms[row], shelf.up_ms[row] = chains.at_ms, chains.up_ms
    shelf.win_ms[row], shelf.cover_ms[row] = head.win_ms, head.cover_ms
    shelf.order[row], shelf.origins[row] = chains.order, head.origins
    shelf.hour[row], shelf.hour_origins[row] = allowance.hour, allowance.origins
    shelf.hour_series[row] = allowance.series
    shelf.bound[row] = shelf.bound_row(chains.names)
    shelf.last[row], shelf.open[row], shelf.seen[row] = chains.last, head.open, head.seen
    shelf.dirty[row] = True
