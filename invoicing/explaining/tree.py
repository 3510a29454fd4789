"""A figure, what it came from, and from what that came. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.billing import Line
from schemas.serial import Json, to_json


@dataclass(frozen=True, slots=True)
class Chart:
    """Values in the order of time beside the one line that they are measured against."""

    caption: str
    start: datetime
    step_ms: int
    values: tuple[int | None, ...]
    """Base units, one a step; None was not measured."""
    line: int
    line_name: str
    bars: bool = False
    """Each value stands for itself; else it is a course."""


@dataclass(frozen=True, slots=True)
class Node:
    """One figure with its notes; the children are what it was made of."""

    name: str
    value: str
    notes: tuple[str, ...] = ()
    children: tuple["Node", ...] = ()
    chart: Chart | None = None

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


@dataclass(frozen=True, slots=True)
class Explanation:
    """A line, or all of them, the tree of its figures, and what does not agree."""

    number: str
    position: int
    currency: str
    line: Line | None
    tree: Node
    differences: tuple[str, ...]

    def to_text(self) -> str:
        return self.tree.to_text()

    def to_json(self) -> Json:
        said: Json = to_json(self)
        return said
