"""Busy time of all processors and their time in each mode, from /proc/stat. Reads one line of
one file; no arithmetic across readings.
"""

import os
from pathlib import Path

from agents.sample import Sample

METERS = frozenset({"cpu.busy_ms", "cpu.mode_ms"})

# Columns of the "cpu" line, see proc_stat(5): user nice system idle iowait irq softirq steal guest
# guest_nice. Guest time is already inside user and nice; idle and iowait are not busy.
_BUSY = (0, 1, 2, 5, 6, 7)
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def read(root: Path) -> list[Sample]:
    """Milliseconds since boot. Jiffies become ms before they are differenced, so no remainder is
    ever lost.
    """
    try:
        with (root / "proc/stat").open("rb") as file:
            columns = file.readline().split()
        if columns[0] != b"cpu":
            return []
        jiffies = [int(column) for column in columns[1:]]
    except (OSError, ValueError, IndexError):
        return []
    busy = sum(jiffies[i] for i in _BUSY if i < len(jiffies))
    second = os.sysconf("SC_CLK_TCK")
    return [
        Sample("cpu.busy_ms", "", busy * 1000 // second),
        *(
            Sample("cpu.mode_ms", mode, ticks * 1000 // second, mode)
            for mode, ticks in zip(MODES, jiffies, strict=False)
        ),
    ]
