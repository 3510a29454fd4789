"""When a port's 32-bit counters can be believed. Pure.

They turn at 2³² bytes. A difference says how often only where it cannot have been half of that
between two looks, at the port's own speed. Where it could, as after a silence, and where the switch
booted, a new stretch begins, and nothing is counted for what lies between.
"""

from typing import Final, NamedTuple

HALF_TURN_BITS: Final = 2**31 * 8


class Stretch(NamedTuple):
    """Looks that followed each other closely enough."""

    since_up_ms: int
    up_ms: int
    """Of the latest look."""
    uptime: int
    """The switch's own sysUpTime, in any unit."""
    mbit_s: int
    """The port's highest speed in these looks; it may be said as 0 while the link is down."""


def look_ms_max(mbit_s: int) -> int:
    """The longest time between two looks at a port of this speed; 0: its speed is not known."""
    return HALF_TURN_BITS // (mbit_s * 1000) if mbit_s > 0 else 0


def after(before: Stretch | None, up_ms: int, uptime: int, mbit_s: int) -> Stretch:
    """The stretch that a look at ``up_ms`` belongs to."""
    mbit_s = max(mbit_s, before.mbit_s) if before is not None else mbit_s
    goes_on = (
        before is not None
        and uptime >= before.uptime
        and up_ms - before.up_ms < look_ms_max(mbit_s)
    )
    since_up_ms = before.since_up_ms if before is not None and goes_on else up_ms
    return Stretch(since_up_ms, up_ms, uptime, mbit_s)
