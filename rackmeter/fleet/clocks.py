"""Wall clocks that lie. The boot-time clock beside them is right. Pure."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np

from rackmeter.fleet.diary import Diary, Note

HOUR_MS: Final = 3_600_000
DRIFT_PPM: Final = 3_000
"""Ten seconds an hour: after three hours a clock is further off than any tolerance."""


class Clock(StrEnum):
    """How a server's wall clock is wrong."""

    TRUE = "true"
    BACKWARDS = "backwards"
    AHEAD = "ahead"
    BEHIND = "behind"
    STEPPING = "stepping"
    DRIFTING = "drifting"


def told(clock: Clock, rng: np.random.Generator, diary: Diary) -> Diary:
    """The diary with the times that this clock showed."""
    if clock is Clock.TRUE:
        return diary
    first, last = diary.notes[0].read_ms, diary.notes[-1].read_ms
    error_ms = _error(clock, rng, first, last)
    began: dict[str, int] = {}
    notes = []
    for note in diary.notes:
        off_ms = error_ms(note.read_ms)
        # An agent works out its beginning once, from the first reading of an origin.
        since_ms = began.setdefault(note.report.origin, note.report.since_ms + off_ms)
        shown = replace(note.report, at_ms=note.report.at_ms + off_ms, since_ms=since_ms)
        notes.append(Note(shown, note.read_ms))
    return replace(diary, notes=tuple(notes))


def _error(
    clock: Clock, rng: np.random.Generator, first_ms: int, last_ms: int
) -> Callable[[int], int]:
    """How far ahead the clock is at a true instant."""
    if clock is Clock.DRIFTING:
        rate_ppm = DRIFT_PPM if rng.integers(0, 2) else -DRIFT_PPM
        return lambda at_ms: (at_ms - first_ms) * rate_ppm // 1_000_000
    steps = _steps(clock, rng, first_ms, last_ms)
    return lambda at_ms: [off_ms for since_ms, off_ms in steps if since_ms <= at_ms][-1]


def _steps(
    clock: Clock, rng: np.random.Generator, first_ms: int, last_ms: int
) -> list[tuple[int, int]]:
    """From which instant the clock is how far ahead."""
    middle = int(rng.integers(first_ms + (last_ms - first_ms) // 4, last_ms + 1))
    match clock:
        case Clock.AHEAD:
            return [(first_ms, 2 * HOUR_MS)]
        case Clock.BEHIND:
            return [(first_ms, -40 * 24 * HOUR_MS)]
        case Clock.BACKWARDS:
            return [(first_ms, 0), (middle, -int(rng.integers(60_000, 5 * HOUR_MS)))]
        case _:
            instants = sorted(rng.integers(first_ms, last_ms + 1, 6).tolist())
            offs = rng.integers(-6 * HOUR_MS, 6 * HOUR_MS, 6).tolist()
            return [(first_ms, 0), *zip(instants, offs, strict=True)]
