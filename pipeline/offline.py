"""Metering without broker, ledger or clock: captured messages in, what a ledger would hold out.

Pure. The core is that of a worker, a ``Lane`` for each partition; where messages do not say where
they lay, all lie in the only partition of a topic. What a worker would commit is handed on after
every chunk, so memory grows with servers, never with messages. The outcome depends on the messages
alone: no clock says what is late or still to come.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.heads import Chains, Output
from pipeline.lanes import Intake, Lane, Taken
from pipeline.records import LOG_APPEND_TIME, Chunk, Int64s, Names, Taped
from pipeline.shelves import Heads
from schemas.capture import Captured, Place
from schemas.errors import RackmeterError
from schemas.validate import TIME_MS_MAX
from schemas.verdict import Verdict

Series = tuple[str, str, str]
"""Server, meter, resource."""
CELL: Final = np.dtype([("series", "<i8"), ("start_ms", "<i8"), ("quantity", "<i8")])
"""What one series used in one window; ``series`` is its position in ``OfflineMeter.series``."""
Cells = npt.NDArray[np.void]
_ANYWHERE: Final = Place(0, 1)
_NOBODY: Final = UUID(int=0)
COUNTED: Final = {
    Verdict.ACCEPTED: "accepted",
    Verdict.DUPLICATE: "duplicates",
    Verdict.LATE: "late",
    Verdict.CONFLICT: "conflicts",
    Verdict.MALFORMED: "malformed",
    Verdict.OVERSIZED: "malformed",
    Verdict.UNSIGNED: "bad_signature",
    Verdict.UNKNOWN_KEY: "bad_signature",
    Verdict.FORGED: "bad_signature",
    Verdict.FOREIGN: "wrong_key",
    Verdict.REGRESSION: "regressions",
    Verdict.IMPLAUSIBLE: "implausible",
}
"""Under which name a verdict is counted; any other under its own."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that changed nothing, and one sentence why."""

    message: Captured
    reason: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the time between a server's first and last reading was observed."""

    server: str
    observed_ms: int
    span_ms: int


class OfflineMeter:
    """``take`` messages in log order, then ``finish``; cells come in no order."""

    def __init__(self, intake: Intake, topic: str, timestamps: int | None = None) -> None:
        """``timestamps``: whose they are, by Kafka's number; None: what each message says."""
        self.series: list[Series] = []
        self._intake, self._topic, self._timestamps = intake, topic, timestamps
        self._lanes: dict[tuple[int, int], Lane] = {}
        self._former: dict[tuple[str, str], Chains] = {}
        self._position: dict[Series, int] = {}
        self._known: dict[str, tuple[Names, Int64s]] = {}
        self._observed_ms: Counter[str] = Counter()
        self._first_ms: dict[str, int] = {}
        self.corrected = 0

    def counts(self) -> dict[str, int]:
        """Every message once, under ``reports`` and what became of it."""
        verdicts = sum((lane.counts for lane in self._lanes.values()), Counter[str]())
        counts = {"reports": verdicts.total()}
        # Nothing is quarantined where there is no database to refuse it.
        others = [v for v in Verdict if v not in COUNTED and v is not Verdict.QUARANTINED]
        for verdict in (*COUNTED, *others):
            name = COUNTED.get(verdict, verdict.value)
            counts[name] = counts.get(name, 0) + verdicts[verdict.value]
        return counts | {"clock_corrected": self.corrected}

    def take(self, messages: Sequence[Captured]) -> tuple[list[Cells], list[Refused]]:
        """Meter a chunk of messages: windows that are over, late entries, and what was refused."""
        cells, refused = list[Cells](), dict[int, Refused]()
        lots: dict[tuple[int, int], list[int]] = {}
        for index, message in enumerate(messages):
            place = message.place or _ANYWHERE
            lots.setdefault((place.part, place.partitions), []).append(index)
        for (part, partitions), lot in lots.items():
            lane = self._lane(part, partitions)
            base = lane.expect
            records = [self._record(base + i, messages[index]) for i, index in enumerate(lot)]
            intake = replace(self._intake, partitions=partitions)
            taken = lane.take(Chunk(self._topic, part, records), intake, TIME_MS_MAX)
            if taken is not Taken.METERED:
                raise RackmeterError(f"Partition {part} of the capture was not metered: {taken}.")
            cells += self._drained(lane.out)
            for letter in lane.out.dead:
                index = lot[letter.offset - base]
                refused[index] = Refused(messages[index], letter.reason, letter.detail)
            self._former |= lane.out.tails
            lane.committed(lane.seal(Output(self._tail)))
        return cells, [refused[index] for index in sorted(refused)]

    def finish(self) -> list[Cells]:
        """The windows that are still open."""
        return [
            self._cells(server, names, np.array([start_ms]), quantity)
            for server, names, start_ms, quantity, _, _ in self._open_windows()
        ]

    def coverage(self) -> list[Coverage]:
        """Of every server, by its name."""
        found = []
        for server, _, _, _, open_ms, last_ms in self._open_windows():
            observed_ms = self._observed_ms[server] + open_ms
            found.append(Coverage(server, observed_ms, last_ms - self._first_ms[server]))
        return sorted(found, key=lambda one: one.server)

    def _open_windows(self) -> Iterator[tuple[str, Names, int, Int64s, int, int]]:
        """Server, series, start, quantities and observed time of each; time of the last reading."""
        for lane in self._lanes.values():
            for head in lane.heads.values():
                chains = head.chains
                yield (
                    head.server, chains.names, head.win_ms, head.open, head.cover_ms, chains.at_ms
                )  # fmt: skip

    def _lane(self, part: int, partitions: int) -> Lane:
        lane = self._lanes.get((part, partitions))
        if lane is None:
            out = Output(self._tail)
            lane = Lane(_NOBODY, part, _NOBODY, 0, 0, Counter(), Heads(), out)
            self._lanes[part, partitions] = lane
        return lane

    def _tail(self, server: str, origin: str) -> Chains | None:
        return self._former.get((server, origin))

    def _record(self, offset: int, message: Captured) -> Taped:
        whose = self._timestamps
        if whose is None:
            whose = LOG_APPEND_TIME if message.ts_type is None else message.ts_type
        headers = message.headers
        return Taped(offset, message.ts_ms, whose, message.key, message.value, headers)  # type: ignore[arg-type]

    def _drained(self, out: Output) -> Iterator[Cells]:
        """What a checkpoint would insert, and what coverage needs of it."""
        self.corrected += out.corrected
        for anchor in out.anchors:
            first_ms = self._first_ms.get(anchor.server, anchor.at_ms)
            self._first_ms[anchor.server] = min(first_ms, anchor.at_ms)
        for block in out.finished:
            for server, cover_ms in zip(block.server, block.cover_ms.tolist(), strict=True):
                self._observed_ms[server] += cover_ms
            positions = [
                self._positions(server, names)
                for server, names in zip(block.server, block.names, strict=True)
            ]
            yield _cells(np.concatenate(positions), block.win_ms, block.qty)
        for late in out.late:
            yield self._cells(late.server, late.names, np.array([late.win_ms]), late.qty)

    def _cells(self, server: str, names: Names, start_ms: Int64s, quantity: Int64s) -> Cells:
        return _cells(self._positions(server, names), start_ms, quantity[np.newaxis])

    def _positions(self, server: str, names: Names) -> Int64s:
        """Where these series of a server stand in ``series``; remembered for its latest names."""
        known = self._known.get(server)
        if known is not None and known[0] is names:
            return known[1]
        found = np.array([self._place(server, *series) for series in names.series], np.int64)
        self._known[server] = names, found
        return found

    def _place(self, server: str, meter: str, resource: str) -> int:
        series = server, meter, resource
        at = self._position.setdefault(series, len(self.series))
        if at == len(self.series):
            self.series.append(series)
        return at


def _cells(positions: Int64s, start_ms: Int64s, quantity: Int64s) -> Cells:
    """Quantities of shape (windows, series) as cells; those that are zero are left out."""
    flat = quantity.ravel()
    used = np.flatnonzero(flat)
    cells = np.empty(len(used), CELL)
    cells["series"], cells["quantity"] = positions[used], flat[used]
    cells["start_ms"] = np.repeat(start_ms, quantity.shape[1])[used]
    return cells
