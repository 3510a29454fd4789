"""When each note of a diary is sent, and when the broker appends it. Pure.

The last note of every origin arrives, however late: what a total hangs on is never lost for good.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from rackmeter.fleet.diary import Diary

_LATENCY_MS_MAX: Final = 2_000
_RETRY_MS: Final = 10_000
"""``message.timeout.ms`` of the agent: so long until it sends again."""
_TRIES_MAX: Final = 3
_LATE_MS_MAX: Final = 30 * 60_000
"""Shuffled within this bound."""
_PERMILLE: Final = 1_000
_LOST, _TWICE, _OVERTAKEN = 8, 4, 3  # of a thousand, times ``plan.mishaps``


class Route(StrEnum):
    """The way of a server's reports to the topic."""

    PROMPT = "prompt"
    RETRIED = "retried"
    JUMBLED = "jumbled"
    SHUFFLED = "shuffled"
    SPOOLED = "spooled"


class Post(NamedTuple):
    """A note, stamped and sent at one instant, appended at another. True clocks, both."""

    note: int
    sent_ms: int
    append_ms: int
    over: int = -1
    """Sent after a boot: the first note of the agent that sends it; -1: of the boot it is of."""


def posts(route: Route, rng: np.random.Generator, diary: Diary, mishaps: int) -> list[Post]:
    """Everything a server sends, in the order in which it is appended."""
    made = list(_ROUTES[route](rng, diary, mishaps))
    for note, after in diary.again:
        at_ms = diary.notes[after].read_ms
        made.append(Post(note, at_ms, at_ms, after))
    return sorted(made, key=lambda post: post.append_ms)


def _soon(rng: np.random.Generator, note: int, sent_ms: int) -> Post:
    return Post(note, sent_ms, sent_ms + int(rng.integers(1, _LATENCY_MS_MAX)))


def _due(diary: Diary) -> Iterator[tuple[int, int]]:
    """The notes that are sent at all, and when they were read."""
    for n, note in enumerate(diary.notes):
        if n not in diary.unsent:
            yield n, note.read_ms


def _prompt(rng: np.random.Generator, diary: Diary, mishaps: int) -> Iterator[Post]:
    """At once; a few are lost, doubled or overtaken."""
    lasts, lost, twice = diary.lasts, _LOST * mishaps, (_LOST + _TWICE) * mishaps
    overtaken = twice + _OVERTAKEN * mishaps
    for n, read_ms in _due(diary):
        draw = int(rng.integers(0, _PERMILLE))
        if draw < lost and n not in lasts:
            continue
        if lost <= draw < twice:
            yield _soon(rng, n, read_ms)
            yield _soon(rng, n, read_ms + int(rng.integers(0, 2_000_000)))
        elif twice <= draw < overtaken:
            yield _soon(rng, n, read_ms + int(rng.integers(300_000, 900_000)))
        else:
            yield _soon(rng, n, read_ms)


def _retried(rng: np.random.Generator, diary: Diary, _mishaps: int) -> Iterator[Post]:
    """In batches. Of a try some may arrive, and no answer does: all are sent again, stamped anew,
    until one try is answered.
    """
    due = list(_due(diary))
    while due:
        size = int(rng.integers(1, 20))
        batch, due = due[:size], due[size:]
        sent_ms = batch[-1][1]
        for _ in range(int(rng.integers(0, _TRIES_MAX))):
            arrived = int(rng.integers(0, len(batch) + 1))
            yield from _in_order(batch[:arrived], sent_ms)
            sent_ms += _RETRY_MS
        yield from _in_order(batch, sent_ms)


def _in_order(batch: list[tuple[int, int]], sent_ms: int) -> Iterator[Post]:
    for place, (n, _) in enumerate(batch):
        yield Post(n, sent_ms, sent_ms + 100 + place)


def _jumbled(rng: np.random.Generator, diary: Diary, _mishaps: int) -> Iterator[Post]:
    """Each waits for a while of its own, within a bound; one in fifty for half the life."""
    half_ms = (diary.notes[-1].read_ms - diary.notes[0].read_ms) // 2
    for n, read_ms in _due(diary):
        most_ms = _LATE_MS_MAX if rng.integers(0, 50) else max(half_ms, 1)
        yield _soon(rng, n, read_ms + int(rng.integers(0, most_ms)))


def _shuffled(rng: np.random.Generator, diary: Diary, _mishaps: int) -> Iterator[Post]:
    """Everything at the end, in no order."""
    due = list(_due(diary))
    end_ms = diary.notes[-1].read_ms
    for place, index in enumerate(rng.permutation(len(due)).tolist()):
        sent_ms = end_ms + 10 * place
        yield Post(due[index][0], sent_ms, sent_ms + 5)


def _spooled(rng: np.random.Generator, diary: Diary, _mishaps: int) -> Iterator[Post]:
    """Cut off for hours, then all of it at once and in order."""
    due = list(_due(diary))
    while due:
        size = int(rng.integers(1, 200))
        batch, due = due[:size], due[size:]
        yield from _in_order(batch, batch[-1][1] + int(rng.integers(1, 1_000)))


_ROUTES: Final[dict[Route, Callable[[np.random.Generator, Diary, int], Iterator[Post]]]] = {
    Route.PROMPT: _prompt,
    Route.RETRIED: _retried,
    Route.JUMBLED: _jumbled,
    Route.SHUFFLED: _shuffled,
    Route.SPOOLED: _spooled,
}
