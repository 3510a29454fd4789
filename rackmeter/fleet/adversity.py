"""What can go wrong with a fleet's reports, as words a plan switches on. Pure.

``adversities=()`` is an ordinary month: a lost report here, one sent twice there (``mishaps``).
"""

from enum import StrEnum
from typing import Final


class Adversity(StrEnum):
    """One family each; a simulated log has every member of the families that are switched on."""

    REPLAY = "replay"
    """The whole topic comes again, three times."""
    CONFLICT = "conflict"
    """Broken contracts: one id with other contents, counters that fall, impossible gains."""
    RETRY = "retry"
    """An agent sends again what it does not know was delivered, stamped anew."""
    DISORDER = "disorder"
    """Shuffled within a bound, wholly shuffled, hours late."""
    CLOCK = "clock"
    """Wall clocks that lie; the boot clock is right."""
    COUNTER = "counter"
    """Kernels that reset, wrap and lose their counters below the real agent."""
    POISON = "poison"
    """Messages that are no reports, or nobody's."""
    FLOOD = "flood"
    """So much of it that little else arrives."""
    MIXED = "mixed"
    """Agents of several versions: other spellings, unknown fields, an unknown version."""


ALL: Final = tuple(Adversity)
