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


# Bounds: 800 Gbit/s is the fastest NIC sold (ConnectX-8); 2,048 threads the largest single machine
# listed by SPEC CPU2017; 2**31 MiB = 2 PiB one file system; a GPU is busy at most all of the time.
_ALL = (
    Meter("cpu.busy_ms", "ms", 2_048_000, "system.cpu.time", "busy time of all processors"),
    Meter("net.rx_bytes", "By", 100_000_000_000, "system.network.io", "bytes received by a NIC"),
    Meter("net.tx_bytes", "By", 100_000_000_000, "system.network.io", "bytes sent by a NIC"),
    Meter("disk.used_mib_s", "MiBy.s", 2**31, "system.filesystem.usage", "used space over time"),
    Meter("gpu.busy_ms", "ms", 1_000, "hw.gpu.utilization", "time a GPU was executing kernels"),
    Meter("gpu.alloc_ms", "ms", 1_000, "hw.gpu.utilization", "time a GPU was held by a process"),
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
