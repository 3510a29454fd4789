"""Utilisation and allocation of NVIDIA GPUs through NVML. No arithmetic across readings.

NVML is loaded only where a driver is. Its utilisation covers no more than the last second, so these
meters are read more often than reports are sent. A GPU in MIG mode has no utilisation of its own;
its instances are metered by allocation, each under its own UUID. One GPU's error leaves out that
GPU, for that reading.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents.sample import Sample

METERS = frozenset({"gpu.busy_ms", "gpu.alloc_ms"})

RETRY_MS = 60_000
"""How long a driver that does not answer is left alone: loading NVML costs some milliseconds."""


Nvml = Any
"""The module ``pynvml``: it carries no types."""


class Gpus:
    """The GPUs of this machine, as far as NVML answers; the driver may come and go while the agent
    runs.
    """

    def __init__(self, root: Path, library: Nvml | None = None) -> None:
        self._driver = root / "proc/driver/nvidia"
        self._library = library
        self._open = False
        self._retry_up_ms = 0
        self.said = "no NVIDIA GPU found: gpu.busy_ms and gpu.alloc_ms are not metered"
        """What there is to say about GPUs; changes when it changes."""

    @property
    def present(self) -> bool:
        return self._open

    def read(self, up_ms: int) -> list[Sample]:
        if not self._open and not self._opened(up_ms):
            return []
        nvml = self._nvml()
        try:
            count = int(nvml.nvmlDeviceGetCount())
            samples = [sample for index in range(count) for sample in _gpu(nvml, index)]
        except nvml.NVMLError as error:
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
            nvml = self._nvml()
        except ImportError as error:
            self._close(f"an NVIDIA driver is loaded, but NVML is not installed ({error})", up_ms)
            return False
        try:
            nvml.nvmlInit()
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            self._close(f"an NVIDIA driver is loaded, but NVML does not answer ({error})", up_ms)
            return False
        self._open = True
        self.said = f"metering {count} NVIDIA GPU{'' if count == 1 else 's'}"
        return True

    def _close(self, said: str, up_ms: int) -> None:
        """Forget the driver for a while; an open handle would also keep it from being unloaded."""
        if self._open:
            nvml = self._nvml()
            with suppress(nvml.NVMLError):  # it may be gone: that is why it is being closed
                nvml.nvmlShutdown()
        self._open = False
        self._retry_up_ms = up_ms + RETRY_MS
        self.said = said

    def _nvml(self) -> Nvml:
        if self._library is None:
            import pynvml  # noqa: PLC0415  # 9 MB that a machine without GPUs never pays for

            self._library = pynvml
        return self._library


def _gpu(nvml: Nvml, index: int) -> Iterator[Sample]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return
    instances = list(_mig_instances(nvml, handle))
    for instance, instance_uuid in instances:
        yield from _allocated(nvml, instance, instance_uuid)
    if instances:
        return
    yield from _busy(nvml, handle, uuid)
    yield from _allocated(nvml, handle, uuid)


def _busy(nvml: Nvml, handle: Any, uuid: str) -> Iterator[Sample]:
    try:
        percent = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:
        return
    if 0 <= percent <= 100:
        yield Sample("gpu.busy_ms", uuid, percent, uuid)


def _allocated(nvml: Nvml, handle: Any, uuid: str) -> Iterator[Sample]:
    try:
        held = bool(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except nvml.NVMLError:
        return
    yield Sample("gpu.alloc_ms", uuid, int(held), uuid)


def _mig_instances(nvml: Nvml, handle: Any) -> Iterator[tuple[Any, str]]:
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return
        most = int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    except nvml.NVMLError:
        return
    for index in range(most):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            yield instance, _text(nvml.nvmlDeviceGetUUID(instance))
        except nvml.NVMLError:
            continue  # slots are numbered to the most possible; empty ones answer "not found"


def _text(uuid: str | bytes) -> str:
    """Older NVML bindings give bytes."""
    return uuid.decode("ascii", "replace") if isinstance(uuid, bytes) else uuid
