"""The spool: what comes back after a kill, a torn tail or a flipped bit; what gives way when it is
full; a disk that fails.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents import segment
from agents import spool as module
from agents.frames import Waiting, frames
from agents.spool import LOOSE_MAX, SEGMENT_BYTES, Spool
from schemas.report import Report
from tests.agents.broker import BOOT, spool_in

FORMER = "former"


def waiting(seq: int, origin: str = "o1", more: int = 0) -> Waiting:
    """``more`` is how many bytes longer than it has to be."""
    names = ("net.rx_bytes",)
    return Waiting(
        Report("s1", origin, 0, seq, seq, seq, seq, names, ("e" * (1 + more),), (seq,)), BOOT
    )


def filled(folder: Path, count: int, more: int = 0) -> Spool:
    made = spool_in(folder)
    for seq in range(1, count + 1):
        made.put(waiting(seq, more=more), seq)
    return made


def seqs(found: list[Waiting]) -> list[int]:
    return [one.report.seq for one in found]


def drained(spool: Spool) -> list[int]:
    """The numbers of everything in it, oldest first."""
    found: list[int] = []
    while taken := spool.take():
        found += seqs(taken)
        spool.done()
    return found


def test_everything_comes_back(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    again = spool_in(tmp_path)
    assert again.waiting == 3
    assert again.highest == {"o1": 3}
    assert again.take() == [waiting(1), waiting(2), waiting(3)]
    again.done()
    assert (again.waiting, again.size, drained(spool_in(tmp_path))) == (0, 0, [])


def test_what_is_taken_stays_until_it_is_done(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    assert seqs(spool.take()) == seqs(spool.take()) == [1, 2]
    spool.put(waiting(3), 3)
    assert drained(spool_in(tmp_path)) == [1, 2, 3], "a crash here sends all of them again"


def test_what_an_earlier_agent_left_is_gone_on_with(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    again = spool_in(tmp_path)
    again.put(waiting(3), 3)
    assert len(again.segments) == 1
    assert seqs(again.take()) == [1, 2, 3]


def test_segments_are_bounded(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1000, more=200)
    assert len(spool.segments) > 2
    assert all(one.size <= SEGMENT_BYTES for one in spool.segments)
    assert drained(spool) == [*range(1, 1001)]


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """The prefix comes back, the rest is counted, and the next report goes on behind it."""
    (path,) = [one.path for one in filled(tmp_path, 3).segments]
    whole = path.read_bytes()
    ends = [end for end, _ in frames(whole)]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        sound = [end for end in ends if end <= length]
        again = spool_in(tmp_path)
        again.put(waiting(9), 9)
        assert again.lost == length - (sound[-1] if sound else 0)
        after = spool_in(tmp_path)
        assert drained(after) == [*range(1, len(sound) + 1), 9]
        assert not [*path.parent.iterdir()]


def test_every_flipped_bit(tmp_path: Path) -> None:
    """What comes back is a prefix of what was written, never another report."""
    (path,) = [one.path for one in filled(tmp_path, 2).segments]
    whole = path.read_bytes()
    (first, _), _ = frames(whole)
    for bit in range(8 * len(whole)):
        body = bytearray(whole)
        body[bit // 8] ^= 1 << bit % 8
        path.write_bytes(body)
        again = spool_in(tmp_path)
        sound = [] if bit // 8 < first else [1]
        assert again.lost == len(whole) - (first if sound else 0), bit
        assert seqs(again.take()) == sound, bit


@pytest.mark.parametrize("tail", [bytes(4096), b"\xff" * 4096, b"foreign", b"\x00\x00\x00\x01"])
def test_what_a_power_cut_leaves_behind_the_end(tmp_path: Path, tail: bytes) -> None:
    (path,) = [one.path for one in filled(tmp_path, 2).segments]
    path.write_bytes(path.read_bytes() + tail)
    again = spool_in(tmp_path)
    assert again.lost == len(tail)
    assert drained(again) == [1, 2]


def test_a_sync_comes_late_and_only_for_what_still_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(segment, "fsync", synced.append)
    monkeypatch.setattr(module, "fsync", synced.append)
    spool = spool_in(tmp_path)
    spool.put(waiting(1), 1_000)
    spool.sync(2_999)
    spool.take()
    spool.done()
    spool.sync(9_000)
    assert synced == [], "the broker had it first"
    spool.put(waiting(2), 10_000)
    spool.put(waiting(3), 11_999)
    spool.sync(11_999)
    assert synced == []
    spool.sync(12_000)
    assert synced == [spool.segments[0].path, spool.folder]
    spool.sync(99_000)
    assert len(synced) == 2, "nothing new"
    assert drained(spool) == [2, 3]


def test_older_reports_give_way_the_newest_and_the_last_of_an_origin_never(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 2**20, 2_000)
    spool.open()
    spool.put(replace(waiting(7, FORMER), boot_id=""), 0)
    for seq in range(1, 20_001):
        spool.put(waiting(seq, more=200), seq)
        assert spool.size <= spool.bytes_max
    on_disk = sum(path.stat().st_blocks * 512 for path in spool.folder.iterdir())
    assert on_disk <= 2**20 + SEGMENT_BYTES
    kept: list[Waiting] = []
    while found := spool.take():
        kept += found
        spool.done()
    assert kept[0].report.origin == FORMER
    own = seqs(kept[1:])
    assert own == sorted(own), "in order"
    assert own[-1] == 20_000
    assert spool.thinned == 20_001 - len(kept)
    assert len(own) > 1_500
    gaps = [later - one for one, later in pairwise(own)]
    assert max(gaps) <= 64, "thinned, not cut off"
    assert gaps[-200:] == [1] * 200, "the newest are all there"


@pytest.mark.parametrize("limit", ["spool", "disk"])
def test_large_reports_give_way_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A segment holds three of them, and soon one: then whole segments give way, evenly, and what
    is new still comes on the disk.
    """
    spool = Spool(tmp_path / "spool", 2**20 if limit == "spool" else 2**30, 2_000)
    if limit == "disk":
        free = spool_free_of(spool, 2**20)
        monkeypatch.setattr(os, "statvfs", free)
    spool.open()
    spool.put(waiting(7, FORMER, more=20_000), 0)
    for seq in range(1, 301):
        spool.put(waiting(seq, more=20_000), seq)
        assert (spool.failing, len(spool.loose)) == ("", 0)
        assert spool.size <= 2**20
    kept = spool_in(tmp_path)
    found: list[Waiting] = []
    while taken := kept.take():
        found += taken
        kept.done()
    assert (found[0].report.origin, found[0].report.seq) == (FORMER, 7)
    own = seqs(found[1:])
    assert own == sorted(own)
    assert own[-1] == 300
    assert max(later - one for one, later in pairwise([0, *own])) <= 30, "thinned, not cut off"
    assert spool.thinned == 301 - len(found)


def spool_free_of(spool: Spool, whole: int) -> Callable[[Path], SimpleNamespace]:
    """A disk of so many bytes that has nothing else on it."""
    return lambda _: SimpleNamespace(f_bavail=max(0, whole - spool.size), f_frsize=1)


class Disk:
    """``os`` as the spool sees it, on a disk that fails as told."""

    def __init__(self) -> None:
        self.fails: dict[str, int] = {}
        self.halves = False
        """Half of what is written arrives before it fails."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if name in self.fails:
                if name == "write" and self.halves:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise OSError(self.fails[name], os.strerror(self.fails[name]))
            return real(*arguments, **named)

        return call if callable(real) and name in ("write", "fsync", "open", "ftruncate") else real


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(module, "os", made)
    monkeypatch.setattr(segment, "os", made)
    return made


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("also", [(), ("ftruncate",), ("open",)])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_for_a_while(
    tmp_path: Path, disk: Disk, number: int, also: tuple[str, ...], halves: bool
) -> None:
    spool = filled(tmp_path, 2)
    disk.halves = halves
    disk.fails = dict.fromkeys(("write", *also), number)
    for seq in range(3, 6):
        spool.put(waiting(seq), seq)
    assert (spool.waiting, spool.failing) == (5, os.strerror(number))
    disk.fails = {}
    spool.put(waiting(6), 6)
    assert (spool.waiting, spool.failing) == (6, "")
    assert drained(spool_in(tmp_path)) == [1, 2, 3, 4, 5, 6]


def test_what_cannot_be_written_is_sent_from_memory_and_bounded(tmp_path: Path, disk: Disk) -> None:
    spool = spool_in(tmp_path)
    disk.fails = {"write": errno.EIO}
    for seq in range(1, LOOSE_MAX + 31):
        spool.put(waiting(seq), seq)
    assert (spool.waiting, spool.thinned) == (LOOSE_MAX, 30)
    assert seqs(spool.take()) == [*range(31, LOOSE_MAX + 31)]
    spool.put(waiting(999), 999)
    assert spool.waiting == LOOSE_MAX + 1
    assert drained(spool) == [*range(31, LOOSE_MAX + 31), 999]


def test_after_a_failed_sync_another_segment_is_begun(tmp_path: Path, disk: Disk) -> None:
    """The kernel drops what it could not write and forgets it: the same file would lie."""
    spool = filled(tmp_path, 1)
    disk.fails = {"fsync": errno.EIO}
    spool.sync(9_000)
    assert spool.failing == os.strerror(errno.EIO)
    disk.fails = {}
    spool.put(waiting(2), 10_000)
    assert (len(spool.segments), spool.failing) == (2, "")
    assert drained(spool) == [1, 2]


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    spool = spool_in(tmp_path)
    spool.put(waiting(1), 1)
    assert spool.failing
    assert drained(spool) == [1]


def test_a_report_larger_than_a_segment(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1)
    spool.put(waiting(2, more=900_000), 2)
    spool.put(waiting(3), 3)
    assert drained(spool_in(tmp_path)) == [1, 2, 3]
