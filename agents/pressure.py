"""Time in which work waited for CPU, memory or disks (PSI), from /proc/pressure, Linux 4.20 and
later. No arithmetic across readings.

``some``: at least one task waited; ``full``: all did. Microseconds since boot.
"""

from collections.abc import Iterator
from pathlib import Path

from agents.sample import Sample

METERS = frozenset({"pressure.some_us", "pressure.full_us"})
_RESOURCES = ("cpu", "memory", "io", "irq")


def read(root: Path) -> list[Sample]:
    return [sample for name in _RESOURCES for sample in _lines(root / "proc/pressure", name)]


def _lines(folder: Path, name: str) -> Iterator[Sample]:
    """``some avg10=0.00 avg60=0.00 avg300=0.00 total=7654321``"""
    try:
        lines = (folder / name).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        kind, total = line.partition(" ")[0], line.rpartition("total=")[2]
        if f"pressure.{kind}_us" in METERS and total.isdigit():
            yield Sample(f"pressure.{kind}_us", name, int(total), name)
