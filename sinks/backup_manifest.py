"""What a backup says of itself: manifest.json, written last, with the digest of every file.

A folder without it is no backup. Everything in it was read in the snapshot that was dumped.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError, DifferenceError
from schemas.serial import SerialError, digest, from_json, to_json
from sinks.disk import sync

FORMAT: Final = "rackmeter.backup/1"
NAME: Final = "manifest.json"
DUMP: Final = "dump"
"""The folder that pg_dump wrote."""
SECRETS: Final = (
    "Secrets are encrypted (AES-256-GCM) under the master keys named here, and no master key is in"
    " this backup; everything else in it is readable by whoever has it."
)
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Table:
    """``digest``: sum of a 64-bit hash of each row, whatever their order."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition of a topic was metered."""

    topic: str
    topic_id: str
    cluster_id: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class HighMark:
    """The last number issued."""

    entity: str
    kind: str
    year: int
    last: int


@dataclass(frozen=True, slots=True)
class File:
    """Path below the backup's folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``extensions``: name → version; ``master_keys``: fingerprints of those needed."""

    format: str
    rackmeter: str
    revision: str
    ledger_id: str
    taken_at: datetime
    backend: str
    server: str
    pg_dump: int
    extensions: dict[str, str]
    positions: tuple[Position, ...]
    tables: tuple[Table, ...]
    numbers: tuple[HighMark, ...]
    secrets: str
    master_keys: tuple[str, ...]
    files: tuple[File, ...]

    @property
    def server_major(self) -> int:
        return int(self.server.partition(".")[0])

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """On the disk when this returns, the names of the files too."""
    body = {**to_json(manifest), "digest": digest(manifest)}
    with (folder / NAME).open("x", encoding="utf-8") as file:
        json.dump(body, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    for place in (folder / DUMP, folder):
        sync(place)


def read_manifest(folder: Path) -> Manifest:
    """Raises ConfigError for what is no backup, DifferenceError where the manifest was changed."""
    path = folder / NAME
    try:
        body = json.loads(path.read_bytes())
        stated = body.pop("digest")
    except FileNotFoundError:
        raise ConfigError(f"{folder} is no backup: it has no {NAME}.") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DifferenceError(f"{path} cannot be read: {error}.") from error
    if digest(body) != stated:
        raise DifferenceError(f"{path} was changed: it does not have the digest that it states.")
    if body.get("format") != FORMAT:
        raise ConfigError(
            f"{path} is {body.get('format')} and this version reads {FORMAT}: use the rackmeter"
            f" that wrote it ({body.get('rackmeter')})."
        )
    try:
        return from_json(Manifest, body)
    except SerialError as error:
        raise DifferenceError(f"{path} cannot be read: {error}.") from error


def check_files(
    folder: Path, manifest: Manifest, progress: Callable[[int], None] = lambda _bytes: None
) -> None:
    """Raises DifferenceError naming the first file that is missing or was changed."""
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise DifferenceError(f"{path} is missing from the backup.")
        if path.stat().st_size != file.size or sha256(path, progress) != file.sha256:
            raise DifferenceError(f"{path} was changed: it is not what was backed up.")


def list_files(folder: Path, progress: Callable[[int], None]) -> Iterator[File]:
    """Everything below a folder, by path."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        yield File(name, path.stat().st_size, sha256(path, progress))


def sha256(path: Path, progress: Callable[[int], None]) -> str:
    """In hex. ``progress`` hears of every MiB."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            found.update(part)
            progress(len(part))
    return found.hexdigest()
