"""What is remembered of each server between reports, and what metering hands on. Dumb data, pure.

``Chains`` are the counters of one origin; a ``Head`` is the running origin of a server plus its
open window; a former origin stays as ``Chains`` that a late tail may extend. ``Output`` collects
what one checkpoint writes. ``pipeline.shelves`` keeps the heads of a partition.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.records import Int64s, Names
from schemas.errors import RackmeterError
from schemas.verdict import DeadLetter

SEEN: Final = 512
"""A report this far behind the newest is late without a look; nearer ones are told from duplicates.
"""
OwnTime = tuple[int, int] | None
"""Wall and boot clock of a series' own last reading; None: not seen in this origin yet."""
Objects = npt.NDArray[np.object_]


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
    append_ms: int = 0
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
    """How many origins of this server were heard of before."""

    def copy(self) -> "Chains":
        return replace(self, last=self.last.copy(), absent=dict(self.absent))

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
            self.arrange(names, source)
            return list(range(len(names))), source
        new = [series for series in names.series if series not in place]
        if not new:
            return [place[series] for series in names.series], None
        wide = names_of([*self.names.series, *new])
        source = [*range(len(self.names)), *([-1] * len(new))]
        self.arrange(wide, source)
        place = {series: i for i, series in enumerate(wide.series)}
        return [place[series] for series in names.series], source

    def arrange(self, names: Names, source: list[int]) -> None:
        """Take another set; ``source`` is the former position of each of its series, -1: new."""
        self.absent = {
            i: self.absent[old] for i, old in enumerate(source) if old >= 0 and old in self.absent
        }
        self.last = moved(self.last, source)
        self.names = names


@dataclass(slots=True)
class Allowance:
    """How much that is new a server has shown in an hour of append time; it is bounded."""

    hour: int = 0
    """Hours since the epoch."""
    origins: int = 0
    series: int = 0


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
    origins: int = 1
    """Origins of this server heard of so far."""
    allowance: Allowance = field(default_factory=Allowance)

    def adopt(self, names: Names) -> list[int]:
        """``Chains.adopt``, and the open window with it."""
        places, source = self.chains.adopt(names)
        if source is not None:
            self.open = moved(self.open, source)
        return places

    def forget(self) -> None:
        """Drop series that this origin has never shown, once the open window has nothing of them.

        They read zero, so no chain loses anything; should one appear it is new, as it was before.
        """
        absent = self.chains.absent
        gone = {i for i, own in absent.items() if own is None and not self.open[i]}
        if gone:
            source = [i for i in range(len(self.open)) if i not in gone]
            series = self.chains.names.series
            self.chains.arrange(names_of([series[i] for i in source]), source)
            self.open = moved(self.open, source)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Finished windows; a row is one window of one server, all rows have as many series."""

    server: Objects
    win_ms: Int64s
    names: Objects
    """The ``Names`` of each row."""
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


Tails = dict[tuple[str, str], Chains]
"""Former origins by server and origin."""


@dataclass(slots=True)
class Output:
    """What was metered since the last checkpoint. ``load_tail`` finds a former origin."""

    load_tail: Callable[[str, str], Chains | None]
    finished: list[Block] = field(default_factory=list)
    late: list[LateRow] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tails: Tails = field(default_factory=dict)
    """Former origins that a report extended or that ended."""
    corrected: int = 0
    """Accepted reports whose clock was overruled."""
    samples: int = 0
    """Counter readings in signed reports."""
    before: "Output | None" = None
    """What is on its way to the ledger: newer than what ``load_tail`` finds there."""

    def tail(self, server: str, origin: str) -> Chains | None:
        """A former origin as it is now; whoever changes it puts it into ``tails``."""
        key = (server, origin)
        if own := self.tails.get(key):
            return own
        before = self.before
        if before is not None and (written := before.tails.get(key)):
            return written.copy()
        return self.load_tail(server, origin)

    def finish(self, head: Head) -> None:
        """The open window of a head is over."""
        cover = np.array([head.cover_ms])
        self.finish_rows(head, np.array([head.win_ms]), head.open[np.newaxis].copy(), cover)

    def finish_rows(self, head: Head, win_ms: Int64s, qty: Int64s, cover_ms: Int64s) -> None:
        """Windows of a head that are over before anything more can come for them."""
        count = len(win_ms)
        server, names = objects([head.server] * count), objects([head.chains.names] * count)
        self.finished.append(Block(server, win_ms, names, qty, cover_ms))

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


def objects(items: list[Any]) -> Objects:
    """One Python object each, whatever their type."""
    column = np.empty(len(items), np.object_)
    column[:] = items
    return column


def names_of(series: list[tuple[str, str]]) -> Names:
    """A set of series that no report has sent in this order."""
    return Names.of((meter for meter, _ in series), (resource for _, resource in series))
