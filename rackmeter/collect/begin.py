"""Which origin a collector goes on with. Pure: what was saved, the reading and an id are arguments.

What it reads does not start anew when the collector's own machine boots: unlike a server's agent it
then begins an origin at its last reading, and what the counters gained since is the first value.
"""

from dataclasses import replace

from agents.integrate import Mark, Origin, from_now, report
from agents.origin import FORMER_MAX
from agents.sample import Reading


def begin(saved: Origin | None, reading: Reading, server: str, boot_id: str, new_id: str) -> Origin:
    """``reading`` is not counted in yet."""
    if saved is None or saved.server != server:
        return from_now(server, boot_id, new_id, reading)
    if saved.boot_id == boot_id and saved.at_up_ms <= reading.at_up_ms:
        return saved
    since_ms = min(saved.at_ms, reading.at_ms)
    up_ms = reading.at_up_ms - (reading.at_ms - since_ms)
    marks = {
        device: Mark(mark.value, mark.up_ms - saved.at_up_ms + up_ms)
        for device, mark in saved.marks.items()
    }
    former = (*saved.former, report(saved)) if saved.seq else saved.former
    begun = Origin(server, boot_id, new_id, since_ms, 0, since_ms, up_ms, saved.serial_hi)
    return replace(begun, marks=marks, names=saved.names, former=former[-FORMER_MAX:])
