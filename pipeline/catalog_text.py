"""Reads tables that a person wrote field by field and notes every mistake with its line. Pure.

What a field means is decided by the readers of catalogues, contracts and usage files. A reader that
finds a mistake notes it and returns a stand-in, so that a person sees all mistakes of a file at
once.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import inf
from typing import Any, Final

from schemas.errors import ConfigError

Path = tuple[str, ...]
SHOWN: Final = 100
"""Characters of a value that are repeated to whoever wrote it."""
_LONG: Final = re.compile(r"[0-9]{19}|\.[0-9]{21}")
"""More digits than pipeline.catalog_units.AMOUNT takes."""
_HUGE: Final = 10**60
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class CatalogError(ConfigError):
    """Mistakes of a catalogue file, one sentence each, sorted by line."""


@dataclass(slots=True)
class Mistakes:
    """What is wrong with one file so far."""

    name: str
    lines: dict[Path, int]
    """Of every key path that the file has; nothing where lines are not known."""
    found: list[tuple[int, str]] = field(default_factory=list)
    base: str = ""
    """What the file is laid over: fields that it lacks come from there."""

    def note(self, path: Path, said: str) -> None:
        """Remember ``said`` at the line of the nearest part of ``path`` that the file has."""
        known = (path[:size] for size in range(len(path), 0, -1))
        line = next((self.lines[part] for part in known if part in self.lines), 1)
        place = f"{self.name}:{line}" if self.lines else self.name
        self.found.append((line, f"{place}: {'.'.join(path)}: {said}"))

    def refuse(self) -> None:
        """Raise when anything was noted."""
        if self.found:
            raise CatalogError("\n".join(said for _, said in sorted({*self.found})))

    def inherited(self, path: Path) -> bool:
        """The field stands in the base alone."""
        return bool(self.base) and path not in self.lines


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file: where it stands, what it holds, where mistakes go."""

    values: dict[str, Any]
    path: Path
    mistakes: Mistakes

    def note(self, key: str, said: str) -> None:
        self.mistakes.note((*self.path, key) if key else self.path, said)

    def wrong(self, key: str, mend: str) -> None:
        """Say what was found at ``key`` and what to do."""
        if key in self.values:
            there = f" in {self.mistakes.base}" if self._inherited(key) else ""
            self.note(key, f"found {shown(self.values[key])}{there}; {mend}")
        else:
            self.note(key, f"missing; {mend}")

    def only(self, allowed: Sequence[str]) -> None:
        """Note every field that is not allowed here, with the nearest one that is."""
        for key in self.values:
            if key not in allowed:
                near = get_close_matches(key, allowed, n=1)
                hint = f'did you mean "{near[0]}"?' if near else "remove it."
                if self._inherited(key):
                    hint = f"{self.mistakes.base} has it: write a plan or charge of another name."
                known = ", ".join(allowed) or "nothing"
                self.note(key, f"not a field; {hint} Known here: {known}")

    def _inherited(self, key: str) -> bool:
        return self.mistakes.inherited((*self.path, key))

    def text(self, key: str, mend: str) -> str:
        """One line of text, without blanks around it."""
        value = self.values.get(key)
        if _says(value):
            return str(value).strip()
        self.wrong(key, mend)
        return ""

    def texts(self, key: str, mend: str) -> tuple[str, ...]:
        """An array of texts, not empty."""
        value = self.values.get(key)
        if isinstance(value, list) and value and all(map(_says, value)):
            return tuple(value)
        self.wrong(key, mend)
        return ()

    def names(self, key: str, mend: str) -> tuple[str, ...]:
        """An array of texts, each once: what is named twice would count twice."""
        found = self.texts(key, mend)
        if twice := [one for one in found if found.count(one) > 1]:
            self.wrong(key, f"{shown(twice[0])} is named twice: keep one")
        return found

    def match(self, key: str, pattern: re.Pattern[str], mend: str) -> re.Match[str] | None:
        """A text of the pattern. Numbers outside quotes are refused: TOML reads them as floats."""
        value = self.values.get(key)
        found = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            if isinstance(value, int | float) and not isinstance(value, bool):
                mend = f"amounts are written in quotes: {mend}"
            elif isinstance(value, str) and _LONG.search(value):
                mend = f"a number has at most 18 digits, and 20 after its point: {mend}"
            self.wrong(key, mend)
        return found

    def choice(self, key: str, allowed: Sequence[str], default: str = "") -> str:
        """One of the texts allowed; ``default`` when the field is missing and there is one."""
        value = self.values.get(key, default)
        if value in allowed:
            return str(value)
        if allowed:
            self.wrong(key, f"write one of {', '.join(map(shown, allowed))}")
        return next(iter(allowed), "")

    def table(self, key: str, mend: str) -> "Table":
        """The table at ``key``; where there is none, that alone is noted, not what it lacks."""
        value = self.values.get(key)
        if isinstance(value, dict):
            return Table(value, (*self.path, key), self.mistakes)
        self.wrong(key, mend)
        return Table({}, (*self.path, key), Mistakes("", {}))

    def tables(self, key: str, mend: str) -> "list[Table]":
        """The tables inside the table at ``key``, each under a name."""
        outer = self.table(key, mend)
        return [outer.table(name, mend) for name in outer.values]

    @property
    def name(self) -> str:
        return self.path[-1]


def _says(value: object) -> bool:
    """A text of one line with something in it."""
    return isinstance(value, str) and bool(value.strip()) and not CONTROL.search(value)


def shown(value: object) -> str:
    """A value the way the file has it, on one line; the beginning of a long one."""
    said = _shown(value)
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value[: SHOWN + 1], ensure_ascii=False)
    if isinstance(value, int | float):
        return "a huge number" if _HUGE < abs(value) < inf else f"the number {value}"
    if isinstance(value, dict):
        return "a table"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)
