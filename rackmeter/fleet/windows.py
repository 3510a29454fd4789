"""What each server used in each window, by the reports that arrive in order. Pure.

A window's share of a difference depends on which reports arrived: one that was lost or overtaken
leaves its time to be split evenly. Totals do not depend on it, see truth.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from rackmeter.fleet.life import Life
from rackmeter.fleet.mishaps import Schedule
from rackmeter.fleet.plan import Int64s
from schemas.verdict import Verdict

WINDOW_MS: Final = 300_000
WindowKey = tuple[str, str, str, int]
"""Server, meter, resource, start of the window."""


def windows_of(schedule: Schedule) -> dict[WindowKey, int]:
    """Every quantity that is not zero."""
    life = schedule.life
    found: dict[WindowKey, int] = {}
    for start_ms, quantities in split_rows(*_differences(life, _arrived(schedule))):
        for column in np.flatnonzero(quantities).tolist():
            key = (life.machine.id, life.meter[column], life.resource[column], start_ms)
            found[key] = found.get(key, 0) + int(quantities[column])
    return found


def split_rows(since_ms: Int64s, at_ms: Int64s, difference: Int64s) -> Iterator[tuple[int, Int64s]]:
    """The parts of each difference, window by window: cumulative floors, so they sum exactly."""
    for since, at, row in zip(since_ms.tolist(), at_ms.tolist(), difference, strict=True):
        quotient, rest = np.divmod(row, at - since)
        done = np.zeros_like(row)
        start = since - since % WINDOW_MS
        while start < at:
            elapsed = min(start + WINDOW_MS, at) - since
            until = quotient * elapsed + rest * elapsed // (at - since)
            yield start, until - done
            done, start = until, start + WINDOW_MS


def _arrived(schedule: Schedule) -> list[int]:
    return [send.reading for send in schedule.sends() if send.verdict is Verdict.ACCEPTED]


def _differences(life: Life, arrived: list[int]) -> tuple[Int64s, Int64s, Int64s]:
    """From which instant to which, and how much: one row a report that counts."""
    origin, at_ms, value = life.origin[arrived], life.at_ms[arrived], life.value[arrived]
    opening = np.diff(origin, prepend=-1) != 0
    since_ms = np.where(opening, np.array(life.since_ms)[origin], np.roll(at_ms, 1))
    previous = np.where(opening[:, None], 0, np.roll(value, 1, axis=0))
    return since_ms, at_ms, value - previous
