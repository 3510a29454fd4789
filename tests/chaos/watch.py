"""What became of the positions while everything went wrong: samples of the ledger, recoveries."""

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import psycopg

from schemas.errors import RackmeterError
from sinks.database import Connection, connect

EVERY_S: Final = 0.03


class Sample(NamedTuple):
    """The committed positions from a time on."""

    at_s: float
    positions: tuple[int, ...]


class Watch:
    """Looks at the ledger in a thread of its own, past the proxy; keeps what changed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.samples: list[Sample] = []
        self.first = threading.Event()
        """Set when something has been committed."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def consumed(self) -> int:
        return sum(self.samples[-1].positions) if self.samples else 0

    def moved_since(self, at_s: float) -> bool:
        """Whether anything was committed after a time."""
        return bool(self.samples) and self.samples[-1].at_s > at_s

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with connect(self._url, autocommit=True) as conn:
                    self._look(conn)
            except (psycopg.Error, RackmeterError):
                self._ended.wait(EVERY_S)

    def _look(self, conn: Connection) -> None:
        while not self._ended.wait(EVERY_S):
            found = positions(conn)
            if not self.samples or self.samples[-1].positions != found:
                self.samples.append(Sample(time.monotonic(), found))
                if any(found):
                    self.first.set()


def positions(conn: Connection) -> tuple[int, ...]:
    """What is committed of each partition."""
    rows = conn.execute("SELECT next_offset FROM ingest_offset ORDER BY topic_id, part").fetchall()
    return tuple(row[0] for row in rows)


def recovery_s(samples: Sequence[Sample], ended_s: float) -> float | None:
    """From the end of a fault until every partition has committed again; None: one never did."""
    first = bisect_right(samples, ended_s, key=lambda sample: sample.at_s)
    if first == 0:
        return None
    waiting = dict(enumerate(samples[first - 1].positions))
    for at_s, positions in samples[first:]:
        waiting = {part: old for part, old in waiting.items() if positions[part] == old}
        if not waiting:
            return at_s - ended_s
    return None


def percentiles(found: Sequence[float]) -> dict[str, float]:
    """Of recoveries: p50, p99 and the longest."""
    if not found:
        return {}
    ordered = sorted(found)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)
        for name, share in at.items()
    }
