"""The meters: name, base unit, physical bound and OpenTelemetry name of what is counted."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meter:
    """One kind of counter; a series gains at most ``per_second_max`` base units a second."""

    name: str
    unit: str
    per_second_max: int
    otel: str
    description: str


# Bounds: 800 Gbit/s is the fastest NIC sold (ConnectX-8) and more than a disk reads; 2,048 threads
# and 64 TiB of memory the largest single machine listed by SPEC CPU2017; 2**31 MiB = 2 PiB one file
# system; 4 TiB of memory and 4 kW are beyond any GPU or socket, 1 MW beyond any rack, and beyond a
# counter of whole kilowatt-hours that is read each minute; a GPU is busy at most all the time.
_ALL = (
    Meter("cpu.busy_ms", "ms", 2_048_000, "system.cpu.time", "busy time of all processors"),
    Meter("net.rx_bytes", "By", 100_000_000_000, "system.network.io", "bytes received by a NIC"),
    Meter("net.tx_bytes", "By", 100_000_000_000, "system.network.io", "bytes sent by a NIC"),
    Meter("disk.used_mib_s", "MiBy.s", 2**31, "system.filesystem.usage", "used space over time"),
    Meter("gpu.busy_ms", "ms", 1_000, "hw.gpu.utilization", "time a GPU was executing kernels"),
    Meter("gpu.alloc_ms", "ms", 1_000, "hw.gpu.utilization", "time a GPU was held by a process"),
    Meter("gpu.memory_mib_s", "MiBy.s", 2**22, "hw.gpu.memory.usage", "used GPU memory over time"),
    Meter("gpu.energy_mj", "mJ", 4_000_000, "hw.energy", "energy a GPU took"),
    Meter("gpu.ecc_errors", "{error}", 2**20, "hw.errors", "memory errors a GPU could not correct"),
    Meter("gpu.xid_errors", "{error}", 2**20, "hw.errors", "critical errors of a GPU's driver"),
    Meter("gpu.lost_ms", "ms", 1_000, "hw.status", "time a GPU that was there did not answer"),
    Meter("cpu.mode_ms", "ms", 2_048_000, "system.cpu.time", "time of all processors by mode"),
    Meter("cpu.energy_mj", "mJ", 4_000_000, "hw.energy", "energy a processor or its memory took"),
    Meter(
        "machine.energy_mj", "mJ", 10**9, "hw.energy", "energy a machine took, by its own sensor"
    ),
    Meter(
        "chassis.energy_mj", "mJ", 10**9, "hw.energy", "energy a chassis took, by its controller"
    ),
    Meter("memory.used_mib_s", "MiBy.s", 2**26, "system.memory.usage", "used memory over time"),
    Meter("pressure.some_us", "us", 1_000_000, "system.psi.time", "time in which some work waited"),
    Meter("pressure.full_us", "us", 1_000_000, "system.psi.time", "time in which all work waited"),
    Meter("block.read_bytes", "By", 100_000_000_000, "system.disk.io", "bytes read from a disk"),
    Meter(
        "block.written_bytes", "By", 100_000_000_000, "system.disk.io", "bytes written to a disk"
    ),
    Meter("port.rx_bytes", "By", 100_000_000_000, "hw.network.io", "bytes received by a switch"),
    Meter("port.tx_bytes", "By", 100_000_000_000, "hw.network.io", "bytes sent by a switch"),
    Meter(
        "agent.spool_dropped_reports", "{report}", 2**20, "", "reports that a full spool gave up"
    ),
    Meter("agent.spool_lost_bytes", "By", 2**30, "", "bytes of a spool that could not be read"),
)

METERS: Final[dict[str, Meter]] = {meter.name: meter for meter in _ALL}

UNBOUNDED_PER_SECOND: Final = 2**62
"""The bound of a meter this version does not know: metered, not judged, billed only if a catalogue
names it.
"""

TIME_SLACK_MS: Final = 1_000
"""Added to the elapsed time before the bound is applied: readings of one report are not
simultaneous.
"""


def per_second_max(meter: str) -> int:
    known = METERS.get(meter)
    return known.per_second_max if known else UNBOUNDED_PER_SECOND
