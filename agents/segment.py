"""One file of the spool: records appended, read back, thinned in place. Knows no other segment.

``size`` is how much of the file is sound; a failed append or a torn tail leaves more behind it,
and then nothing is appended any more.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.frames import Waiting, frame, frames, waiting_of

BLOCK: Final = 4096


@dataclass(slots=True)
class Segment:
    path: Path
    size: int = 0
    records: int = 0
    at_ms: int = 0
    """When the last of them was read."""
    ended: bool = False
    """Nothing is appended any more: full, taken, or not to be trusted behind ``size``."""
    dirty: bool = False

    @property
    def cost(self) -> int:
        """What it takes on a disk of blocks."""
        return -(-self.size // BLOCK) * BLOCK

    def append(self, data: bytes) -> None:
        """One record. Raises OSError, and it is not there then."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        try:
            _write_all(fd, data)
        except OSError:
            self.ended = True
            with suppress(OSError):
                os.ftruncate(fd, self.size)
                self.ended = False
            raise
        finally:
            os.close(fd)
        self.size += len(data)
        self.records += 1
        self.dirty = True

    def read(self) -> tuple[list[Waiting], int]:
        """The sound records, and the bytes behind them, which count no more."""
        found: list[Waiting] = []
        end = 0
        with suppress(OSError, ValueError):
            with self.path.open("rb") as file:
                data = file.read(self.size)
            for end, payload in frames(data):  # noqa: B007 - the last end counts
                found.append(waiting_of(payload))
        lost = self.size - end
        self.size, self.records = end, len(found)
        self.at_ms = found[-1].report.at_ms if found else 0
        return found, lost

    def thin(self, keep: Callable[[list[Waiting]], list[Waiting]]) -> int:
        """What is not kept gives way; how many. None where that frees no block. In place: that
        needs no room. Raises OSError, and the file may be anything then.
        """
        before, _ = self.read()
        kept = keep(before)
        data = b"".join(map(frame, kept))
        after = Segment(self.path, len(data), len(kept))
        if after.cost >= self.cost:
            return 0
        with self.path.open("r+b") as file:
            file.write(data)
            file.truncate()
        self.size, self.records, self.ended, self.dirty = after.size, after.records, True, True
        return len(before) - len(kept)

    def sync(self) -> None:
        """Put it on the disk. After a failure the kernel has forgotten what it could not write: the
        next time would lie, so this file is not gone on with.
        """
        ended, self.dirty, self.ended = self.ended, False, True
        fsync(self.path)
        self.ended = ended

    def remove(self) -> None:
        with suppress(OSError):  # then it is sent again, some day, and changes nothing
            self.path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    """A disk that takes only a part is full."""
    if os.write(fd, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
