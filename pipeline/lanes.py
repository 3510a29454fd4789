"""A lane is one claimed partition in memory: its position, its heads, what the next checkpoint
writes.

Pure but for being mutable: no broker, database or clock. A lane takes a chunk only where the one
before ended. Faust seeks more than once per assignment, and chunks that were in flight arrive on
new state: older records are trimmed, and a chunk from further on is refused until the position is
sought again. After a failure a lane is thrown away and claimed anew, never repaired.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from uuid import UUID

import numpy as np

from pipeline.counters import Rules
from pipeline.decode import NamesCache, decode
from pipeline.heads import Head, Output
from pipeline.keyring import Keyring
from pipeline.meter import Arrival, Refused, meter
from pipeline.records import Batch, Chunk, Int64s, Record
from schemas.errors import RackmeterError
from schemas.verdict import DeadLetter, Verdict

GAP_TRIES_MAX: Final = 5
"""Seeking the same position this often without getting it means the log has lost it."""
_LOG_APPEND_TIME: Final = 1


class LostOffsetsError(RackmeterError):
    """Offsets that were not metered yet are no longer in the log."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What every chunk is read with. Replaced as a whole when keys are loaded anew."""

    keyring: Keyring
    registered_ms: dict[str, int]
    """Server → start of its oldest key."""
    names: NamesCache
    environment: str
    partitions: int
    rules: Rules = field(default_factory=Rules)
    clock_tolerance_ms: int = 30_000
    lookup: Callable[[set[str]], "Intake"] | None = None
    """Asked for keys that this snapshot lacks; returns a snapshot that may know them."""


class Taken(Enum):
    """``METERED``; ``OLD``: all of it was known; ``AHEAD``: seek to ``Lane.expect`` and drop it."""

    METERED = "metered"
    OLD = "old"
    AHEAD = "ahead"


@dataclass(slots=True)
class Lane:
    """One claim of one partition by one owner; ``base`` is committed, ``expect`` comes next."""

    topic_id: UUID
    part: int
    owner: UUID
    base: int
    append_ms: int
    counts: Counter[str]
    """Verdicts of everything before ``base``, as committed."""
    heads: dict[str, Head]
    out: Output
    expect: int = field(init=False)
    pending_bytes: int = 0
    touched: dict[str, int] = field(default_factory=dict)
    """Server → reading time of its newest accepted report since the last checkpoint."""
    _gap_tries: int = 0

    def __post_init__(self) -> None:
        self.expect = self.base

    def take(self, chunk: Chunk, intake: Intake) -> Taken:
        """Meter a chunk that begins where the last one ended."""
        if chunk.next_offset <= self.expect:
            return Taken.OLD
        if chunk.first_offset > self.expect:
            self._gap_tries += 1
            if self._gap_tries > GAP_TRIES_MAX:
                raise LostOffsetsError(self._lost(chunk.first_offset))
            return Taken.AHEAD
        self._gap_tries = 0
        if chunk.first_offset < self.expect:
            records = [r for r in chunk.records if r.offset >= self.expect]
            chunk = Chunk(chunk.topic, chunk.part, records)
        self._meter(chunk, intake)
        self.expect = chunk.next_offset
        self.append_ms = max(self.append_ms, chunk.records[-1].timestamp)
        self.pending_bytes += sum(len(r.value or b"") for r in chunk.records)
        return Taken.METERED

    def committed(self, fresh: Output) -> None:
        """The checkpoint up to ``expect`` is in the ledger."""
        self.counts += self.out.counts
        self.base, self.out, self.pending_bytes = self.expect, fresh, 0
        self.touched = {}

    def _meter(self, chunk: Chunk, intake: Intake) -> None:
        batch, dead = _decode(chunk, intake)
        if intake.lookup and (kids := _unknown_kids(dead)):
            intake = intake.lookup(kids)
            batch, dead = _decode(chunk, intake)
        self.out.dead += dead
        self.out.counts.update(letter.reason.value for letter in dead)
        if not len(batch):
            return
        arrival, corrected = _arrival(chunk, batch, intake)
        refused = meter(batch, arrival, self.heads, self.out, intake.rules)
        self.out.dead += [_dead_letter(chunk.records[batch.record[r.row]], r) for r in refused]
        self._touch(batch, arrival, {r.row for r in refused})
        for row in corrected:
            if head := self.heads.get(batch.server[row]):
                head.flagged = "clock"

    def _touch(self, batch: Batch, arrival: Arrival, refused: set[int]) -> None:
        at = arrival.at_ms.tolist()
        for row, server in enumerate(batch.server):
            if row not in refused:
                self.touched[server] = max(self.touched.get(server, 0), at[row])

    def _lost(self, first: int) -> str:
        return (
            f"Partition {self.part}: offsets {self.expect} to {first - 1} are not in the log any"
            " more and were never metered. Retention is shorter than the worker's absence; the"
            " agents' counters make up for the gap once the position is moved by hand."
        )


def _decode(chunk: Chunk, intake: Intake) -> tuple[Batch, list[DeadLetter]]:
    return decode(
        chunk,
        intake.keyring,
        intake.names,
        environment=intake.environment,
        partitions=intake.partitions,
    )


def _unknown_kids(dead: list[DeadLetter]) -> set[str]:
    return {
        value.decode(errors="replace")
        for letter in dead
        if letter.reason is Verdict.UNKNOWN_KEY
        for name, value in letter.headers
        if name == "kid" and value is not None
    }


def _arrival(chunk: Chunk, batch: Batch, intake: Intake) -> tuple[Arrival, Int64s]:
    """Offsets and reading times of a batch; and the rows whose clock was corrected."""
    records = [chunk.records[i] for i in batch.record]
    offset = np.array([r.offset for r in records], np.int64)
    by_broker = np.array([r.timestamp_type == _LOG_APPEND_TIME for r in records])
    at, corrected = reading_times(batch, by_broker, intake.clock_tolerance_ms)
    return Arrival(at, offset, intake.registered_ms), np.flatnonzero(corrected)


def reading_times(
    batch: Batch, by_broker: np.ndarray[tuple[int], np.dtype[np.bool_]], tolerance_ms: int
) -> tuple[Int64s, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """When each report was read, and where the agent's wall clock was overruled.

    With the broker's append time the reading happened ``sent_up − at_up`` before it. Without, the
    clock is unverified; only a reading later than its own message cannot be and is dated by that.
    """
    by_boot_clock = np.maximum(batch.append_ms - (batch.sent_up_ms - batch.at_up_ms), 0)
    wrong = by_broker & (np.abs(by_boot_clock - batch.at_ms) > tolerance_ms)
    future = ~by_broker & (batch.at_ms > batch.append_ms + tolerance_ms)
    at = np.where(wrong, by_boot_clock, np.where(future, batch.append_ms, batch.at_ms))
    return at, wrong | future


def _dead_letter(record: Record, refused: Refused) -> DeadLetter:
    return DeadLetter(
        offset=record.offset,
        reason=Verdict(refused.verdict),
        detail=refused.detail,
        key=record.key,
        payload=record.value or b"",
        headers=tuple(record.headers),
        append_ms=record.timestamp,
    )
