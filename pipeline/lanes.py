"""A lane is one claimed partition in memory: its position, its heads, what the next checkpoint
writes.

Pure but for being mutable: no broker, database or clock. A lane takes a chunk only where the one
before ended. Faust seeks more than once per assignment, and chunks that were in flight arrive on
new state: older records are trimmed, and a chunk from further on is refused until the position is
sought again. After a failure a lane is thrown away and claimed anew, never repaired.

Time is an argument: ``now_ms`` bounds what a producer's own time stamp may claim.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from uuid import UUID

import numpy as np

from pipeline.admit import Rules
from pipeline.clocks import appended_ms, dated
from pipeline.decode import dead_letter, decode
from pipeline.heads import Output
from pipeline.keyring import Keyring
from pipeline.meter import Arrival, meter
from pipeline.names import NamesCache
from pipeline.quarantine import NONE_ASIDE, Aside
from pipeline.records import Batch, Chunk, after
from pipeline.retries import (
    ByIndex,
    Release,
    as_first_appended,
    released_in,
    stamp_first,
    stamp_released,
)
from pipeline.shelves import Heads, States
from schemas.validate import Refusal
from schemas.verdict import DeadLetter, Verdict

GAP_TRIES_MAX: Final = 3
"""Sought this often and answered with the same later chunk: the log has no report in between. A
transaction's markers and what compaction removed take up offsets. (Offsets that retention removed
are another matter: the broker then refuses the position itself.)
"""


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
    release: Release | None = None
    """Asked about messages that say they are retries."""


class Taken(Enum):
    """``METERED``; ``OLD``: all of it was known; ``AHEAD``: seek to ``Lane.expect`` and drop it;
    ``OVER_GAP``: metered, and the offsets before it hold no report.
    """

    METERED = "metered"
    OLD = "old"
    AHEAD = "ahead"
    OVER_GAP = "over gap"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one checkpoint writes: all that a lane metered from ``base`` to ``expect``."""

    topic_id: UUID
    part: int
    owner: UUID
    base: int
    expect: int
    append_ms: int
    counts: Counter[str]
    """Verdicts of everything before ``expect``."""
    states: list[States]
    out: Output
    taken: set[str]
    """Servers of which a report was signed and not refused, whatever it changed."""

    @property
    def touched(self) -> dict[str, int]:
        """Servers whose heads changed → time of their newest reading."""
        found: dict[str, int] = {}
        for states in self.states:
            found.update(zip(states.server, states.at_ms.tolist(), strict=True))
        return found


@dataclass(slots=True)
class Lane:
    """One claim of one partition by one owner: ``base`` is committed, ``sealed`` on its way,
    ``expect`` comes next.
    """

    topic_id: UUID
    part: int
    owner: UUID
    base: int
    append_ms: int
    counts: Counter[str]
    """Verdicts of everything before ``sealed``."""
    heads: Heads
    out: Output
    expect: int = field(init=False)
    sealed: int = field(init=False)
    pending_bytes: int = 0
    taken: set[str] = field(default_factory=set)
    """``Sealed.taken``, since the last seal."""
    aside: Aside = NONE_ASIDE
    """Whose reports are set aside, and up to where; a checkpoint ends there."""
    _ahead: int = -1
    _gap_tries: int = 0

    def __post_init__(self) -> None:
        self.expect = self.sealed = self.base

    def take(self, chunk: Chunk, intake: Intake, now_ms: int) -> Taken:
        """Meter a chunk that begins where the last one ended."""
        if chunk.next_offset <= self.expect:
            return Taken.OLD
        over_gap = chunk.first_offset > self.expect
        if over_gap and not self._is_gap(chunk.first_offset):
            return Taken.AHEAD
        self._ahead, self._gap_tries = -1, 0
        if chunk.first_offset < self.expect:
            records = [r for r in chunk.records if after(r) > self.expect]
            chunk = Chunk(chunk.topic, chunk.part, records)
        chunk = self.aside.cut(chunk)
        self._meter(chunk, intake, now_ms)
        self.expect = chunk.next_offset
        self.append_ms = max(self.append_ms, appended_ms(chunk.records[-1], now_ms))
        self.pending_bytes += sum(len(r.value or b"") for r in chunk.records)
        return Taken.OVER_GAP if over_gap else Taken.METERED

    def _is_gap(self, first: int) -> bool:
        """Whether the log answers with this chunk time and again; others were merely in flight."""
        self._gap_tries = self._gap_tries + 1 if first == self._ahead else 1
        self._ahead = first
        return self._gap_tries > GAP_TRIES_MAX

    def seal(self, fresh: Output) -> Sealed:
        """Hand over what was metered since the last seal and go on into ``fresh``.

        Only one is on its way at a time; when it does not arrive the lane is thrown away.
        """
        assert self.sealed == self.base, "one checkpoint at a time"
        self.counts += self.out.counts
        made = Sealed(
            self.topic_id, self.part, self.owner, self.base, self.expect, self.append_ms,
            Counter(self.counts), self.heads.take_dirty(), self.out,
            self.taken,
        )  # fmt: skip
        fresh.before = self.out
        self.sealed, self.out, self.pending_bytes = self.expect, fresh, 0
        self.taken = set()
        return made

    def committed(self, sealed: Sealed) -> None:
        """A checkpoint is in the ledger."""
        self.base = sealed.expect
        self.out.before = None

    def _meter(self, chunk: Chunk, intake: Intake, now_ms: int) -> None:
        released = released_in(chunk, self.topic_id, intake.release)
        batch, dead, first = _decode(chunk, intake, released)
        if intake.lookup and (kids := _unknown_kids(dead, intake.keyring)):
            intake = intake.lookup(kids)
            batch, dead, first = _decode(chunk, intake, released)
        if aside := self.aside.refusals(chunk, batch):
            self._set_aside(chunk, aside, intake, now_ms)
            return
        self.out.dead += dead
        self.out.counts.update(letter.reason.value for letter in dead)
        if not len(batch):
            return
        stamp_first(batch, released)
        at, corrected = dated(first, batch, intake.clock_tolerance_ms, now_ms)
        offset = np.array([chunk.records[i].offset for i in batch.record], np.int64)
        arrival = Arrival(at, offset, intake.registered_ms, corrected)
        stamp_released(batch, released)
        refused = meter(batch, arrival, self.heads, self.out, intake.rules)
        self.out.samples += len(batch.value)
        self.out.dead += [
            dead_letter(chunk.records[batch.record[r.row]], Refusal(r.verdict, r.detail))
            for r in refused
        ]
        self._note_taken(batch, {r.row for r in refused})

    def _set_aside(
        self, chunk: Chunk, aside: dict[int, Refusal], intake: Intake, now_ms: int
    ) -> None:
        """Dead letters of these, and the rest of the chunk as if it were the whole."""
        self.out.dead += [dead_letter(chunk.records[i], why) for i, why in aside.items()]
        self.out.counts[Verdict.QUARANTINED.value] += len(aside)
        rest = [record for i, record in enumerate(chunk.records) if i not in aside]
        if rest:
            self._meter(Chunk(chunk.topic, chunk.part, rest), intake, now_ms)

    def _note_taken(self, batch: Batch, refused: set[int]) -> None:
        servers = enumerate(batch.server)
        self.taken.update(
            (server for row, server in servers if row not in refused) if refused else batch.server
        )


def _decode(
    chunk: Chunk, intake: Intake, released: ByIndex
) -> tuple[Batch, list[DeadLetter], Chunk]:
    """Reports and dead letters of a chunk, and the chunk in which retries have their first stamp.

    A retry that is refused again is a letter of its own place and time.
    """
    first = as_first_appended(chunk, released, intake.keyring)
    batch, dead = decode(
        first,
        intake.keyring,
        intake.names,
        environment=intake.environment,
        partitions=intake.partitions,
    )
    if released:
        own = {chunk.records[index].offset: chunk.records[index] for index in released}
        dead = [
            dead_letter(own[letter.offset], Refusal(letter.reason, letter.detail))
            if letter.offset in own
            else letter
            for letter in dead
        ]
    return batch, dead, first


def _unknown_kids(dead: list[DeadLetter], keyring: Keyring) -> set[str]:
    """Not those that are known and expired: a look-up for each of their chunks would find them."""
    kids = {
        value.decode(errors="replace")
        for letter in dead
        if letter.reason is Verdict.UNKNOWN_KEY
        for name, value in letter.headers
        if name == "kid" and value is not None
    }
    return {kid for kid in kids if keyring.get(kid) is None}
