"""The one file that survives a crash: raw values and sums, saved together. Imports nothing but
words.

Write beside, fsync, rename, fsync the folder: a reader sees the old origin or the new one, never a
part. The file is JSON, checked by a digest:
``{"format":"rackmeter-agent/1","sha256":…,"state":{"origin":…,"seq":…,…}}``. A file that is torn,
foreign or from a later version means a new origin, never a guess.
"""

import fcntl
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents.integrate import RULES, Mark, Origin
from agents.sample import Series
from schemas.errors import RackmeterError, RefusedError
from schemas.report import Report

FORMAT = "rackmeter-agent/1"
FILE_NAME = "agent.json"
BYTES_MAX = 64 * 2**20
"""A full report of each of 50 earlier origins, and 4,096 series; a larger file is not ours."""


_COLUMNS = ("meter", "resource", "value")


class UnreadableError(Exception):
    """There is a state file and it cannot be used; the message says why."""


class Store:
    """The state folder of one running agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self._lock_fd = -1

    def open(self) -> None:
        """Make the folder and hold it: two agents would give one report two contents."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self.folder / "agent.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise cannot_save(self.folder, error) from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RefusedError(
                f"another agent runs on the state in {self.folder}; "
                "stop it, or give --state a folder of its own"
            ) from error

    def close(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def load(self) -> Origin | None:
        """The saved origin, None where there never was one; raises UnreadableError."""
        try:
            with self.path.open("rb") as file:
                body = file.read(BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableError(str(error)) from error
        return decode(body)

    def save(self, origin: Origin) -> None:
        """Raises OSError, and the file is then the old one or, after a failed last step, the new
        one.
        """
        beside = self.path.with_suffix(".tmp")
        fd = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(encode(origin))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        folder_fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)


def cannot_save(folder: Path, error: OSError) -> RackmeterError:
    return RackmeterError(
        f"the agent cannot keep its state in {folder} ({error.strerror or error}); without it "
        "usage would be lost at every restart: make the folder writable, free some space, "
        "or choose another with --state"
    )


def encode(origin: Origin) -> bytes:
    state = {
        "server": origin.server,
        "boot_id": origin.boot_id,
        "origin": origin.origin,
        "since_ms": origin.since_ms,
        "seq": origin.seq,
        "at_ms": origin.at_ms,
        "at_up_ms": origin.at_up_ms,
        "serial_hi": origin.serial_hi,
        "sums": [[*series, value] for series, value in origin.sums.items()],
        "marks": [[*device, *mark] for device, mark in origin.marks.items()],
        "shown": list(origin.shown),
        "gone": [[*series, seq] for series, seq in origin.gone.items()],
        "names": origin.names,
        "former": [asdict(report) for report in origin.former],
    }
    return _dumps({"format": FORMAT, "sha256": _digest(state), "state": state})


def decode(body: bytes) -> Origin:
    try:
        document = json.loads(body)
        if document["format"] != FORMAT:
            raise UnreadableError(f"its format is {document['format']!r}, not {FORMAT!r}")
        state = document["state"]
        if document["sha256"] != _digest(state):
            raise UnreadableError("its digest does not match its content")
        return _origin(state)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnreadableError("it is torn, or not a state file") from error


def _origin(state: dict[str, Any]) -> Origin:
    """The digest vouches for the types: only our own ``encode`` writes it."""
    return Origin(
        server=state["server"],
        boot_id=state["boot_id"],
        origin=state["origin"],
        since_ms=state["since_ms"],
        seq=state["seq"],
        at_ms=state["at_ms"],
        at_up_ms=state["at_up_ms"],
        serial_hi=state["serial_hi"],
        sums={_series(row): row[2] for row in state["sums"] if row[0] in RULES},
        marks={_series(row): Mark(row[2], row[3]) for row in state["marks"] if row[0] in RULES},
        shown=tuple(_series(row) for row in state["shown"] if row[0] in RULES),
        gone={_series(row): row[2] for row in state["gone"] if row[0] in RULES},
        names={name: (mac, slot) for name, (mac, slot) in state["names"].items()},
        former=tuple(_report(row) for row in state["former"]),
    )


def _series(row: list[Any]) -> Series:
    return row[0], row[1]


def _report(fields: dict[str, Any]) -> Report:
    columns: dict[str, Any] = {name: tuple(fields[name]) for name in _COLUMNS}
    return Report(**{**fields, **columns})


def _digest(state: object) -> str:
    return hashlib.sha256(_dumps(state)).hexdigest()


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
