"""Bytes read and written per disk, from /proc/diskstats. No arithmetic across readings.

Every byte counts once, on the disk it lies on: sysfs gives hardware a ``device``; partitions are no
entry of /sys/block of their own, and md, dm, loop and zram have none. A path of a multipath NVMe
disk is hidden, its disk counts. Optical drives are left out. Which name a disk's counter is
reported under is the business of agents.naming: by its world-wide id, where it has one.
"""

from collections.abc import Iterator
from pathlib import Path

from agents.sample import Card, Sample, resource_name

METERS = frozenset({"block.read_bytes", "block.written_bytes"})

SECTOR = 512
"""Of /proc/diskstats, whatever the disk's own is (Documentation/admin-guide/iostats.rst)."""
_NAME, _READ, _WRITTEN = 2, 5, 9
_OPTICAL = "5"
"""SCSI peripheral device type: /sys/block/*/device/type."""


def read(root: Path) -> list[Sample]:
    samples = []
    for raw, sectors_read, sectors_written in _rows(root / "proc/diskstats"):
        folder = root / "sys/block" / raw.replace("/", "!")
        if not _counts(folder):
            continue
        name, born = resource_name(raw.encode()), _word(folder / "diskseq")
        card, device = _card(folder), f"{name}@{born}"
        samples += [
            Sample("block.read_bytes", name, sectors_read * SECTOR, device, card=card),
            Sample("block.written_bytes", name, sectors_written * SECTOR, device, card=card),
        ]
    return samples


def _counts(folder: Path) -> bool:
    if not (folder / "device").exists() or _word(folder / "hidden") == "1":
        return False
    return _word(folder / "device/type") != _OPTICAL


def _card(folder: Path) -> Card:
    """Without a world-wide id, as on most virtual disks, a disk is its name."""
    return _word(folder / "wwid") or _word(folder / "device/wwid"), ""


def _rows(path: Path) -> Iterator[tuple[str, int, int]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError:
        return
    for line in lines:
        columns = line.split()
        if len(columns) > _WRITTEN and columns[_READ].isdigit() and columns[_WRITTEN].isdigit():
            yield columns[_NAME], int(columns[_READ]), int(columns[_WRITTEN])


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
