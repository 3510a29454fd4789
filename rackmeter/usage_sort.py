"""Sorts any number of cells in bounded memory: runs in a temporary file, read back range by range.

Cells arrive before all series are known, so they are sorted at the end, by the rank that their
series has among all. A range is a number of neighbouring ranks; what runs hold of it lies together.
"""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from types import TracebackType
from typing import IO, Final

import numpy as np

from pipeline.offline import CELL, Cells
from pipeline.records import Int64s
from rackmeter.errors import DependencyError

RUN_CELLS: Final = 2**20
"""Cells held at a time: 24 MiB, and a few times that while they are sorted."""


class CellSort:
    """``add`` cells, then read them ``in_order``; a context that leaves no file behind."""

    def __init__(self, run_cells: int = RUN_CELLS) -> None:
        self._run_cells = run_cells
        self._held: list[Cells] = []
        self._held_count = 0
        self._runs: list[int] = []
        """Cells of each run in the file."""
        self._file: IO[bytes] | None = None
        self._count = np.zeros(0, np.int64)
        """Cells of each series."""

    def __enter__(self) -> "CellSort":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, cells: Cells) -> None:
        if not len(cells):
            return
        seen = np.bincount(cells["series"], minlength=len(self._count))
        seen[: len(self._count)] += self._count
        self._count = seen
        self._held.append(cells)
        self._held_count += len(cells)
        if self._held_count >= self._run_cells:
            self._spill()

    def in_order(self, rank: Int64s) -> Iterator[Cells]:
        """By rank of the series, start and quantity; ``series`` becomes the rank.

        No block ends inside a series.
        """
        count = np.zeros(len(rank), np.int64)
        count[rank[: len(self._count)]] = self._count
        if self._file is None:
            whole = np.concatenate([np.zeros(0, CELL), *self._held])
            yield _sorted(whole, rank)
            return
        if self._held:
            self._spill()
        edges = self._edges(count)
        cuts = self._sort_runs(rank, edges)
        for low, high in pairwise(cuts):
            parts = [self._read(a, z) for a, z in zip(low, high, strict=True) if z > a]
            yield _ordered(np.concatenate([np.zeros(0, CELL), *parts]))

    def _spill(self) -> None:
        run = np.concatenate(self._held)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="rackmeter-")  # noqa: SIM115 - __exit__
            self._file.write(run.data)
            self._file.flush()
        except OSError as error:
            raise DependencyError(
                f"Temporary files cannot be written in {tempfile.gettempdir()}: {error.strerror};"
                " make room there, or set TMPDIR to another folder."
            ) from error
        self._runs.append(len(run))
        self._held, self._held_count = [], 0

    def _edges(self, count: Int64s) -> Int64s:
        """First rank of each range; a range holds at most a run, or one series that is longer."""
        upto, edges, begun = np.cumsum(count), [0], 0
        while begun < int(upto[-1]):
            last = int(np.searchsorted(upto, begun + self._run_cells, "right"))
            edges.append(max(last, edges[-1] + 1))
            begun = int(upto[edges[-1] - 1])
        return np.array(edges)

    def _sort_runs(self, rank: Int64s, edges: Int64s) -> list[list[int]]:
        """Sort each run in place; where each range begins in each run, counted over the file."""
        assert self._file is not None
        cuts, start = [], 0
        for length in self._runs:
            run = _sorted(self._read(start, start + length), rank)
            self._file.seek(start * CELL.itemsize)
            self._file.write(run.data)
            cuts.append((start + np.searchsorted(run["series"], edges)).tolist())
            start += length
        return [list(at) for at in zip(*cuts, strict=True)]

    def _read(self, start: int, end: int) -> Cells:
        assert self._file is not None
        self._file.seek(start * CELL.itemsize)
        return np.frombuffer(self._file.read((end - start) * CELL.itemsize), CELL)


def _sorted(cells: Cells, rank: Int64s) -> Cells:
    ranked = cells.copy()
    ranked["series"] = rank[cells["series"]]
    return _ordered(ranked)


def _ordered(cells: Cells) -> Cells:
    return cells[np.lexsort((cells["quantity"], cells["start_ms"], cells["series"]))]
