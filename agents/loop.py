"""The running agent: read, integrate, save, publish, in this order, until told to stop. Owns
signals and schedule.

What a crash means after each step of a report:
1. read, integrate: nothing happened; the next agent's difference covers it.
2. save: the report's number is used and its content is on disk, but nobody has it; the next one
says as much.
3. publish: the broker may have it, and this is forgotten: what is gone is shown once more.
A report that could not be saved is never sent, so no number ever has two contents.

Readings are due at multiples of the interval on the boot-time clock: no drift, and a restarted
agent keeps the beat. Signals are never handled in the middle of something; they are blocked and
fetched between steps.
"""

import logging
import os
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents import clock, gpu
from agents.config import Settings
from agents.integrate import Origin, integrate, numbered, report, settled
from agents.log import Once, log
from agents.origin import start
from agents.publish import POLL_S, Publisher
from agents.read import Sources, read_all, read_gpus
from agents.sample import Reading
from agents.state import Store, UnreadableError, cannot_save
from schemas.errors import EXIT_DONE, EXIT_INTERRUPTED

EXIT_FAILED = 1
STOP = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOP, signal.SIGUSR1)

FLUSH_MS = 5_000
"""How long a stopping agent waits for the broker: well inside the 10 s that `docker stop` allows.
"""

NAP_S = 5.0
"""The longest sleep: the monotonic clock it runs on stands still in suspend, the schedule's does
not.
"""


def sources_of(settings: Settings) -> Sources:
    return Sources(settings.root, settings.network, settings.storage, gpu.Gpus(settings.root))


def observed_ms_max(settings: Settings) -> int:
    """The longest interval that counts as watched: three looks, or what a restart takes."""
    return max(15_000, 3 * settings.gpu_interval_ms)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Before any thread of the Kafka client exists, so that they all inherit it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(slots=True)
class Agent:
    settings: Settings
    sources: Sources
    store: Store
    publisher: Publisher
    origin: Origin
    reports: int = 0
    said_state: Once = field(default_factory=Once)
    said_gpus: Once = field(default_factory=lambda: Once(logging.INFO))

    def report(self, reading: Reading) -> None:
        """One report, or, where it cannot be saved, only the counting."""
        try:
            self.commit(reading)
        except OSError as error:
            why = cannot_save(self.store.folder, error)
            self.said_state(f"reports wait, counting goes on in memory: {why}")
        else:
            self.said_state("")

    def commit(self, reading: Reading) -> None:
        """Raises OSError before anything is sent."""
        self.integrate(reading)
        after = numbered(settled(self.origin, self.publisher.delivered), reading)
        self.store.save(after)
        self.origin = after
        self.reports += 1
        self.publisher.offer(report(after))

    def integrate(self, reading: Reading) -> None:
        self.origin, notes = integrate(self.origin, reading, observed_ms_max(self.settings))
        for note in notes:
            log.warning("%s", note)
        self.said_gpus(self.sources.gpus.said)

    def wait(self) -> signal.Signals | None:
        """Until the next reading is due, or a signal; looks at the GPUs meanwhile."""
        due_up_ms = _next(clock.up_ms(), self.settings.interval_ms)
        look_up_ms = _next(clock.up_ms(), self.settings.gpu_interval_ms)
        while (now := clock.now()).up_ms < due_up_ms:
            if self.sources.gpus.present and now.up_ms >= look_up_ms:
                self.integrate(read_gpus(self.sources, now))
                look_up_ms = _next(now.up_ms, self.settings.gpu_interval_ms)
            until_up_ms = min(due_up_ms, look_up_ms) if self.sources.gpus.present else due_up_ms
            seconds = max(0, until_up_ms - now.up_ms) / 1000
            caught = pending(min(seconds, POLL_S if self.publisher.busy else NAP_S))
            self.publisher.pump()
            if caught:
                return caught
        return pending(0)

    def stop(self, *, all_or_fail: bool) -> int:
        """Sends what waits, for a bounded time; what is not sent is in the sums that the next
        report carries.
        """
        notify("STOPPING=1")
        until_up_ms = clock.up_ms() + FLUSH_MS
        finished = self.publisher.flush(until_up_ms, lambda: pending(0) in STOP)
        unsent = self.publisher.unsent
        if unsent:
            log.warning("stopped with %d reports unsent; the next makes up for them", unsent)
        self.publisher.close()
        if not finished:
            return EXIT_INTERRUPTED
        return EXIT_FAILED if all_or_fail and unsent else EXIT_DONE


def begin(settings: Settings, publisher: Publisher, store: Store) -> Agent:
    """The first reading decides the origin and is the first report; a state that cannot be kept
    ends it here.
    """
    sources = sources_of(settings)
    boot_id = clock.boot_id(settings.root)
    saved, why_lost = load(store)
    reading = read_all(sources, clock.now())
    begun = start(saved, reading, settings.server, boot_id, uuid.uuid4().hex, why_lost)
    log.info("server %s: %s", settings.server, begun.said)
    agent = Agent(settings, sources, store, publisher, begun.origin)
    for former in begun.origin.former:
        publisher.offer(former, this_boot=False)
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
    notify("READY=1")
    while count is None or agent.reports < count:
        if agent.wait() in STOP:
            break
        agent.report(read_all(agent.sources, clock.now()))
    return agent.stop(all_or_fail=count is not None)


def pending(timeout_s: float) -> signal.Signals | None:
    """The next signal sent to the agent, waiting for it at most so long."""
    caught = signal.sigtimedwait(SIGNALS, timeout_s)
    return signal.Signals(caught.si_signo) if caught else None


def notify(message: str) -> None:
    """Tells systemd (sd_notify(3)) where it asked to be told; an agent that cannot say so still
    meters.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sock.send(message.encode())
    except OSError as error:
        log.warning("systemd was not told %s: %s", message, error)


def _next(up_ms: int, interval_ms: int) -> int:
    """The first multiple of the interval after now."""
    return (up_ms // interval_ms + 1) * interval_ms
