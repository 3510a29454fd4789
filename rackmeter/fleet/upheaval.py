"""The real agent's accumulator above a kernel that does its worst. Pure.

``agents.origin``, ``agents.integrate`` and ``agents.state`` are what runs on a rented machine, so a
diary from here proves agent and meter together. The agent's file is bytes, its memory is lost with
every crash, and both can be put back to what they were.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from agents.integrate import Origin, integrate, numbered, report, settled
from agents.origin import start
from agents.sample import Reading
from agents.state import decode, encode
from rackmeter.fleet.diary import Diary, Note
from rackmeter.fleet.kernel import Card, Kernel
from rackmeter.fleet.plan import FleetPlan, Machine, hex_id

_OBSERVED_MS: Final = 15_000
_QUIET_MS: Final = 5_000
"""What a restart takes; nothing passes meanwhile."""
_APART_MIN, _UPHEAVALS_MAX = 8, 24
"""Readings between two upheavals at least, and upheavals in a life: a server that shows its whole
life at once stays below the origins that a meter takes in an hour.
"""
_BYTES_MAX: Final = 2**31
"""Traffic of one interval: half a turn of a 32-bit counter is what a reader can tell from a reset.
"""


class Upheaval(StrEnum):
    """What happens to a machine's counters, time and again."""

    NONE = "none"
    RESET = "reset"
    WRAP = "wrap"
    RELOAD = "reload"
    REPLACED = "replaced"
    VANISHING = "vanishing"
    LOST_STATE = "lost_state"
    RESTORED_IMAGE = "restored_image"
    CRASHES = "crashes"


@dataclass
class _Agent:
    """What runs on the machine, and the diary it fills."""

    server: str
    kernel: Kernel
    rng: np.random.Generator
    file: bytes | None = None
    memory: Origin | None = None
    image: bytes = b""
    notes: list[Note] = field(default_factory=list)
    unsent: set[int] = field(default_factory=set)
    again: list[tuple[int, int]] = field(default_factory=list)

    def report(self, at_ms: int, *, killed: str = "") -> None:
        """One turn of the agent's loop; it may be killed before it saves, or before it sends."""
        look = self.kernel.look(at_ms)
        origin = self.memory or self._started(look)
        after, _ = integrate(origin, look, _OBSERVED_MS)
        self.memory = numbered(after, look)
        if killed != "save":
            self.file = encode(self.memory)
            self.kernel.noted(self.memory.origin)
            self.notes.append(Note(report(self.memory), at_ms))
        if killed == "send":
            self.unsent.add(len(self.notes) - 1)
        former = {one.origin: one.seq for one in self.memory.former}
        self.memory = settled(self.memory, former | {self.memory.origin: self.memory.seq})
        if killed:
            self.memory = None

    def _started(self, look: Reading) -> Origin:
        saved = decode(self.file) if self.file else None
        boot_id = f"boot-{self.kernel.boots}"
        begun = start(saved, look, self.server, boot_id, hex_id(self.rng))
        for former in begun.origin.former:
            known = [note.report for note in self.notes].index(former)
            self.again.append((known, len(self.notes)))
        return begun.origin

    def restart(self, file: bytes | None) -> None:
        """The process ends; what it finds next time is this file."""
        self.memory, self.file = None, file


def endured(upheaval: Upheaval, plan: FleetPlan, machine: Machine) -> Diary:
    """The life of a machine on which this happens again and again."""
    rng = plan.rng(30, machine.index)
    bits = 32 if upheaval is Upheaval.WRAP else 64
    raw = rng.integers(2**31, 2**32, 2).tolist()
    card = Card(2, bits, *raw) if bits == 32 else Card(2, bits, raw[0] << 12, raw[1] << 12)
    agent = _Agent(machine.id, Kernel(int(rng.integers(10**6, 10**9)), {"eth0": card}), rng)
    at_ms = plan.start_ms
    agent.report(at_ms)
    apart = max(_APART_MIN, plan.slots // _UPHEAVALS_MAX)
    for slot in range(1, plan.slots + 2):
        busy_ms = int(rng.integers(0, plan.interval_ms * machine.cores))
        rx, tx = rng.integers(_BYTES_MAX // 4, _BYTES_MAX, 2).tolist()
        until_ms = plan.start_ms + slot * plan.interval_ms
        agent.kernel.run(until_ms - at_ms, rx, tx, busy_ms)
        at_ms = until_ms
        agent.kernel.disk_bytes = int(rng.integers(2**28, 2**40))
        nth, rest = divmod(slot, apart)
        # The last intervals are quiet, so that every gain is reported and every dip made up for.
        if slot > plan.slots - apart:
            agent.kernel.settle()
            agent.report(at_ms)
            continue
        agent.report(at_ms, killed=_killed(nth, rest, rng) if upheaval is Upheaval.CRASHES else "")
        if rest == 0:
            at_ms += _upset(upheaval, agent, nth, at_ms)
    notes = tuple(agent.notes)
    again, unsent = tuple(agent.again), frozenset(agent.unsent)
    return Diary(machine.id, notes, agent.kernel.used(), unsent, again)


def _killed(nth: int, rest: int, rng: np.random.Generator) -> str:
    """Every third report is cut short. The last one before a boot is saved and unsent, and the next
    agent lives long enough to send it.
    """
    if nth % 2 == 0 and rest < 2:
        return ("send", "")[rest]
    return ("save", "send", "", "", "", "")[int(rng.integers(0, 6))]


def _upset(upheaval: Upheaval, agent: _Agent, nth: int, at_ms: int) -> int:
    """The ``nth`` upheaval, right after a report; returns how long it took."""
    kernel = agent.kernel
    match upheaval:
        case Upheaval.RESET:
            kernel.cards["eth0"].rx = kernel.cards["eth0"].tx = 0
            kernel.cpu_dip_ms = kernel.cpu_ms // 2
        case Upheaval.RELOAD:
            return _reload(agent, at_ms)
        case Upheaval.REPLACED:
            kernel.register("eth0")
        case Upheaval.VANISHING:
            _vanish(kernel, nth)
        case Upheaval.LOST_STATE:
            agent.restart(None)
            return _reported_again(agent, at_ms)
        case Upheaval.RESTORED_IMAGE:
            agent.image = agent.file or b"" if nth % 3 == 1 else agent.image
            return _boot(agent, agent.image) if nth % 3 != 1 else 0
        case Upheaval.CRASHES if nth % 2 == 0:
            return _boot(agent, agent.file)
        case _:
            pass
    return 0


def _boot(agent: _Agent, file: bytes | None) -> int:
    """The machine comes up again, with this state on its disk."""
    agent.restart(file)
    agent.kernel.boot()
    agent.kernel.run(_QUIET_MS)
    return _QUIET_MS


def _reported_again(agent: _Agent, at_ms: int) -> int:
    """A restarted agent looks at once."""
    agent.kernel.forgotten()
    agent.kernel.run(_QUIET_MS)
    agent.report(at_ms + _QUIET_MS)
    return _QUIET_MS


def _reload(agent: _Agent, at_ms: int) -> int:
    """The card is gone at one look, back with a driver that first shows nonsense."""
    kernel = agent.kernel
    del kernel.cards["eth0"]
    kernel.run(_QUIET_MS)
    agent.report(at_ms + _QUIET_MS)
    kernel.register("eth0")
    kernel.run(_QUIET_MS, rx=1_000, tx=1_000)
    kernel.cards["eth0"].noise = 2**62
    agent.report(at_ms + 2 * _QUIET_MS)
    return 2 * _QUIET_MS


def _vanish(kernel: Kernel, nth: int) -> None:
    """A card out of sight for a while, and a disk unmounted for longer."""
    if nth % 2:
        kernel.away["eth0"] = kernel.cards.pop("eth0")
    elif "eth0" in kernel.away:
        kernel.cards["eth0"] = kernel.away.pop("eth0")
    kernel.mounted = nth % 4 < 2
