"""A machine as its kernel shows it: raw counters that start anew, wrap and disappear. Pure.

Beside each raw value stands what really passed. A counter cannot show what passed between the last
look and its own end, so nothing passes then: every upheaval comes right after a look.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from agents.read import ALL_METERS
from agents.sample import Reading, Sample
from rackmeter.fleet.diary import Series

MOUNT: Final = "/srv"
_MIB_S: Final = 2**20 * 1000


@dataclass(slots=True)
class Card:
    """A network card; ``ifindex`` orders cards by when the kernel registered them."""

    ifindex: int
    bits: int
    rx: int
    tx: int
    noise: int = 0
    """Shown instead of both counters at the next look: a driver that reads before it is ready."""

    def samples(self, name: str) -> list[Sample]:
        shown = [self.noise or self.rx, self.noise or self.tx]
        return [
            Sample(meter, name, value, str(self.ifindex), self.ifindex, self.bits)
            for meter, value in zip(("net.rx_bytes", "net.tx_bytes"), shown, strict=True)
        ]


@dataclass(slots=True)
class Kernel:
    """One machine. ``run`` lets time and traffic pass, ``look`` is what an agent reads."""

    up_ms: int
    cards: dict[str, Card]
    boots: int = 1
    youngest: int = 2
    cpu_ms: int = 10**10
    cpu_dip_ms: int = 0
    """How much the processor time is shown too low, as some hypervisors correct it."""
    disk_bytes: int = 10 * 2**30
    mounted: bool = True
    held_bytes: int = 0
    """On the disk when the agent last wrote down what it saw: it stays so until the next time."""
    away: dict[str, Card] = field(default_factory=dict)
    """Cards that are moved out of sight and go on counting."""
    passed: Counter[Series] = field(default_factory=Counter)
    """Since the agent was installed."""
    watched: str = ""
    """The origin under which it did."""
    space: Counter[str] = field(default_factory=Counter)
    """Byte × ms by origin."""

    def run(self, took_ms: int, rx: int = 0, tx: int = 0, busy_ms: int = 0) -> None:
        """Let this long pass, with so much traffic on every card."""
        self.up_ms += took_ms
        for name, card in (*self.cards.items(), *self.away.items()):
            card.rx, card.tx = (card.rx + rx) % 2**card.bits, (card.tx + tx) % 2**card.bits
            self.passed["net.rx_bytes", name] += rx
            self.passed["net.tx_bytes", name] += tx
        self.cpu_ms += busy_ms
        self.passed["cpu.busy_ms", ""] += busy_ms
        self.space[self.watched] += self.held_bytes * took_ms

    def look(self, at_ms: int) -> Reading:
        """Everything the agent sees now."""
        samples = [Sample("cpu.busy_ms", "", self.cpu_ms - self.cpu_dip_ms)]
        for name, card in self.cards.items():
            samples += card.samples(name)
            card.noise = 0
        self.cpu_dip_ms = 0
        if self.mounted:
            samples.append(Sample("disk.used_mib_s", MOUNT, self.disk_bytes, MOUNT))
        return Reading(at_ms, self.up_ms, tuple(samples), ALL_METERS, self.youngest)

    def noted(self, origin: str) -> None:
        """What was seen last is written down."""
        self.watched, self.held_bytes = origin, self.disk_bytes if self.mounted else 0

    def forgotten(self) -> None:
        """Whoever knew the disk is gone; the next agent starts with its first look."""
        self.watched, self.held_bytes = "", 0

    def register(self, name: str, bits: int = 64) -> None:
        """A card is plugged in, or its driver is loaded again: it counts from zero."""
        self.youngest += 1
        self.cards[name] = Card(self.youngest, bits, 0, 0)

    def settle(self) -> None:
        """What is out of sight comes back, so that it is reported."""
        self.cards |= self.away
        self.away.clear()
        self.mounted = True

    def boot(self) -> None:
        """Everything counts from zero, the clock too."""
        self.boots, self.up_ms, self.youngest, self.cpu_ms = self.boots + 1, 0, 1, 0
        self.forgotten()
        for name, card in list(self.cards.items()):
            self.register(name, card.bits)

    def used(self) -> dict[Series, int]:
        """What every series has to come to. Space is billed in whole MiB·s of each origin."""
        space = sum(byte_ms // _MIB_S for byte_ms in self.space.values())
        return dict(self.passed) | {("disk.used_mib_s", MOUNT): space}
