"""What is in a bundle, and how a row and a file prove their content. Pure.

Two tables of measurements are CSV: a row ends with a short check of its own, so that an altered one
can be named; the manifest holds the SHA-256 of each file, and its own digest.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from invoicing.digest import DIGEST, DIGESTS, part_digests, pretty
from schemas.serial import Json, text_digest

FORMAT: Final = "rackmeter.bundle/1"
MANIFEST: Final = "manifest.json"
README: Final = "README.txt"
WINDOWS: Final = "windows.csv"
READINGS: Final = "readings.csv"
HEAD: Final = "audit-head.json"
CHECK: Final = "check"
CHECK_DIGITS: Final = 8

WINDOW_COLUMNS: Final = (
    "server", "meter", "resource", "window_start", "quantity", "covered_ms", "source", "topic",
    "partition", "offset",
)  # fmt: skip
READING_COLUMNS: Final = (
    "server", "meter", "resource", "origin", "at", "kind", "seq", "value", "topic", "partition",
    "offset",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a CSV file, and the lines (from 1) that are not what was written."""

    rows: list[list[str]]
    altered: list[int]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """The rows as CSV, each with its check."""
    lines = [_line([*columns, CHECK])]
    for row in rows:
        cells = [str(cell) for cell in row]
        lines.append(_line([*cells, check(cells)]))
    return "".join(lines).encode()


def check(cells: Sequence[str]) -> str:
    """First digits of the SHA-256 of the row as CSV."""
    return sha256(_line(cells).encode()).hexdigest()[:CHECK_DIGITS]


def read_table(content: bytes, columns: Sequence[str]) -> Table:
    """Raises ValueError where it is no such table."""
    found = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    if not found or found[0] != [*columns, CHECK]:
        raise ValueError(f"its first line is not {', '.join(columns)}, {CHECK}")
    bodies = found[1:]
    altered = [
        number
        for number, row in enumerate(bodies, 2)
        if len(row) != len(columns) + 1 or check(row[:-1]) != row[-1]
    ]
    bad = {number - 2 for number in altered}
    return Table([row[:-1] for n, row in enumerate(bodies) if n not in bad], altered)


def manifest(number: str, proof: str, language: str, files: dict[str, bytes]) -> bytes:
    """What the bundle holds; it proves itself like an invoice does."""
    body: dict[str, Json] = {
        "format": FORMAT,
        "number": number,
        "invoice": proof,
        "language": language,
        "files": [
            {"name": name, "bytes": str(len(content)), "sha256": sha256(content).hexdigest()}
            for name, content in sorted(files.items())
        ],
    }
    body[DIGESTS] = dict(part_digests(body))
    body[DIGEST] = text_digest(body)
    return (pretty(body) + "\n").encode()


def altered_parts(body: dict[str, Json]) -> Iterator[str]:
    """Parts of a manifest that are not what was written; the digest itself last."""
    inner = {key: value for key, value in body.items() if key not in (DIGEST, DIGESTS)}
    stated, computed = body.get(DIGESTS), part_digests(inner)
    known = stated if isinstance(stated, dict) else {}
    yield from (part for part in {**computed, **known} if known.get(part) != computed.get(part))
    if body.get(DIGEST) != text_digest({key: body[key] for key in body if key != DIGEST}):
        yield DIGEST


def read_manifest(content: bytes) -> dict[str, Json]:
    """Raises ValueError where it is none."""
    body = json.loads(content)
    if not isinstance(body, dict) or not isinstance(body.get("files"), list):
        raise ValueError("it names no files")  # noqa: TRY004 - of a file, not of a type
    return body


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
