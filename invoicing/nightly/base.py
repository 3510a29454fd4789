"""What every nightly check is given, and what it answers. Differences are data."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TypeVar

from invoicing.reconcile import Difference
from sinks.database import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unit:
    """A line of the provider's own inventory: what it believes of a server."""

    server: str
    state: str
    """``rented``, ``spare`` or ``off``."""
    item: str = ""
    """Empty where the inventory does not know it."""


@dataclass(frozen=True, slots=True)
class Port:
    """The port of a switch to which a server is plugged, as its collector names both."""

    collector: str
    resource: str
    server: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two meters of the same traffic; they may differ by so many per mille of the larger."""

    agent: str
    switch: str
    permille: int


@dataclass(frozen=True)
class Night:
    """A UTC day that is over, and with what to look at it. ``conn`` commits each statement."""

    conn: Connection
    day: date
    archive: Path
    seed: int = 0
    """Of every sample; the same seed looks at the same things."""
    sample: int = 20
    """Servers that are metered again."""
    tolerance_ms: int = 30_000
    """How far a server's clock may be off (RACKMETER_CLOCK_TOLERANCE_MS)."""
    inventory: Sequence[Unit] | None = None
    ports: Sequence[Port] = ()
    pairs: Sequence[Pair] = ()

    @property
    def low(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)

    @property
    def high(self) -> datetime:
        return self.low + timedelta(days=1)

    def drawn(self, all_of_them: Sequence[T], most: int) -> list[T]:
        """At most so many of them, by the seed, in order."""
        if len(all_of_them) <= most:
            return list(all_of_them)
        rng = random.Random(self.seed)
        return [all_of_them[n] for n in sorted(rng.sample(range(len(all_of_them)), most))]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check compared, what differs, and what it could not judge, each with its reason."""

    compared: int
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = field(default=())


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """One moment of the whole ledger, to read."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
