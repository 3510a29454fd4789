"""Reports that wait for the broker, on disk, oldest first. Owns the folder ``spool``; knows neither
broker nor clock.

No total rests on it: counters are cumulative, and what they come to lies in the state file. What is
lost here is only *when* within an outage something was used. So it may be bounded, thinned and
torn, and a disk that is full or broken stops nobody.

Segments of 64 KiB are appended to in turn. Steps, and what a crash after each means:
1. append: the record is in the kernel's memory; ``kill -9`` takes nothing, a power cut may.
2. sync: it is on the disk. What the broker has within ``sync_ms`` is never synced at all.
3. taken: sent, the segment at a time; nothing is appended to that one any more.
4. done, removed: before the removal the next agent sends it again, a harmless duplicate.
A torn or flipped record ends what is read of its segment; the rest of it is counted as lost.

Full means ``bytes_max``, or a disk that takes no more. Then every second report of one segment
after the other gives way, in place, as that needs no room; then the segment whose neighbours are
nearest in time. The last of an origin never does. What cannot be written waits in memory, at most
100 reports.
"""

import errno
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agents.frames import Waiting, frame, thinned
from agents.segment import BLOCK, Segment, fsync

SEGMENT_BYTES: Final = 64 * 1024
"""Sixty reports of 24 series: what is sent at once in catching up, and the most that is sent again
after a crash.
"""
LOOSE_MAX: Final = 100
RESERVE: Final = 256 * 1024
"""What is left of the disk for the state file: it is written beside the old one."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Spool:
    folder: Path
    bytes_max: int
    sync_ms: int
    segments: list[Segment] = field(default_factory=list)
    loose: deque[Waiting] = field(default_factory=deque)
    """Newer than all segments: what could not be written."""
    highest: dict[str, int] = field(default_factory=dict)
    """By origin, the highest number that came here."""
    thinned: int = 0
    """Reports that gave way, since the agent began."""
    lost: int = 0
    """Bytes that could not be read, since the agent began."""
    failing: str = ""
    """Why the disk takes nothing, while it does not."""
    _taken: list[Waiting] = field(default_factory=list)
    _taken_from: Segment | None = None
    _next: int = 1
    _turn: int = 0
    _unsynced_up_ms: int | None = None

    @property
    def waiting(self) -> int:
        unwritten = 0 if self._taken_from else len(self._taken)
        return sum(one.records for one in self.segments) + len(self.loose) + unwritten

    @property
    def size(self) -> int:
        return sum(one.cost for one in self.segments)

    def open(self) -> None:
        """Take over what an earlier agent left; without a folder, reports wait in memory."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            paths = sorted(self.folder.glob("*.log"))
        except OSError as error:
            self._fails(error)
            return
        for path in paths:
            self._next = int(path.stem) + 1
            self._recover(path)

    def put(self, waiting: Waiting, up_ms: int) -> None:
        """Append, at ``up_ms`` of the boot-time clock. Raises nothing: what cannot be written waits
        in memory.
        """
        self._note(waiting)
        self.loose.append(waiting)
        self.write()
        if len(self.loose) > LOOSE_MAX:
            self.loose.popleft()
            self.thinned += 1
        if self._unsynced_up_ms is None and any(one.dirty for one in self.segments):
            self._unsynced_up_ms = up_ms

    def write(self) -> None:
        """Append what is loose, as far as there is room."""
        try:
            while self.loose:
                self._append(frame(self.loose[0]))
                self.segments[-1].at_ms = self.loose.popleft().report.at_ms
                self.failing = ""
        except OSError as error:
            self._fails(error)

    def sync(self, up_ms: int | None = None) -> None:
        """Put on the disk what has waited for ``sync_ms``, or everything."""
        if self._unsynced_up_ms is None:
            return
        if up_ms is not None and up_ms - self._unsynced_up_ms < self.sync_ms:
            return
        self._unsynced_up_ms = None
        try:
            for one in [one for one in self.segments if one.dirty]:
                one.sync()
            fsync(self.folder)
        except OSError as error:
            self._fails(error)

    def take(self) -> list[Waiting]:
        """The oldest reports, at most a segment of them, to be sent together; the same ones until
        ``done``.
        """
        while not self._taken and self.segments:
            first = self.segments[0]
            first.ended = True
            self._taken, self._taken_from = self._read(first), first
            if not self._taken:
                self._remove(first)
        if not self._taken and self.loose:
            self._taken, self._taken_from = list(self.loose), None
            self.loose.clear()
        return self._taken

    def done(self) -> None:
        """The broker has what was taken."""
        if self._taken_from:
            self._remove(self._taken_from)
        self._taken, self._taken_from = [], None
        if not self.segments:
            self._unsynced_up_ms = None

    def _append(self, data: bytes) -> None:
        """Raises OSError, and nothing is appended then."""
        try:
            self._make_room(len(data))
            self._write(data)
        except OSError as error:
            # Once: where something else fills the disk, what lies here must not pay for it.
            if error.errno not in _NO_ROOM or self.failing or not self._thin():
                raise
            self._make_room(len(data))
            self._write(data)

    def _write(self, data: bytes) -> None:
        segment = self._active(len(data))
        try:
            segment.append(data)
        except OSError:
            if segment.ended and not segment.size:
                self._remove(segment)
            raise

    def _active(self, more: int) -> Segment:
        """The segment to append to; a new one where the last is full."""
        if self.segments:
            last = self.segments[-1]
            if not last.ended and (not last.size or last.size + more <= SEGMENT_BYTES):
                return last
        self.segments.append(Segment(self.folder / f"{self._next:010}.log"))
        self._next += 1
        return self.segments[-1]

    def _make_room(self, more: int) -> None:
        """Below the limit, and so that the disk has room for the state, which matters more."""
        while self.size + more + BLOCK > self.bytes_max:
            if not self._thin():
                limit = f"its limit of {self.bytes_max >> 20} MiB is reached"
                raise OSError(errno.ENOSPC, limit)
        disk = os.statvfs(self.folder)
        if disk.f_bavail * disk.f_frsize < RESERVE + more:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _thin(self) -> bool:
        """Something gives way, if anything can: half of a segment, or one that can be spared."""
        closed = self._closed()
        for _ in closed:
            self._turn = (self._turn + 1) % len(closed)
            if self._gave_way(closed[self._turn], thinned):
                return True
        return any(self._gave_way(one, self._lasts) for one in self._spared())

    def _spared(self) -> list[Segment]:
        """The closed ones; first those with the least time between their neighbours, the oldest
        last.
        """
        order = zip(self.segments, self.segments[1:], self.segments[2:], strict=False)
        spans = [(after.at_ms - before.at_ms, one) for before, one, after in order]
        inner = [one for _, one in sorted(spans, key=lambda span: span[0])]
        return [one for one in (*inner, *self.segments[:-1][:1]) if one is not self._taken_from]

    def _lasts(self, reports: list[Waiting]) -> list[Waiting]:
        return [one for one in reports if one.report.seq == self.highest[one.report.origin]]

    def _closed(self) -> list[Segment]:
        """Neither what is being sent, nor what is appended to."""
        return [one for one in self.segments[:-1] if one is not self._taken_from]

    def _gave_way(self, segment: Segment, keep: Callable[[list[Waiting]], list[Waiting]]) -> bool:
        records = segment.records
        try:
            gave_way = segment.thin(keep)
        except OSError:
            gave_way = records
            segment.records = 0
        self.thinned += gave_way
        if not segment.records:
            self._remove(segment)
        return bool(gave_way)

    def _note(self, waiting: Waiting) -> None:
        report = waiting.report
        self.highest[report.origin] = max(report.seq, self.highest.get(report.origin, 0))

    def _read(self, segment: Segment) -> list[Waiting]:
        found, lost = segment.read()
        self.lost += lost
        return found

    def _recover(self, path: Path) -> None:
        with suppress(OSError):
            segment = Segment(path, path.stat().st_size)
            whole = segment.size
            for waiting in self._read(segment):
                self._note(waiting)
            segment.ended = segment.size < whole
            self.segments.append(segment)
            if not segment.records:
                self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        self.segments.remove(segment)
        segment.remove()

    def _fails(self, error: OSError) -> None:
        self.failing = error.strerror or str(error)
