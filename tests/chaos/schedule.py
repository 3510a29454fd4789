"""What goes wrong and when: a pure function of the seed.

Kinds and steps are dealt from shuffled decks, so that a short schedule has as many different ones
as it has room for, and a long one has each of them often. A fault waits until something has been
committed since the one before, or else a machine that is slow would only kill workers that have not
begun; some come in bursts and do not wait. Faults may overlap.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
APART_MS: Final = 2_500
_BURST_MS: Final = (50, 1_000)
_BURSTS, _KILL_SHARE, _REPLAY_SHARE = 0.3, 0.7, 0.25


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, so long after the one before."""

    after_ms: int
    kind: Kind
    calm: bool = True
    """Wait for a commit first."""
    worker: int = 0
    step: str = ""
    nth: int = 0
    """How often the step is reached until it happens."""
    lasts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that goes wrong in one run."""

    seed: int
    faults: tuple[Fault, ...]
    apart_ms: int
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
    while kills:
        calm, fatal = rng.random() >= _BURSTS, rng.random() < _KILL_SHARE
        kills -= fatal
        after_ms = rng.randint(*((apart_ms // 2, apart_ms * 3 // 2) if calm else _BURST_MS))
        kind = next(deadly if fatal else harmful)
        worker, lasts_ms = rng.randrange(workers), rng.randint(*_LASTS_MS.get(kind, (0, 0)))
        fault = Fault(after_ms, kind, calm, worker, lasts_ms=lasts_ms)
        if kind in (Kind.CRASH, Kind.FREEZE_AT):
            fault = replace(fault, step=next(steps), nth=rng.randint(1, 3))
        faults.append(fault)
    last = Fault(0, Kind.DATABASE_STOP, lasts_ms=rng.randint(*_LASTS_MS[Kind.DATABASE_STOP]))
    return Schedule(seed, tuple(faults), apart_ms, rng.random() < _REPLAY_SHARE, last)


def _deck(rng: random.Random, cards: Sequence[T]) -> Iterator[T]:
    """Cards without end: shuffled, dealt, shuffled again."""
    while True:
        yield from rng.sample(cards, len(cards))
