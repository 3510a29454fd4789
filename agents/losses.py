"""What the spool lost, as counters like any other: the provider sees them where usage is seen, and
no catalogue can bill them. Pure.

No loss is of a total: reports that gave way, and bytes that could not be read, said *when*.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from agents.integrate import Origin
from agents.sample import Reading, Sample

DROPPED: Final = "agent.spool_dropped_reports"
LOST: Final = "agent.spool_lost_bytes"
LOSSES: Final = (DROPPED, LOST)


def counted_before(origin: Origin) -> dict[str, int]:
    """Where an earlier run of the agent left off."""
    return {meter: mark.value for (meter, _), mark in origin.marks.items() if meter in LOSSES}


def with_losses(reading: Reading, before: Mapping[str, int], dropped: int, lost: int) -> Reading:
    """``dropped`` reports and ``lost`` bytes of this run. A series begins with the first loss."""
    values = {DROPPED: before.get(DROPPED, 0) + dropped, LOST: before.get(LOST, 0) + lost}
    samples = [
        Sample(meter, "", value, serial=sys.maxsize) for meter, value in values.items() if value
    ]
    return replace(
        reading, samples=(*reading.samples, *samples), meters=reading.meters | values.keys()
    )
