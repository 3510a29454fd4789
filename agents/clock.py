"""The machine's clocks and the id of its boot. The only room of the agent that asks what time it
is.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import RackmeterError


@dataclass(frozen=True, slots=True)
class Now:
    """The wall clock, which people set, and the boot-time clock, which only runs on and counts
    suspend.
    """

    at_ms: int
    up_ms: int


def now() -> Now:
    return Now(time.time_ns() // 1_000_000, up_ms())


def up_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id(root: Path) -> str:
    """New at each boot of the kernel, the same for every process until the next."""
    path = root / "proc/sys/kernel/random/boot_id"
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RackmeterError(
            f"cannot tell one boot from the next: {path} is not readable ({error}); "
            "the agent needs a Linux /proc"
        ) from error
