"""One look at everything: the sources in turn, under one pair of clocks. Knows the rooms, not their
arithmetic.
"""

from dataclasses import dataclass
from pathlib import Path

from agents import block, cpu, gpu, hwmon, memory, network, power, pressure, storage
from agents.clock import Now
from agents.sample import Reading

PLAIN = (cpu, memory, pressure, block, power, hwmon)
"""Sources that need nothing but the tree they read."""
ALL_METERS = frozenset().union(
    *(source.METERS for source in PLAIN), network.METERS, storage.METERS, gpu.METERS
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read on this machine. ``root`` is ``/``, or a captured tree with ``proc`` and
    ``sys``.
    """

    root: Path
    network: network.Choice
    storage: storage.Choice
    gpus: gpu.Gpus


def read_all(sources: Sources, now: Now) -> Reading:
    """The NICs first: what this reading itself causes comes after them."""
    samples, serial_hi = network.read(sources.root, sources.network)
    for source in PLAIN:
        samples += source.read(sources.root)
    samples += sources.gpus.read(now.up_ms)
    samples += storage.read(sources.root, sources.storage)
    return Reading(now.at_ms, now.up_ms, tuple(samples), ALL_METERS, serial_hi)


def read_levels(sources: Sources, now: Now) -> Reading:
    """What must be looked at more often than reports are sent."""
    samples = (*sources.gpus.read(now.up_ms), *hwmon.read(sources.root))
    return Reading(now.at_ms, now.up_ms, samples, gpu.METERS | hwmon.METERS)
