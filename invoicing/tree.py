"""A figure, what it came from, and from what that came. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One figure with its notes; the children are what it was made of."""

    name: str
    value: str
    notes: tuple[str, ...] = ()
    children: tuple["Node", ...] = ()

    def to_text(self) -> str:
        """The tree in plain characters, one figure a line."""
        return "\n".join([f"{self.name}: {self.value}", *self._below()]) + "\n"

    def _below(self) -> Iterator[str]:
        bar = "│ " if self.children else "  "
        for note in self.notes:
            yield f"{bar} {note}"
        for child in self.children:
            last = child is self.children[-1]
            head, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield f"{head}{child.name}: {child.value}"
            for line in child._below():
                yield f"{rest}{line}"
