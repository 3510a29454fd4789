"""Memory, energy and errors of an NVIDIA GPU. What its driver does not offer is left out.

Energy and errors are the driver's counters since it was loaded: a driver that is loaded again
starts them at zero. Xid errors are events, counted here: from zero in each run of the agent.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from agents.nvml import Handle, Nvml, NvmlError
from agents.sample import Sample

_NJ_IN_MJ = 10**6
_EVENTS_MAX = 100
"""Taken at one look; what is more waits in the driver's queue."""


def memory(nvml: Nvml, handle: Handle, uuid: str) -> Iterator[Sample]:
    with suppress(NvmlError):
        yield Sample("gpu.memory_mib_s", uuid, nvml.memory_used(handle), uuid)


def health(nvml: Nvml, handle: Handle, uuid: str) -> Iterator[Sample]:
    with suppress(NvmlError):
        yield Sample("gpu.energy_mj", uuid, nvml.energy_mj(handle), uuid, unit=_NJ_IN_MJ)
    with suppress(NvmlError):
        yield Sample("gpu.ecc_errors", uuid, nvml.ecc_errors(handle), uuid)


class Xids:
    """The driver's critical events of all GPUs, by UUID."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def open(self, nvml: Nvml, count: int) -> None:
        """After each loading of the driver. A GPU that offers no events has none."""
        handles = []
        for index in range(count):
            with suppress(NvmlError):
                handles.append(nvml.handle(index))
        with suppress(NvmlError):
            nvml.watch(handles)

    def read(self, nvml: Nvml, uuid: str) -> Iterator[Sample]:
        if not nvml.watches:
            return
        for _ in range(_EVENTS_MAX):
            try:
                name = nvml.uuid(nvml.event())
            except NvmlError:  # none waits
                break
            self._seen[name] += 1
        yield Sample("gpu.xid_errors", uuid, self._seen[uuid], uuid)
