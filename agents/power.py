"""Energy of processor packages and their memory, from RAPL in /sys/class/powercap. No arithmetic
across readings.

Microjoules, starting again at zero after ``max_energy_range_uj``: some minutes under load. Cores
and graphics are inside their package and are left out. Only root may read it since Linux 5.10.
"""

import re
from pathlib import Path

from agents.hwmon import word
from agents.sample import Sample

METERS = frozenset({"cpu.energy_mj"})
_NJ_IN_UJ = 1000
_PACKAGE = re.compile(r"(intel-rapl:\d+)(:\d+)?")


def read(root: Path) -> list[Sample]:
    samples = []
    for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        zone = _PACKAGE.fullmatch(folder.name)
        name, value = word(folder / "name"), word(folder / "energy_uj")
        if zone is None or not value.isdigit() or not (name == "dram" or zone[2] is None):
            continue
        if zone[2]:
            name = f"{word(folder.parent / zone[1] / 'name')}/{name}"
        if name.startswith("package-"):
            turn = word(folder / "max_energy_range_uj")
            wrap = int(turn) + 1 if turn.isdigit() else 0
            samples.append(
                Sample("cpu.energy_mj", name, int(value), folder.name, wrap=wrap, unit=_NJ_IN_UJ)
            )
    return samples
