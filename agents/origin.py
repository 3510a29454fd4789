"""Which origin a starting agent reports under. Pure: what was saved, the first reading and a new id
are arguments.

The same origin goes on only where its counters can: same server, same boot, and a boot-time clock
that has not gone back (a machine restored from memory shows that). After a boot the kernel's
counters are zero, so the new origin's counters are the kernel's; where the state is lost within a
boot nobody knows what was already reported, so the new origin starts from the present values.

The last report of an origin that ended shows all that the broker may not have of it, so the new
origin remembers it until it is delivered.
"""

from dataclasses import dataclass, replace
from typing import Final

from agents.integrate import Origin, from_boot, from_now, report
from agents.sample import Reading

FORMER_MAX: Final = 50
"""Earlier origins whose last report may wait for the broker: the meter takes 60 origins an hour."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where counting begins, and one sentence that says so."""

    origin: Origin
    said: str


def start(
    saved: Origin | None,
    reading: Reading,
    server: str,
    boot_id: str,
    new_id: str,
    why_lost: str = "",
) -> Start:
    if saved is None:
        because = why_lost or "there is no earlier state"
        return Start(from_now(server, boot_id, new_id, reading), f"new origin {new_id}: {because}")
    if saved.server != server:
        # Under another name the same sums would be billed twice.
        said = (
            f"new origin {new_id}: the state belongs to server {saved.server!r}, this is {server!r}"
        )
        return Start(from_now(server, boot_id, new_id, reading), said)
    if saved.boot_id != boot_id:
        said = f"new origin {new_id}: the machine has booted since; counting from boot"
        return _after(saved, from_boot(server, boot_id, new_id, reading), said)
    if saved.at_up_ms > reading.at_up_ms:
        said = (
            f"new origin {new_id}: the state is of this boot's future, as after a restored snapshot"
        )
        return _after(saved, from_now(server, boot_id, new_id, reading), said)
    return Start(saved, f"origin {saved.origin} goes on after report {saved.seq}")


def _after(saved: Origin, begun: Origin, said: str) -> Start:
    former = (*saved.former, report(saved)) if saved.seq else saved.former
    if len(former) > FORMER_MAX:
        said += f"; the broker was away for {FORMER_MAX} origins, and the oldest gives way"
    return Start(replace(begun, former=former[-FORMER_MAX:], names=saved.names), said)
