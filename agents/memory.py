"""Used memory, from /proc/meminfo: what could not be given to a program. No arithmetic across
readings.
"""

from pathlib import Path

from agents.sample import Sample

METERS = frozenset({"memory.used_mib_s"})
_KIB = 1024
_FREE_BEFORE_3_14 = ("MemFree", "Buffers", "Cached")


def read(root: Path) -> list[Sample]:
    """Bytes. MemAvailable is from Linux 3.14 on, and in RHEL 7."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        said = {name: int(rest.split()[0]) for name, _, rest in (s.partition(":") for s in lines)}
        total = said["MemTotal"]
        free = said.get("MemAvailable", sum(said.get(name, 0) for name in _FREE_BEFORE_3_14))
    except (OSError, UnicodeDecodeError, ValueError, IndexError, KeyError):
        return []
    return [Sample("memory.used_mib_s", "", max(0, total - free) * _KIB)]
