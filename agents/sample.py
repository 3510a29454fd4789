"""The words of a reading: what the sources saw, before any arithmetic. Standard library only; no
clock, no IO.

A source names a *device*: the thing that counts, whose raw value may be compared with its own
earlier one. The *resource* is what the customer knows it by. A NIC that is renamed keeps its
device, a NIC that is replaced under the same name does not. The *card* is what outlives a boot.
"""

import hashlib
from dataclasses import dataclass

from schemas.report import NAME_CHARS_MAX

Series = tuple[str, str]
"""(meter, resource)."""

Card = tuple[str, str]
"""What a piece of hardware is told by: its own address, and driver and slot. Either may be empty.
"""
NO_CARD: Card = ("", "")


@dataclass(frozen=True, slots=True)
class Sample:
    """One raw value. ``serial`` orders devices by birth (a NIC's ifindex); 0 for what never comes
    or goes.
    """

    meter: str
    resource: str
    value: int
    device: str = ""
    serial: int = 0
    bits: int = 64
    """Width of the source's own counter: only a 32-bit one can wrap."""
    wrap: int = 0
    """What the source's own counter comes to before it starts again at zero, where that is known
    and no power of two.
    """
    unit: int = 1
    """Fine units of the meter (agents.integrate.RULES) in one of a counted ``value``."""
    level: bool = False
    """It is a level, in fine units a millisecond, of a meter that others count: power, of energy.
    """
    card: Card = NO_CARD
    """Whose counter it is, where names may change hands."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything seen at one moment. ``meters`` names what was looked at: a series of these not
    seen is gone.
    """

    at_ms: int
    at_up_ms: int
    samples: tuple[Sample, ...]
    meters: frozenset[str]
    serial_hi: int = 0
    """The youngest device in the machine, metered or not; a higher one seen later was born after
    this.
    """


def resource_name(raw: bytes) -> str:
    """A name every reader of the wire accepts: valid Unicode, no control characters, not too long.

    Mount points are bytes and may be anything; one that the wire refuses would refuse the whole
    report.
    """
    name = raw.decode("utf-8", "backslashreplace")
    name = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in name)
    if len(name) <= NAME_CHARS_MAX:
        return name
    return f"{name[: NAME_CHARS_MAX - 17]}~{hashlib.sha256(raw).hexdigest()[:16]}"
