"""Reads a TOML file that a person wrote, and tells where it is none. Pure."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pipeline.catalog_text import CONTROL, SHOWN, CatalogError, Mistakes, Path, Table

NAME: Final = re.compile(r"[A-Za-z0-9_-]+|[0-9]+\.[0-9]+")
"""Names become parts of line keys and thresholds, where a slash divides; tiers are numbers."""
BOM: Final = "\ufeff"
"""Some editors begin a file with it."""
_HINTS: Final[Mapping[str, str]] = {
    "Cannot (overwrite|declare)|Duplicate": "it is written twice: keep one",
    "Cannot (mutate|redefine)": "it was written whole before: add to it there",
    "Invalid (value|statement)|Expected newline": "texts and prices are written in quotes,"
    ' for example price = "1.29 / TB"',
    "Invalid initial|Unclosed inline": "what stands in braces is written on one line, without a"
    " comma before the end",
}
"""How tomllib's sentences begin, and what to do."""


def head(text: str) -> dict[str, Any]:
    """The outermost fields of a file, to see what it is; nothing of one that is not TOML."""
    try:
        return tomllib.loads(text.removeprefix(BOM))
    except (ValueError, RecursionError):
        return {}


def parse(text: str, name: str, names: re.Pattern[str] = NAME) -> Table:
    """The file as its outermost table. A file that is not TOML gives one sentence.

    Keys that are not of the pattern ``names`` are noted.
    """
    text = text.removeprefix(BOM)
    try:
        values, numbers = tomllib.loads(text), line_numbers(text)
    except (ValueError, RecursionError) as error:  # also of numbers that int() refuses
        raise CatalogError(_not_toml(text, name, error)) from error
    file = Table(values, (), Mistakes(name, {(): 1, **numbers}))
    for path in numbers:
        if not names.fullmatch(path[-1]):
            file.mistakes.note(path, "a name consists of letters, digits, - and _")
    return file


def _not_toml(text: str, name: str, error: Exception) -> str:
    """Where tomllib stopped, and where the statement begins that it could not finish."""
    begun = next((first for first, _, values in _statements(text) if values is None), None)
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
    last = text.rstrip().count("\n") + 1
    number = int(found[2]) if found and found[2] else begun or last
    said = found[1] if found else "a number has too many digits"
    if isinstance(error, RecursionError):
        said = "too many arrays and tables inside each other"
    since = f" in what begins in line {begun}" if begun and begun < number else ""
    line = CONTROL.sub("?", text.split("\n")[number - 1].strip())[:SHOWN]
    hint = next((f"; {mend}" for what, mend in _HINTS.items() if re.match(what, said)), "")
    return f"{name}:{number}: not TOML: {said}{since}, found `{line}`{hint}"


def line_numbers(text: str) -> dict[Path, int]:
    """Line of the first mention of every key path of a valid TOML file."""
    numbers: dict[Path, int] = {}
    header: Path = ()
    for first, statement, values in _statements(text):
        paths = list(_paths(values))
        if statement.lstrip().startswith("["):
            header = paths[-1]
            paths = [header[:size] for size in range(1, len(header) + 1)]
        else:
            paths = [header + path for path in paths]
        for path in paths:
            numbers.setdefault(path, first)
    return numbers


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Every statement with its first line and what it says by itself; None of one without an end.

    tomllib tells no lines. Lines are added to a statement until it parses by itself; a statement
    that is not finished never does.
    """
    statement, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        statement, first = (f"{statement}\n{line}", first) if statement else (line, number)
        try:
            values = tomllib.loads(statement)
        except (ValueError, RecursionError):
            continue
        yield first, statement, values
        statement = ""
    if statement:
        yield first, statement, None


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
