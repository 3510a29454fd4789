"""What is remembered of each server between reports, and what metering hands on. Dumb data, pure.

``Chains`` are the counters of one origin; a ``Head`` is the running origin of a server plus its
open window; a former origin stays as ``Chains`` that a late tail may extend. ``Output`` collects
what one checkpoint writes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.records import Int64s, Names
from schemas.errors import RackmeterError
from schemas.verdict import DeadLetter

OwnTime = tuple[int, int] | None
"""Wall and boot clock of a series' own last reading; None: not seen in this origin yet."""


class ConservationError(RackmeterError):
    """Windows do not sum to the readings: a bug. Nothing may be committed after it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One report that passed admission, with its reading time corrected where the broker's clock
    allows.
    """

    server: str
    origin: str
    since_ms: int
    seq: int
    at_ms: int
    up_ms: int
    names: Names
    value: Int64s
    content: int
    offset: int
    registered_ms: int = 0
    """Usage before the server was registered is not spread further back than this."""


@dataclass(slots=True)
class Chains:
    """The counters of one origin; ``last[i]`` is the highest reading of ``names.series[i]``."""

    origin: str
    since_ms: int
    seq_hi: int
    at_ms: int
    up_ms: int
    names: Names
    last: Int64s
    absent: dict[int, OwnTime]
    """Series that the latest report lacked, by position."""
    order: int = 0
    """How many origins of this server came before."""

    def own_time(self, i: int) -> OwnTime:
        return self.absent.get(i, (self.at_ms, self.up_ms))

    def adopt(self, names: Names) -> tuple[list[int], list[int] | None]:
        """Widen or reorder the set to hold ``names``.

        Returns where each series of ``names`` stands now, and for each position its former one (-1:
        new), or None when nothing moved. A report that knows every series sets the order, so that
        an ordinary server is back on the fast path with its next report.
        """
        if names is self.names or names.series == self.names.series:
            self.names = names
            return list(range(len(names))), None
        place = {series: i for i, series in enumerate(self.names.series)}
        if place.keys() <= set(names.series):
            source = [place.get(series, -1) for series in names.series]
            self._reorder(names, source)
            return list(range(len(names))), source
        new = [series for series in names.series if series not in place]
        if not new:
            return [place[series] for series in names.series], None
        wide = names_of([*self.names.series, *new])
        source = [*range(len(self.names)), *([-1] * len(new))]
        self._reorder(wide, source)
        place = {series: i for i, series in enumerate(wide.series)}
        return [place[series] for series in names.series], source

    def _reorder(self, names: Names, source: list[int]) -> None:
        self.absent = {
            i: self.absent[old] for i, old in enumerate(source) if old >= 0 and old in self.absent
        }
        self.last = moved(self.last, source)
        self.names = names


@dataclass(slots=True)
class Head:
    """A server: its running origin, the identities seen lately, and the window that is still open.

    ``open[i]`` is the quantity of series ``chains.names.series[i]`` in ``[win_ms, win_ms +
    width)``.
    """

    server: str
    chains: Chains
    seen: npt.NDArray[np.uint16]
    win_ms: int
    open: Int64s
    cover_ms: int = 0
    flagged: str = ""

    def adopt(self, names: Names) -> list[int]:
        """``Chains.adopt``, and the open window with it."""
        places, source = self.chains.adopt(names)
        if source is not None:
            self.open = moved(self.open, source)
        return places


@dataclass(frozen=True, slots=True)
class Block:
    """Finished windows of servers that share their series; a row is one of one server."""

    server: list[str]
    win_ms: Int64s
    names: Names
    qty: Int64s
    """Shape ``(rows, series)``."""
    cover_ms: Int64s


@dataclass(frozen=True, slots=True)
class LateRow:
    """Usage for a window that was finished before."""

    server: str
    win_ms: int
    names: Names
    qty: Int64s
    reason: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reading that is kept: the first of an origin (``opening``) or of a UTC day (``daily``)."""

    server: str
    origin: str
    at_ms: int
    kind: str
    seq: int
    names: Names
    value: Int64s
    offset: int


@dataclass(slots=True)
class Output:
    """What was metered since the last checkpoint. ``tails`` loads a server's former origins."""

    tails: Callable[[str], dict[str, Chains]]
    finished: list[Block] = field(default_factory=list)
    late: list[LateRow] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    dirty: set[str] = field(default_factory=set)
    dirty_tails: set[tuple[str, str]] = field(default_factory=set)

    def finish(self, head: Head) -> None:
        """The open window of a head is over."""
        self.finished.append(
            Block(
                [head.server],
                np.array([head.win_ms]),
                head.chains.names,
                head.open[np.newaxis, :].copy(),
                np.array([head.cover_ms]),
            )
        )

    def anchor(self, reading: Reading, kind: str) -> None:
        self.anchors.append(
            Anchor(
                reading.server, reading.origin, reading.at_ms, kind,
                reading.seq, reading.names, reading.value, reading.offset,
            )
        )  # fmt: skip


def conserve(server: str, owed: Int64s, got: Int64s) -> None:
    """Assert the conservation law for a step of a server: what came in lies in windows."""
    if not np.array_equal(owed, got):
        raise ConservationError(
            f"Server {server}: windows hold {got.tolist()} where its readings owe {owed.tolist()};"
            " stopped before anything was committed. Please report this with the server's reports."
        )


def moved(values: Int64s, source: list[int]) -> Int64s:
    """``values`` in a new order; position ``-1`` is a new zero."""
    return np.append(values, np.int64(0))[source]


def names_of(series: list[tuple[str, str]]) -> Names:
    """A set of series that no report has sent in this order."""
    return Names.of((meter for meter, _ in series), (resource for _, resource in series))
