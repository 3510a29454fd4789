"""What goes wrong and when: a pure function of the seed.

Kinds and steps are dealt from shuffled decks, so that a short schedule has as many different ones
as it has room for, and a long one has each of them often. Faults may overlap.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL of a worker, at any moment."""
    CRASH = "crash"
    """SIGKILL of a worker when it reaches a step of claiming or checkpointing."""
    FREEZE = "freeze"
    """SIGSTOP for longer than a session, then SIGCONT: a worker that others have replaced."""
    FREEZE_AT = "freeze at"
    """The same when it reaches a step: inside a transaction, inside a COPY."""
    STORM = "storm"
    """One more worker comes and goes, time and again."""
    BROKER_STALL = "broker stall"
    BROKER_DELAY = "broker delay"
    BROKER_RESET = "broker reset"
    BROKER_DEAF = "broker deaf"
    BROKER_KILL = "broker kill"
    """Apache Kafka, ``kill -9`` and started again on the same files."""
    DATABASE_STALL = "database stall"
    DATABASE_DELAY = "database delay"
    DATABASE_RESET = "database reset"
    DATABASE_DEAF = "database deaf"
    """Questions arrive, answers do not, then the connection is reset: was it committed?"""
    DATABASE_STOP = "database stop"
    """PostgreSQL, immediate stop: unwritten commits are gone, as if the machine had crashed."""


KILLS: Final = (Kind.KILL, Kind.CRASH)
STEPS: Final = (
    "claim:taken", "claim:committed", "flush:registered", "copy:states", "flush:copied",
    "flush:swapped", "copy:windows", "flush:written", "flush:committed",
)  # fmt: skip
SESSION_MS: Final = 6_000
"""What the workers' session time is (``rackmeter.worker``)."""
_LASTS_MS: Final = {
    Kind.FREEZE: (SESSION_MS + 500, SESSION_MS + 3_000),
    Kind.FREEZE_AT: (SESSION_MS + 500, SESSION_MS + 3_000),
    Kind.STORM: (10_000, 20_000),
    Kind.BROKER_STALL: (500, 10_000),
    Kind.BROKER_DELAY: (2_000, 8_000),
    Kind.BROKER_DEAF: (100, 1_500),
    Kind.BROKER_KILL: (0, 3_000),
    Kind.DATABASE_STALL: (500, 10_000),
    Kind.DATABASE_DELAY: (2_000, 8_000),
    Kind.DATABASE_DEAF: (50, 500),
    Kind.DATABASE_STOP: (0, 3_000),
}
APART_MS: Final = 5_000
_BURST_MS: Final = (50, 1_000)
_BURSTS, _KILL_SHARE, _REPLAY_SHARE = 0.15, 0.7, 0.25
_TAIL_MS: Final = 3_000
"""Reports go on for so long after the last fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; times in milliseconds from the first commit."""

    at_ms: int
    kind: Kind
    worker: int = 0
    step: str = ""
    nth: int = 0
    """How often the step is reached until it happens."""
    lasts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that goes wrong in one run, and for how long reports are sent."""

    seed: int
    faults: tuple[Fault, ...]
    feed_ms: int
    replay: bool
    """Whether the whole topic comes again."""
    last: Fault
    """When the last commit has been seen: it may not be on the disk yet, and no report follows."""


def schedule(
    seed: int, kills: int, workers: int, *, kafka: bool, apart_ms: int = APART_MS
) -> Schedule:
    """The schedule of a seed, with exactly that many faults that kill a worker."""
    rng = random.Random(seed)
    others = [kind for kind in Kind if kind not in KILLS and (kafka or kind != Kind.BROKER_KILL)]
    deadly, harmful = _deck(rng, [Kind.KILL, Kind.CRASH, Kind.CRASH]), _deck(rng, others)
    steps = _deck(rng, STEPS)
    faults: list[Fault] = []
    at_ms = apart_ms // 2
    while kills:
        fatal = rng.random() < _KILL_SHARE
        kills -= fatal
        faults.append(_fault(rng, at_ms, next(deadly if fatal else harmful), workers, steps))
        apart = (apart_ms * 6 // 10, apart_ms * 14 // 10)
        at_ms += rng.randint(*(_BURST_MS if rng.random() < _BURSTS else apart))
    feed_ms = at_ms + _TAIL_MS
    last = Fault(feed_ms, Kind.DATABASE_STOP, lasts_ms=rng.randint(*_LASTS_MS[Kind.DATABASE_STOP]))
    return Schedule(seed, tuple(faults), feed_ms, rng.random() < _REPLAY_SHARE, last)


def _fault(rng: random.Random, at_ms: int, kind: Kind, workers: int, steps: Iterator[str]) -> Fault:
    worker, lasts_ms = rng.randrange(workers), rng.randint(*_LASTS_MS.get(kind, (0, 0)))
    if kind in (Kind.CRASH, Kind.FREEZE_AT):
        return Fault(at_ms, kind, worker, next(steps), rng.randint(1, 3), lasts_ms)
    return Fault(at_ms, kind, worker, lasts_ms=lasts_ms)


def _deck(rng: random.Random, cards: Sequence[T]) -> Iterator[T]:
    """Cards without end: shuffled, dealt, shuffled again."""
    while True:
        yield from rng.sample(cards, len(cards))
