"""The GPUs of this machine: NVIDIA's through their driver's library, AMD's through sysfs. No
arithmetic across readings.

Utilisation covers no more than the last second, so these meters are read more often than reports
are sent. A GPU that is gone though its driver is there is shown as lost.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from agents import amd
from agents.bounded import Bounded, HangsError
from agents.sample import Sample

if TYPE_CHECKING:
    from agents.nvidia import Nvidia
    from agents.nvml import Nvml

METERS = frozenset(
    {"gpu.busy_ms", "gpu.alloc_ms", "gpu.memory_mib_s", "gpu.energy_mj"}
    | {"gpu.ecc_errors", "gpu.xid_errors", "gpu.lost_ms"}
)

TIMEOUT_S = 5.0
"""A look at eight GPUs takes some milliseconds; the first, of a driver asleep, seconds."""


class Gpus:
    """NVIDIA's part is loaded where a driver is: a megabyte that no other machine pays for."""

    def __init__(
        self, root: Path, nvml: "Nvml | None" = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._driver = root / "proc/driver/nvidia"
        self._nvml = nvml
        self._nvidia: Nvidia | None = None
        self._root = root
        self._bounded = Bounded[list[Sample]](timeout_s)
        self._known: set[str] = set()
        """The GPUs that have answered since the driver was loaded."""
        self._hangs = False

    @property
    def said(self) -> str:
        """What there is to say about GPUs; changes when it changes."""
        if self._hangs:
            return "NVML hangs: GPUs are not metered until it answers"
        if self._nvidia is None:
            return "no NVIDIA GPU found: gpu.busy_ms and gpu.alloc_ms are not metered"
        return self._nvidia.said

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
                samples = self._bounded(lambda: self._look(up_ms))
                self._hangs = False
            except HangsError:
                self._hangs = True
        here = {sample.resource for sample in samples if sample.meter == "gpu.lost_ms"}
        lost = [Sample("gpu.lost_ms", uuid, 1, uuid) for uuid in sorted(self._known - here)]
        self._known |= here
        return samples + lost + amd.read(self._root)

    @property
    def _open(self) -> bool:
        return self._nvidia is not None and self._nvidia.open

    def _look(self, up_ms: int) -> list[Sample]:
        if self._nvidia is None:
            from agents.nvidia import Nvidia  # noqa: PLC0415 - with ctypes, a megabyte
            from agents.nvml import Nvml  # noqa: PLC0415

            self._nvidia = Nvidia(self._driver, self._nvml or Nvml())
        return self._nvidia.read(up_ms)
