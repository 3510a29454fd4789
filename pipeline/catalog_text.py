"""Reads tables that a person wrote field by field and notes every mistake with its line. Pure.

What a field means is decided by the readers of catalogues, contracts and usage files. A reader that
finds a mistake notes it and returns a stand-in, so that a person sees all mistakes of a file at
once.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from schemas.errors import ConfigError

Path = tuple[str, ...]
NAME: Final = re.compile(r"[A-Za-z0-9_-]+|[0-9]+\.[0-9]+")
"""Names become parts of line keys and thresholds, where a slash divides; tiers are numbers."""


class CatalogError(ConfigError):
    """Mistakes of a catalogue file, one sentence each, sorted by line."""


@dataclass(slots=True)
class Mistakes:
    """What is wrong with one file so far."""

    name: str
    lines: dict[Path, int]
    found: list[tuple[int, str]] = field(default_factory=list)

    def note(self, path: Path, said: str) -> None:
        """Remember ``said`` at the line of the nearest part of ``path`` that the file has."""
        known = (path[:size] for size in range(len(path), 0, -1))
        line = next((self.lines[part] for part in known if part in self.lines), 1)
        place = f"{self.name}:{line}" if self.lines else self.name
        self.found.append((line, f"{place}: {'.'.join(path)}: {said}"))

    def refuse(self) -> None:
        """Raise when anything was noted."""
        if self.found:
            raise CatalogError("\n".join(said for _, said in sorted(self.found)))


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
            self.note(key, f"found {shown(self.values[key])}; {mend}")
        else:
            self.note(key, f"missing; {mend}")

    def only(self, allowed: Sequence[str]) -> None:
        """Note every field that is not allowed here, with the nearest one that is."""
        for key in self.values:
            if key not in allowed:
                near = get_close_matches(key, allowed, n=1)
                hint = f'did you mean "{near[0]}"?' if near else "remove it."
                known = ", ".join(allowed) or "nothing"
                self.note(key, f"not a field; {hint} Known here: {known}")

    def text(self, key: str, mend: str) -> str:
        value = self.values.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        self.wrong(key, mend)
        return ""

    def texts(self, key: str, mend: str) -> tuple[str, ...]:
        """An array of texts, not empty."""
        value = self.values.get(key)
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return tuple(value)
        self.wrong(key, mend)
        return ()

    def match(self, key: str, pattern: re.Pattern[str], mend: str) -> re.Match[str] | None:
        """A text of the pattern. Numbers outside quotes are refused: TOML reads them as floats."""
        value = self.values.get(key)
        found = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            self.wrong(key, f"amounts are written in quotes: {mend}" if number else mend)
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


def shown(value: object) -> str:
    """A value the way the file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, dict):
        return "a table"
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, list) else str(value)


def parse(text: str, name: str, names: re.Pattern[str] = NAME) -> Table:
    """The file as its outermost table. A file that is not TOML gives one sentence.

    Keys that are not of the pattern ``names`` are noted.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(_not_toml(text, name, str(error))) from error
    file = Table(values, (), Mistakes(name, line_numbers(text)))
    for path in file.mistakes.lines:
        if not names.fullmatch(path[-1]):
            file.mistakes.note(path, "a name consists of letters, digits, - and _")
    return file


def _not_toml(text: str, name: str, said: str) -> str:
    place = re.search(r" \(at line (\d+), column \d+\)$", said)
    if place is None:
        return f"{name}:1: not TOML: {said}"
    number = int(place[1])
    line = text.split("\n")[number - 1].strip()
    return (
        f"{name}:{number}: not TOML: {said[: place.start()]}, found `{line}`;"
        ' texts and prices are written in quotes, for example price = "1.29 / TB"'
    )


def line_numbers(text: str) -> dict[Path, int]:
    """Line of the first mention of every key path of a valid TOML file.

    tomllib tells no lines. Lines are added to a statement until it parses by itself; a statement
    that is not finished never does.
    """
    numbers: dict[Path, int] = {}
    header: Path = ()
    statement, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        statement, first = (f"{statement}\n{line}", first) if statement else (line, number)
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        paths = list(_paths(values))
        if statement.lstrip().startswith("["):
            header = paths[-1]
            paths = [header[:size] for size in range(1, len(header) + 1)]
        else:
            paths = [header + path for path in paths]
        for path in paths:
            numbers.setdefault(path, first)
        statement = ""
    return numbers


def _paths(values: object, path: Path = ()) -> Iterator[Path]:
    """Every key path inside, outer ones first; elements of arrays count as their array."""
    inner: Iterable[tuple[Path, object]] = ()
    if isinstance(values, dict):
        inner = (((*path, key), value) for key, value in values.items())
    elif isinstance(values, list):
        inner = ((path, value) for value in values)
    for deeper, value in inner:
        if deeper != path:
            yield deeper
        yield from _paths(value, deeper)
