"""Use, allocation and health of NVIDIA GPUs through NVML, and AMD's through sysfs. No arithmetic
across readings.

NVML is loaded only where a driver is. Its utilisation covers no more than the last second, so these
meters are read more often than reports are sent. A GPU in MIG mode has no utilisation of its own;
its instances are metered by allocation and memory, each under its own UUID. One GPU's error leaves
out that GPU, for that reading; one that is gone though its driver is there is shown as lost.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents import amd
from agents.bounded import Bounded, HangsError
from agents.gpu_health import Xids, health, memory
from agents.sample import Sample

METERS = frozenset(
    {"gpu.busy_ms", "gpu.alloc_ms", "gpu.memory_mib_s", "gpu.energy_mj"}
    | {"gpu.ecc_errors", "gpu.xid_errors", "gpu.lost_ms"}
)

TIMEOUT_S = 5.0
"""A look at eight GPUs takes some milliseconds; the first, of a driver asleep, seconds."""
RETRY_MS = 60_000
"""How long a driver that does not answer is left alone: loading NVML costs some milliseconds."""


GPU_IS_LOST = 15
"""NVML_ERROR_GPU_IS_LOST of nvml.h."""
Nvml = Any
"""The module ``pynvml``: it carries no types."""


class Gpus:
    """The GPUs of this machine, as far as NVML answers; the driver may come and go while the agent
    runs.
    """

    def __init__(
        self, root: Path, library: Nvml | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._driver = root / "proc/driver/nvidia"
        self._library = library
        self._open = False
        self._retry_up_ms = 0
        self._root = root
        self._bounded = Bounded[list[Sample]](timeout_s)
        self._known: set[str] = set()
        """The GPUs that have answered since the driver was loaded."""
        self._xids = Xids()
        self._said = "no NVIDIA GPU found: gpu.busy_ms and gpu.alloc_ms are not metered"
        self._hangs = False

    @property
    def said(self) -> str:
        """What there is to say about GPUs; changes when it changes."""
        return "NVML hangs: GPUs are not metered until it answers" if self._hangs else self._said

    @property
    def present(self) -> bool:
        return self._open or bool(self._known) or bool(amd.read(self._root))

    def read(self, up_ms: int) -> list[Sample]:
        """A GPU that has answered before and does not now is shown as lost, however it fails."""
        samples: list[Sample] = []
        if not self._driver.exists():
            self._known.clear()
        if self._open or self._driver.exists():
            try:
                samples = self._bounded(lambda: self._nvidia(up_ms))
                self._hangs = False
            except HangsError:
                self._hangs = True
        here = {sample.resource for sample in samples if sample.meter == "gpu.lost_ms"}
        lost = [Sample("gpu.lost_ms", uuid, 1, uuid) for uuid in sorted(self._known - here)]
        self._known |= here
        return samples + lost + amd.read(self._root)

    def _nvidia(self, up_ms: int) -> list[Sample]:
        if not self._open and not self._opened(up_ms):
            return []
        nvml = self._nvml()
        try:
            count = int(nvml.nvmlDeviceGetCount())
            samples = [s for index in range(count) for s in _gpu(nvml, index, self._xids)]
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
        self._xids.open(nvml, count)
        self._said = f"metering {count} NVIDIA GPU{'' if count == 1 else 's'}"
        return True

    def _close(self, said: str, up_ms: int) -> None:
        """Forget the driver for a while; an open handle would also keep it from being unloaded."""
        if self._open:
            nvml = self._nvml()
            with suppress(nvml.NVMLError):  # it may be gone: that is why it is being closed
                nvml.nvmlShutdown()
        self._open = False
        self._retry_up_ms = up_ms + RETRY_MS
        self._said = said

    def _nvml(self) -> Nvml:
        if self._library is None:
            import pynvml  # noqa: PLC0415  # 9 MB that a machine without GPUs never pays for

            self._library = pynvml
        return self._library


def _gpu(nvml: Nvml, index: int, xids: Xids) -> Iterator[Sample]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
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


def _lost(nvml: Nvml, handle: Any) -> bool:
    """Fallen off the bus: the handle and the UUID may still be remembered by the driver."""
    try:
        nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        return getattr(error, "value", None) == GPU_IS_LOST
    return False


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
