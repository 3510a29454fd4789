"""Use, allocation and health of NVIDIA GPUs, through their driver's library. No arithmetic across
readings.

A GPU in MIG mode has no utilisation of its own; its instances are metered by allocation and memory,
each under its own UUID. One GPU's error leaves out that GPU, for that reading.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agents.gpu_health import Xids, health, memory
from agents.nvml import GPU_IS_LOST, Handle, Nvml, NvmlError
from agents.sample import Sample

RETRY_MS = 60_000
"""How long a driver that does not answer is left alone: loading NVML costs some milliseconds."""


class Nvidia:
    """The driver, as far as it answers; it may come and go while the agent runs."""

    def __init__(self, driver: Path, nvml: Nvml) -> None:
        self._driver = driver
        self._nvml = nvml
        self._retry_up_ms = 0
        self._xids = Xids()
        self._said = ""
        self.open = False

    @property
    def said(self) -> str:
        missing = ", ".join(sorted(self._nvml.missing)) if self.open else ""
        return f"{self._said}; the driver is too old for {missing}" if missing else self._said

    def read(self, up_ms: int) -> list[Sample]:
        if not self.open and not self._opened(up_ms):
            return []
        try:
            count = self._nvml.count()
            samples = [s for index in range(count) for s in _gpu(self._nvml, index, self._xids)]
        except NvmlError as error:
            self._close(
                f"NVML stopped answering ({error}): GPUs are not metered until it does", up_ms
            )
            return []
        if count and not samples:
            self._close(f"none of {count} GPUs answers: they are not metered until one does", up_ms)
        return samples

    def _opened(self, up_ms: int) -> bool:
        if not self._driver.exists() or up_ms < self._retry_up_ms:
            return False
        try:
            self._nvml.open()
            count = self._nvml.count()
        except NvmlError as error:
            self._close(f"an NVIDIA driver is loaded, but NVML does not answer ({error})", up_ms)
            return False
        self.open = True
        self._xids.open(self._nvml, count)
        self._said = f"metering {count} NVIDIA GPU{'' if count == 1 else 's'}"
        return True

    def _close(self, said: str, up_ms: int) -> None:
        """Forget the driver for a while; an open handle would also keep it from being unloaded."""
        if self.open:
            with suppress(NvmlError):  # it may be gone: that is why it is being closed
                self._nvml.close()
        self.open = False
        self._retry_up_ms = up_ms + RETRY_MS
        self._said = said


def _gpu(nvml: Nvml, index: int, xids: Xids) -> Iterator[Sample]:
    try:
        handle = nvml.handle(index)
        uuid = nvml.uuid(handle)
    except NvmlError:
        return
    if _lost(nvml, handle):
        return
    yield Sample("gpu.lost_ms", uuid, 0, uuid)
    yield from health(nvml, handle, uuid)
    yield from xids.read(nvml, uuid)
    instances = list(_mig_instances(nvml, handle))
    for instance, instance_uuid in instances:
        yield from _allocated(nvml, instance, instance_uuid)
        yield from memory(nvml, instance, instance_uuid)
    if instances:
        return
    yield from _busy(nvml, handle, uuid)
    yield from _allocated(nvml, handle, uuid)
    yield from memory(nvml, handle, uuid)


def _lost(nvml: Nvml, handle: Handle) -> bool:
    """Fallen off the bus: the handle and the UUID may still be remembered by the driver."""
    try:
        nvml.memory_used(handle)
    except NvmlError as error:
        return error.code == GPU_IS_LOST
    return False


def _busy(nvml: Nvml, handle: Handle, uuid: str) -> Iterator[Sample]:
    with suppress(NvmlError):
        percent = nvml.busy_percent(handle)
        if percent <= 100:
            yield Sample("gpu.busy_ms", uuid, percent, uuid)


def _allocated(nvml: Nvml, handle: Handle, uuid: str) -> Iterator[Sample]:
    with suppress(NvmlError):
        yield Sample("gpu.alloc_ms", uuid, int(nvml.allocated(handle)), uuid)


def _mig_instances(nvml: Nvml, handle: Handle) -> Iterator[tuple[Handle, str]]:
    for instance in nvml.instances(handle):
        with suppress(NvmlError):
            yield instance, nvml.uuid(instance)
