"""Builders of readings, so that a test says only what matters to it."""

from typing import TypeVar

from hypothesis import strategies as st

from agents.integrate import Origin, from_boot, integrate, numbered
from agents.read import ALL_METERS
from agents.sample import Reading, Sample

Step = TypeVar("Step")
WALL_MS = 1_790_000_000_000
OBSERVED_MS = 15_000


def lives(steps: st.SearchStrategy[Step], most: int) -> st.SearchStrategy[list[Step]]:
    """Of any length alike: ``st.lists`` alone hardly ever draws more than ten."""
    return st.integers(0, most).flatmap(lambda n: st.lists(steps, min_size=n, max_size=n))


def nic(value: int, name: str = "eth0", ifindex: int = 2, bits: int = 64) -> Sample:
    return Sample("net.rx_bytes", name, value, str(ifindex), ifindex, bits)


def cpu(busy_ms: int) -> Sample:
    return Sample("cpu.busy_ms", "", busy_ms)


def disk(used_bytes: int, mount: str = "/") -> Sample:
    return Sample("disk.used_mib_s", mount, used_bytes, mount)


def gpu(percent: int, uuid: str = "GPU-1") -> Sample:
    return Sample("gpu.busy_ms", uuid, percent, uuid)


def held(is_held: int, uuid: str = "GPU-1") -> Sample:
    return Sample("gpu.alloc_ms", uuid, is_held, uuid)


def reading(up_ms: int, *samples: Sample, others_hi: int = 0) -> Reading:
    """A complete reading; ``others_hi`` is the ifindex of a younger NIC that is not metered."""
    serial_hi = max([others_hi, *(sample.serial for sample in samples)])
    return Reading(WALL_MS + up_ms, up_ms, samples, ALL_METERS, serial_hi)


def counted(*readings: Reading, origin: Origin | None = None) -> Origin:
    """The origin after these readings, each of them a report; from boot unless told otherwise."""
    origin = origin or from_boot("s1", "boot-1", "o1", readings[0])
    for one in readings:
        origin, _ = integrate(origin, one, OBSERVED_MS)
        origin = numbered(origin, one)
    return origin
