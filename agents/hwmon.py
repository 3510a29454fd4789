"""Energy of the whole machine, from what hwmon says of its supplies. No arithmetic across readings.

What feeds the machine counts, and nothing inside it: ACPI's power meter, else the inputs of PMBus
supplies (their label begins with "pin"). Where a driver counts microjoules these are read; where it
shows microwatts they are a level that is integrated.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from agents.sample import Sample, resource_name

METERS = frozenset({"machine.energy_mj"})
_LABEL = re.compile(r"power(\d+)_label")
_NJ_IN_UJ = 1000


def read(root: Path) -> list[Sample]:
    """Under the names of bus and slot: hwmon's own numbers change from boot to boot."""
    folders = sorted((root / "sys/class/hwmon").glob("hwmon*"))
    meters = [(one, 1) for one in folders if word(one / "name") == "power_meter"]
    feeds = meters or [(one, channel) for one in folders for channel in _inputs(one)]
    samples: list[Sample] = []
    for folder, channel in feeds:
        if word(folder / f"power{channel}_is_battery") in ("", "0"):
            device = (folder / "device").resolve().name
            name = f"{word(folder / 'name')} {device} {channel}"
            samples += energy("machine.energy_mj", resource_name(name.encode()), folder, channel)
    return samples


def energy(meter: str, resource: str, folder: Path, channel: int) -> Iterator[Sample]:
    """What one channel of a sensor took: nothing where it says nothing."""
    counted = word(folder / f"energy{channel}_input")
    if counted.isdigit():
        yield Sample(meter, resource, int(counted), f"{resource} energy", unit=_NJ_IN_UJ)
        return
    for kind in ("average", "input"):
        level = word(folder / f"power{channel}_{kind}")
        if level.isdigit():
            yield Sample(meter, resource, int(level), f"{resource} power", level=True)
            return


def word(path: Path) -> str:
    """Empty where there is no such file, or the driver does not answer."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _inputs(folder: Path) -> Iterator[int]:
    for file in sorted(folder.glob("power*_label")):
        channel = _LABEL.fullmatch(file.name)
        if channel and word(file).startswith("pin"):
            yield int(channel[1])
