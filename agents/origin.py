"""Which origin a starting agent reports under. Pure: what was saved, the first reading and a new id
are arguments.

The same origin goes on only where its counters can: same server, same boot, and a boot-time clock
that has not gone back (a machine restored from memory shows that). After a boot the kernel's
counters are zero, so the new origin's counters are the kernel's; where the state is lost within a
boot nobody knows what was already reported, so the new origin starts from the present values.
"""

from dataclasses import dataclass

from agents.integrate import Origin, from_boot, from_now, report
from agents.sample import Reading
from schemas.report import Report


@dataclass(frozen=True, slots=True)
class Start:
    """Where counting begins, one sentence that says so, and what a reboot may have kept from being
    sent.
    """

    origin: Origin
    said: str
    unsent: Report | None = None


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
        unsent = report(saved) if saved.seq else None
        return Start(from_boot(server, boot_id, new_id, reading), said, unsent)
    if saved.at_up_ms > reading.at_up_ms:
        said = (
            f"new origin {new_id}: the state is of this boot's future, as after a restored snapshot"
        )
        return Start(from_now(server, boot_id, new_id, reading), said)
    return Start(saved, f"origin {saved.origin} goes on after report {saved.seq}")
