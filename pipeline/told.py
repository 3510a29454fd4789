"""Time of an item that counts otherwise, from what was told of it in whatever order. Pure.

One kind of one item. What was told is kept whole, so a command that comes late finds what came
before it: all orders of the same commands come to the same time.
"""

from bisect import bisect_right
from collections.abc import Sequence
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
        """It was told before, and nothing else of the same instant since."""
        same = (one for one in reversed(told) if one.at == self.at)
        return any(
            one.until == self.until
            for one in takewhile(lambda one: one.begins == self.begins, same)
        )


def in_force(told: Sequence[Told]) -> tuple[tuple[Span, str], ...]:
    """The spans with their reasons, in order; none touches another. ``told`` in order of telling.

    - A beginning lasts until its own end or the first resumption after it, whichever is earlier.
    - A resumption at the very instant of a beginning that was told before takes that back.
    - What overlaps or touches is one, for the reason that its beginning gives.
    """
    offs = sorted(one.at for one in told if not one.begins)
    last = {one.at: place for place, one in enumerate(told) if not one.begins}
    found: list[tuple[Span, str]] = []
    standing = (one for n, one in enumerate(told) if one.begins and n > last.get(one.at, -1))
    for one in sorted(standing, key=lambda one: one.at):
        ends = [one.until, *offs[bisect_right(offs, one.at) :][:1]]
        end = min((end for end in ends if end is not None), default=None)
        before, why = found[-1] if found else (None, "")
        if before is None or (before.end is not None and before.end < one.at):
            found.append((Span(one.at, end), one.why))
        elif before.end is not None:
            found[-1] = (Span(before.start, None if end is None else max(before.end, end)), why)
    return tuple(found)
