"""Memory, energy and errors of an NVIDIA GPU. What its driver does not offer is left out.

Energy and errors are the driver's counters since it was loaded: a driver that is loaded again
starts them at zero. Xid errors are events, counted here: from zero in each run of the agent.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from agents.sample import Sample

Nvml = Any
_UNCORRECTED, _SINCE_LOADED = 1, 0
"""NVML_MEMORY_ERROR_TYPE_UNCORRECTED and NVML_VOLATILE_ECC of nvml.h."""
_XID_CRITICAL = 8
"""nvmlEventTypeXidCriticalError of nvml.h."""
_EVENTS_MAX = 100
"""Taken at one look; what is more waits in the driver's queue."""


def memory(nvml: Nvml, handle: Any, uuid: str) -> Iterator[Sample]:
    try:
        used = int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
    except nvml.NVMLError:
        return
    yield Sample("gpu.memory_mib_s", uuid, used, uuid)


def health(nvml: Nvml, handle: Any, uuid: str) -> Iterator[Sample]:
    with suppress(nvml.NVMLError):
        energy = int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        yield Sample("gpu.energy_mj", uuid, energy, uuid)
    with suppress(nvml.NVMLError):
        errors = int(nvml.nvmlDeviceGetTotalEccErrors(handle, _UNCORRECTED, _SINCE_LOADED))
        yield Sample("gpu.ecc_errors", uuid, errors, uuid)


class Xids:
    """The driver's critical events of all GPUs, by UUID."""

    def __init__(self) -> None:
        self._events: Any = None
        self._seen: Counter[str] = Counter()

    def open(self, nvml: Nvml, count: int) -> None:
        """After each loading of the driver. A GPU that offers no events has none."""
        self._events = None
        with suppress(nvml.NVMLError):
            events = nvml.nvmlEventSetCreate()
            for index in range(count):
                with suppress(nvml.NVMLError):
                    handle = nvml.nvmlDeviceGetHandleByIndex(index)
                    nvml.nvmlDeviceRegisterEvents(handle, _XID_CRITICAL, events)
            self._events = events

    def read(self, nvml: Nvml, uuid: str) -> Iterator[Sample]:
        if self._events is None:
            return
        for _ in range(_EVENTS_MAX):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                name = nvml.nvmlDeviceGetUUID(event.device)
            except nvml.NVMLError:  # none waits
                break
            self._seen[name.decode() if isinstance(name, bytes) else name] += 1
        yield Sample("gpu.xid_errors", uuid, self._seen[uuid], uuid)
