"""Which servers a simulated fleet has and how each one lives. Everything follows from a seed.

Integers only, so that the same seed gives the same month on every machine: no sine, no float.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rackmeter.fleet.adversity import Adversity

Int64s = npt.NDArray[np.int64]

INTERVAL_MS: Final = 300_000
LEAD_SLOTS_MAX: Final = 12
"""Some servers are older than the period: up to an hour of readings before it."""
SETTLED_SLOTS: Final = 96
"""A life shorter than this (eight hours) has no reboot, no silence and no new network card."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """A fleet over the period ``[start_ms, end_ms)``; both are multiples of the interval."""

    seed: int
    servers: int
    start_ms: int
    end_ms: int
    interval_ms: int = INTERVAL_MS
    mishaps: int = 1
    """How often reports are lost, repeated or overtaken: 0 never, 1 as usual, 10 ten times that."""
    adversities: tuple[Adversity, ...] = ()
    """What else goes wrong; only a log has these, see ``log``."""

    def __post_init__(self) -> None:
        if self.start_ms % self.interval_ms or self.end_ms % self.interval_ms:
            raise ValueError("the period must start and end on an interval")
        if self.start_ms >= self.end_ms or self.servers < 1:
            raise ValueError("a fleet has at least one server and one interval")

    @property
    def slots(self) -> int:
        """Intervals in the period."""
        return (self.end_ms - self.start_ms) // self.interval_ms

    def rng(self, *stream: int) -> np.random.Generator:
        """Independent random numbers for each use, whatever the others draw."""
        return np.random.Generator(np.random.PCG64([self.seed, *stream]))


@dataclass(frozen=True, slots=True)
class Machine:
    """One server: its hardware, its customer's habits, and the events of its life."""

    index: int
    id: str
    cores: int
    nics: tuple[str, ...]
    mounts: tuple[str, ...]
    gpus: tuple[str, ...]
    large: bool
    """Rented at the larger plan."""
    heavy: bool
    """Moves more than 20 TB a month."""
    lead_slots: int
    """Intervals it lived before the period."""
    phase_ms: int
    """Its readings are taken this long after each window edge."""
    reboot: bool = False
    new_nic: bool = False
    silent: bool = False


def machines(plan: FleetPlan) -> list[Machine]:
    """All servers of the plan. At least one of them is heavy, and meets each kind of event."""
    rng = plan.rng(1)
    heavy = _some(rng, plan.servers, one_in=8)
    eventful = plan.mishaps > 0 and plan.slots >= SETTLED_SLOTS
    reboot, new_nic, silent = (
        _some(rng, plan.servers, one_in=12) if eventful else frozenset[int]() for _ in range(3)
    )
    digits = max(3, len(str(plan.servers)))
    return [
        _machine(plan, index, f"ax-{index + 1:0{digits}d}", heavy, (reboot, new_nic, silent))
        for index in range(plan.servers)
    ]


def _machine(
    plan: FleetPlan,
    index: int,
    server: str,
    heavy: frozenset[int],
    events: tuple[frozenset[int], frozenset[int], frozenset[int]],
) -> Machine:
    rng = plan.rng(2, index)
    gpus = 8 if index % 16 == 15 else 0
    large = gpus > 0 or index % 4 == 3
    reboot, new_nic, silent = (index in chosen for chosen in events)
    return Machine(
        index=index,
        id=server,
        cores=128 if gpus else 32 if large else 8,
        nics=("eth0", "eth1") if new_nic else ("eth0",),
        mounts=("/", "/srv") if large else ("/",),
        gpus=tuple(_gpu_uuid(rng) for _ in range(gpus)),
        large=large,
        heavy=index in heavy,
        lead_slots=int(rng.integers(1, LEAD_SLOTS_MAX + 1)) if rng.integers(0, 3) == 0 else 0,
        # Two of three agents read on the edge of a window; the rest started at an odd moment.
        phase_ms=int(rng.integers(1_000, plan.interval_ms)) if rng.integers(0, 3) == 0 else 0,
        reboot=reboot,
        new_nic=new_nic,
        silent=silent,
    )


def _some(rng: np.random.Generator, servers: int, *, one_in: int) -> frozenset[int]:
    count = max(1, servers // one_in)
    return frozenset(int(index) for index in rng.permutation(servers)[:count])


def hex_id(rng: np.random.Generator) -> str:
    """128 random bits as 32 hexadecimal digits."""
    return bytes(rng.integers(0, 256, 16, np.uint8)).hex()


def _gpu_uuid(rng: np.random.Generator) -> str:
    digits = hex_id(rng)
    cuts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "GPU-" + "-".join(cuts)
