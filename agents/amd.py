"""Utilisation, memory and energy of AMD accelerators, from what amdgpu shows in sysfs. No
arithmetic across readings.
"""

from pathlib import Path

from agents import hwmon
from agents.sample import Sample, resource_name


def read(root: Path) -> list[Sample]:
    """A card is known by its ``unique_id``, an older one without by its place on the bus."""
    samples = []
    for card in sorted((root / "sys/class/drm").glob("card*")):
        percent = _number(card / "device/gpu_busy_percent")
        if percent is None or percent > 100:
            continue
        used = _number(card / "device/mem_info_vram_used")
        uuid = resource_name(f"AMD-{_name(card)}".encode())
        samples.append(Sample("gpu.busy_ms", uuid, percent, uuid))
        if used is not None:
            samples.append(Sample("gpu.memory_mib_s", uuid, used, uuid))
        for folder in sorted((card / "device/hwmon").glob("hwmon*")):
            samples += hwmon.energy("gpu.energy_mj", uuid, folder, 1)
    return samples


def _name(card: Path) -> str:
    try:
        return (card / "device/unique_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return (card / "device").resolve().name


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
