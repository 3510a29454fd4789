"""The running agent: read, integrate, save, spool, publish, in this order, until told to stop. Owns
the schedule.

What a crash means after each step of a report:
1. read, integrate: nothing happened; the next agent's difference covers it.
2. save (agent.json, synced): the report's number is used and its content is on disk. The next agent
makes the report from the state once more, and sends it; a duplicate, if the broker has it.
3. spool: it waits its turn, and says *when*.
4. publish: the broker may have it, and this is forgotten: what is gone is shown once more, and up
to a segment of the spool is sent again, as duplicates.
5. acknowledged: it leaves the spool.
A report that could not be saved is never spooled or sent, so no number ever has two contents. One
that could not be spooled is sent from memory. A disk that is full or broken stops no counting.

Readings are due at multiples of the interval on the boot-time clock, shifted by the server's name
so that a fleet does not report in one instant: no drift, and a restarted agent keeps the beat.
"""

import logging
import os
import signal
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agents import clock, gpu
from agents.config import Settings
from agents.frames import Waiting
from agents.integrate import Origin, integrate, numbered, report, settled
from agents.log import Once, log, set_up
from agents.losses import counted_before, with_losses
from agents.origin import start
from agents.publish import POLL_S, Publisher, Target
from agents.read import Sources, read_all, read_levels
from agents.sample import Reading
from agents.signals import STOP, pending
from agents.state import Store, UnreadableError, cannot_save
from agents.status import Board, snapshot, spool_said
from agents.systemd import Watchdog, notify, reloading
from schemas.errors import EXIT_DONE, EXIT_INTERRUPTED, ConfigError, RackmeterError

EXIT_FAILED = 1

FLUSH_MS = 5_000
"""How long a stopping agent waits for the broker: well inside the 10 s that `docker stop` allows.
"""

NAP_S = 5.0
"""The longest sleep: the monotonic clock it runs on stands still in suspend, the schedule's does
not.
"""
POWER_MS = 10_000
"""Between looks at power, where no GPU wants more: ACPI's meters average over a second and more."""
FIXED = ("server", "state", "root")
"""Settings that an agent has for life."""

Reread = Callable[[], tuple[Settings, Target]]


def sources_of(settings: Settings) -> Sources:
    return Sources(settings.root, settings.network, settings.storage, gpu.Gpus(settings.root))


def observed_ms_max(settings: Settings) -> int:
    """The longest interval that counts as watched: three looks, or what a restart takes."""
    return max(15_000, 3 * settings.gpu_interval_ms)


@dataclass(slots=True)
class Agent:
    settings: Settings
    sources: Sources
    store: Store
    publisher: Publisher
    origin: Origin
    reread: Reread | None = None
    """The settings and the key as they are now; raises RackmeterError."""
    board: Board = field(default_factory=Board)
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(os.environ, os.getpid()))
    lost_before: Mapping[str, int] = field(default_factory=dict)
    """By meter, what earlier runs had lost."""
    reports: int = 0
    powered: bool = False
    """Whether the latest reading has power in it that is not counted for us."""
    unsaved: str = ""
    """Why the state cannot be saved, while it cannot."""
    said_state: Once = field(default_factory=Once)
    said_spool: Once = field(default_factory=Once)
    said_gpus: Once = field(default_factory=lambda: Once(logging.INFO))
    said_status: str = ""

    def report(self, reading: Reading) -> None:
        """One report, or, where it cannot be saved, only the counting."""
        try:
            self.commit(reading)
        except OSError as error:
            self.unsaved = str(cannot_save(self.store.folder, error))
            self.said_state(f"reports wait, counting goes on in memory: {self.unsaved}")
        else:
            self.unsaved = ""
            self.said_state("")
        self.tell()

    def commit(self, reading: Reading) -> None:
        """Raises OSError before anything is sent."""
        spool = self.publisher.spool
        self.integrate(with_losses(reading, self.lost_before, spool.thinned, spool.lost))
        spool.write()  # the state is about to forget what only memory has
        after = numbered(settled(self.origin, self.publisher.delivered), reading)
        self.store.save(after)
        self.origin = after
        self.reports += 1
        self.publisher.offer(Waiting(report(after), after.boot_id))

    def integrate(self, reading: Reading) -> None:
        self.origin, notes = integrate(self.origin, reading, observed_ms_max(self.settings))
        self.powered = any(sample.level for sample in reading.samples)
        for note in notes:
            log.warning("%s", note)
        self.said_gpus(self.sources.gpus.said)

    def wait(self) -> signal.Signals | None:
        """Until the next reading is due, or a signal; looks at GPUs and power meanwhile."""
        phase = zlib.crc32(self.settings.server.encode())
        due_up_ms = _next(clock.up_ms(), self.settings.interval_ms, phase)
        look_up_ms = _next(clock.up_ms(), self.look_ms or self.settings.interval_ms, 0)
        while (now := clock.now()).up_ms < due_up_ms:
            look_ms = self.look_ms
            if look_ms and now.up_ms >= look_up_ms:
                self.integrate(read_levels(self.sources, now))
                look_up_ms = _next(now.up_ms, look_ms, 0)
            until_up_ms = min(due_up_ms, look_up_ms) if look_ms else due_up_ms
            caught = pending(min(max(0, until_up_ms - now.up_ms) / 1000, self.nap_s))
            self.publisher.pump()
            self.tell()
            if caught == signal.SIGHUP:
                self.reload()
                return self.wait()
            if caught:
                return caught
        return pending(0)

    @property
    def look_ms(self) -> int:
        """Between looks at levels; 0: there are none."""
        if self.sources.gpus.present:
            return self.settings.gpu_interval_ms
        return POWER_MS if self.powered else 0

    @property
    def nap_s(self) -> float:
        if self.publisher.busy:
            return POLL_S
        return min(NAP_S, self.watchdog.every_ms / 1000) if self.watchdog.every_ms else NAP_S

    def tell(self) -> None:
        """How it is, to the board, to systemd and, where it is bad, to the log."""
        self.watchdog.alive(clock.up_ms())
        self.said_spool(spool_said(self.publisher.spool))
        self.board.show(
            snapshot(self.publisher, self.origin, self.settings, self.unsaved, clock.now())
        )
        status = self.unsaved or self.publisher.refused or "delivering"
        status = f"{status}; {self.publisher.unsent} reports wait"
        if status != self.said_status:
            self.said_status = status
            notify(f"STATUS={status}")

    def reload(self) -> None:
        """Settings and key anew; those that cannot be used leave the former in force."""
        reloading()
        try:
            if self.reread is not None:
                self.adopt(*self.reread())
        except RackmeterError as error:
            log.error("the settings were read again and are not taken; the former hold: %s", error)
        notify("READY=1")

    def adopt(self, chosen: Settings, target: Target) -> None:
        for name in FIXED:
            was, now = getattr(self.settings, name), getattr(chosen, name)
            if was != now:
                raise ConfigError(f"{name} was {was} and is {now}: start the agent again for that")
        self.publisher.retarget(target)
        spool = self.publisher.spool
        spool.bytes_max, spool.sync_ms = chosen.spool_bytes_max, chosen.spool_sync_ms
        set_up(chosen.log_format)
        self.settings = chosen
        self.sources = replace(sources_of(chosen), gpus=self.sources.gpus)
        log.info("the settings were read again; reports are signed with key %s", target.key.kid)

    def stop(self, *, all_or_fail: bool) -> int:
        """Sends what waits, for a bounded time; the next agent sends the rest."""
        notify("STOPPING=1")
        until_up_ms = clock.up_ms() + FLUSH_MS
        finished = self.publisher.flush(until_up_ms, lambda: pending(0) in STOP)
        unsent = self.publisher.unsent
        if unsent:
            log.warning("stopped with %d reports unsent; the next start sends them", unsent)
        self.publisher.close()
        self.publisher.spool.sync()
        if not finished:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if all_or_fail and unsent else EXIT_DONE


def begin(
    settings: Settings, publisher: Publisher, store: Store, *, patient: bool = False
) -> Agent:
    """The first reading decides the origin and is the first report. A state that cannot be kept
    ends it here, unless it is patient: then it counts on in memory.
    """
    sources = sources_of(settings)
    boot_id = clock.boot_id(settings.root)
    saved, why_lost = load(store)
    reading = read_all(sources, clock.now())
    begun = start(saved, reading, settings.server, boot_id, uuid.uuid4().hex, why_lost)
    log.info("server %s: %s", settings.server, begun.said)
    agent = Agent(settings, sources, store, publisher, begun.origin)
    agent.lost_before = counted_before(begun.origin)
    spool = publisher.spool
    spool.open()
    if spool.waiting:
        log.info("%d reports of an earlier run wait in the spool", spool.waiting)
    for former in begun.origin.former:
        if spool.highest.get(former.origin, 0) < former.seq:
            publisher.offer(Waiting(former))
    if spool.highest.get(begun.origin.origin, 0) < begun.origin.seq:
        publisher.offer(Waiting(report(begun.origin), boot_id))
    if patient:
        agent.report(reading)
        return agent
    try:
        agent.commit(reading)
    except OSError as error:
        raise cannot_save(store.folder, error) from error
    return agent


def load(store: Store) -> tuple[Origin | None, str]:
    try:
        return store.load(), ""
    except UnreadableError as error:
        return None, f"the state in {store.path} cannot be used: {error}"


def run(agent: Agent, count: int | None) -> int:
    where, seconds = agent.settings.topic, agent.settings.interval_ms / 1000
    log.info("a report every %g s to %s at %s", seconds, where, agent.settings.bootstrap)
    agent.tell()
    notify("READY=1")
    while count is None or agent.reports < count:
        if agent.wait() in STOP:
            break
        agent.report(read_all(agent.sources, clock.now()))
    return agent.stop(all_or_fail=count is not None)


def _next(up_ms: int, interval_ms: int, phase_ms: int) -> int:
    """The first multiple of the interval after now, shifted by the phase."""
    phase_ms %= interval_ms
    return ((up_ms - phase_ms) // interval_ms + 1) * interval_ms + phase_ms
