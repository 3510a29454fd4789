"""Time of an item that counts otherwise, from what was told of it in whatever order. Pure.

One kind of one item. What was told is kept whole, so a command that comes late finds what came
before it: all orders of commands of different instants come to the same time. Of one instant the
later says what was meant.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from schemas.spans import Span


@dataclass(frozen=True, slots=True)
class Told:
    """It begins ``at``, until an end or until it is resumed; or it is resumed ``at``."""

    at: datetime
    begins: bool
    until: datetime | None = None
    why: str = ""

    def again(self, told: Sequence["Told"]) -> bool:
        """It was told before, nothing else of the same instant since, and it adds nothing."""
        same = (one for one in reversed(told) if one.at == self.at)
        before = takewhile(lambda one: one.begins == self.begins, same)
        known = any(one.until == self.until for one in before)
        return known and in_force([*told, self]) == in_force(told)


def in_force(told: Sequence[Told]) -> tuple[tuple[Span, str], ...]:
    """The spans with their reasons, in order; none touches another. ``told`` in order of telling.

    - A beginning lasts until its own end or the first resumption after it, whichever is earlier.
    - A resumption at the very instant of a beginning that was told before takes that back. Where
      nothing from before is going on then, it is that alone: neither was ever told.
    - What overlaps or touches is one, for the reason that its beginning gives.
    """
    standing: list[Told] = []
    ended: list[datetime] = []
    for one in told:
        if one.begins:
            standing.append(one)
            continue
        kept = [other for other in standing if other.at != one.at]
        going_on = any(span.holds(one.at) for span, _ in _spans(kept, ended))
        if going_on or len(kept) == len(standing):
            insort(ended, one.at)
        standing = kept
    return _spans(standing, ended)


def _spans(standing: Iterable[Told], ended: Sequence[datetime]) -> tuple[tuple[Span, str], ...]:
    found: list[tuple[Span, str]] = []
    for one in sorted(standing, key=lambda one: one.at):
        ends = [one.until, *ended[bisect_right(ended, one.at) :][:1]]
        end = min((end for end in ends if end is not None), default=None)
        before, why = found[-1] if found else (None, "")
        if before is None or (before.end is not None and before.end < one.at):
            found.append((Span(one.at, end), one.why))
        elif before.end is not None:
            found[-1] = (Span(before.start, None if end is None else max(before.end, end)), why)
    return tuple(found)
