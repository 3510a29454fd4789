"""Half-open time. Pure, knows nothing else."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

WIDTH_MS: Final = 300_000
"""Of a window. Divides 15 minutes, so midnight of every time zone is a window edge."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open ``[start, end)``; ``end`` None is open."""

    start: datetime
    end: datetime | None = None

    def clip(self, start: datetime, end: datetime) -> "Span | None":
        """The part inside ``[start, end)``, or None when nothing is left."""
        low = max(self.start, start)
        high = end if self.end is None else min(self.end, end)
        return Span(low, high) if low < high else None

    def inside(self, other: "Span") -> "Span | None":
        """What both have in common, or None when that is nothing; either may be open."""
        ends = [end for end in (self.end, other.end) if end is not None]
        both = Span(max(self.start, other.start), min(ends, default=None))
        return both if both.end is None or both.start < both.end else None

    def holds(self, instant: datetime) -> bool:
        return self.start <= instant and (self.end is None or instant < self.end)
