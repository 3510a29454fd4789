"""The number log: every invoice number, in a file that no loss of the database takes along.

One line of JSON for each event, appended only: a number was `taken` (on the disk before its
transaction commits) or `issued` (after the commit; may be lost with the machine, the database knows
it). The first line names the ledger. A last line that is torn was torn by a crash before any commit
and is cut off. Several processes may write; each sees what the others wrote before it does.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn
from uuid import UUID

from schemas.errors import DependencyError, DifferenceError, RefusedError
from schemas.serial import SerialError, from_json, to_json
from sinks.disk import sync

FORMAT: Final = "rackmeter.numbers/1"
TAKEN: Final = "taken"
ISSUED: Final = "issued"


@dataclass(frozen=True, slots=True)
class Entry:
    """A number with the invoice that carries it; ``digest`` is that of the sealed document."""

    number: str
    entity: str
    kind: str
    year: int
    count: int
    invoice_id: str
    digest: str
    account: str
    period_start: datetime
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log says of a number last. Once issued it stays so."""

    entry: Entry
    issued: bool


class NumberLog:
    """The log of one ledger. Raises DependencyError where the disk refuses, RefusedError where the
    file is another ledger's, DifferenceError where a line is damaged.
    """

    def __init__(self, path: Path, ledger_id: UUID) -> None:
        self.path = path
        self._ledger_id = str(ledger_id)
        self._known: dict[str, Logged] = {}
        self._read_to = 0

    def numbers(self) -> dict[str, Logged]:
        """Number → what is known of it, by now. Makes the file where there is none."""
        with self._opened():
            pass
        return dict(self._known)

    def take(self, *entries: Entry) -> None:
        """On the disk when this returns. A number that another document carries is refused."""
        with self._opened() as file:
            for entry in entries:
                known = self._known.get(entry.number)
                if known is not None and known.issued and known.entry.digest != entry.digest:
                    raise RefusedError(
                        f"{entry.number} is on an invoice that this database does not have"
                        f" ({self.path}): it was restored from an older state meanwhile; close"
                        " again."
                    )
            self._append(file, TAKEN, entries)
            os.fsync(file)

    def issue(self, *entries: Entry) -> None:
        """They are in the database for good."""
        with self._opened() as file:
            self._append(file, ISSUED, entries)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, locked, with everything read that it holds."""
        file = -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            self._catch_up(file)
            yield file
        except OSError as error:
            raise DependencyError(
                f"The number log {self.path} cannot be written: {error.strerror}. No number was"
                " given out; set RACKMETER_NUMBER_LOG to a file that outlives the database."
            ) from error
        finally:
            if file >= 0:
                os.close(file)

    def _catch_up(self, file: int) -> None:
        content = _read_from(file, self._read_to)
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(file, self._read_to + len(whole))
        if self._read_to == 0 and not whole:
            whole = _line({"format": FORMAT, "ledger": self._ledger_id})
            _write(file, whole)
            sync(self.path.parent)
        for line in whole.splitlines():
            self._learn(line)
        self._read_to += len(whole)

    def _learn(self, line: bytes) -> None:
        try:
            body = json.loads(line)
            if "format" in body:
                self._check_ledger(body)
                return
            event, entry = body.pop("event"), from_json(Entry, body)
        except (ValueError, KeyError, TypeError, SerialError) as error:
            self._damaged(line, error)
        before = self._known.get(entry.number)
        if before is not None and before.issued:
            return
        self._known[entry.number] = Logged(entry, event == ISSUED)

    def _check_ledger(self, body: dict[str, Any]) -> None:
        if body.get("format") != FORMAT or body.get("ledger") != self._ledger_id:
            raise RefusedError(
                f"The number log {self.path} is of ledger {body.get('ledger')} and this database"
                f" is ledger {self._ledger_id}: set RACKMETER_NUMBER_LOG to this ledger's own."
            )

    def _damaged(self, line: bytes, error: Exception) -> NoReturn:
        raise DifferenceError(
            f"The number log {self.path} has a line that it did not write ({line[:60]!r}): put its"
            " copy in its place."
        ) from error

    def _append(self, file: int, event: str, entries: tuple[Entry, ...] | list[Entry]) -> None:
        content = b"".join(_line({"event": event, **to_json(entry)}) for entry in entries)
        _write(file, content)
        self._read_to += len(content)
        for entry in entries:
            before = self._known.get(entry.number)
            known = before or Logged(entry, issued=False)
            if not known.issued:
                self._known[entry.number] = replace(known, entry=entry, issued=event == ISSUED)


def _line(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _write(file: int, content: bytes) -> None:
    """All of it, or an OSError; what came of it then is cut off by whoever opens the file next."""
    if os.write(file, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_from(file: int, offset: int) -> bytes:
    size = os.fstat(file).st_size
    return os.pread(file, max(0, size - offset), offset)
