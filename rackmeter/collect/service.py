"""The running collector: look at all sources, integrate, save, spool, send, in this order.

What a crash after each step means is the agent's (agents/loop.py); each reported server has an
origin and a state file of its own, all share one spool and one Kafka client. A source that does not
answer is silence for its servers, not a reading.
"""

import asyncio
import os
import signal
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from agents import clock
from agents.clock import Now
from agents.frames import Waiting
from agents.integrate import Origin, integrate, numbered, report, settled
from agents.log import Once, log
from agents.publish import POLL_S, Publisher
from agents.sample import Reading, Sample
from agents.state import Store, UnreadableError
from agents.systemd import Watchdog, notify
from rackmeter.collect.begin import begin
from rackmeter.collect.config import Collect
from rackmeter.collect.source import Seen, Source
from schemas.report import Report

OBSERVED_MS_MIN = 15_000
"""What counts as watched, of levels that describe the time before: three looks, or this."""
FLUSH_MS = 5_000


@dataclass(slots=True)
class Collector:
    """The origins of all servers that its sources know."""

    collect: Collect
    sources: Sequence[Source]
    boot_id: str
    origins: dict[str, Origin] = field(default_factory=dict)
    said: dict[str, Once] = field(default_factory=lambda: defaultdict(Once))

    @property
    def observed_ms_max(self) -> int:
        return max(OBSERVED_MS_MIN, round(3000 * self.collect.interval))

    async def look(self) -> dict[str, Reading]:
        """A reading of each server that any source answered for."""
        gate = asyncio.Semaphore(self.collect.at_once)

        async def one(source: Source) -> Seen:
            async with gate:
                return await source.look()

        answers = await asyncio.gather(*map(one, self.sources))
        for source, seen in zip(self.sources, answers, strict=True):
            self.said[source.name](seen.said)
        return readings(answers, frozenset().union(*(one.meters for one in self.sources)))

    def after(self, server: str, reading: Reading) -> Origin:
        """The server's origin with this reading in it; not a report yet."""
        origin = self.origins.get(server)
        if origin is None:
            saved = self._saved(server)
            origin = begin(saved, reading, server, self.boot_id, uuid.uuid4().hex)
        after, notes = integrate(origin, reading, self.observed_ms_max)
        for one in notes:
            log.warning("%s: %s", server, one)
        return after

    def store(self, server: str) -> Store:
        return Store(self.collect.state / "servers" / server)

    def _saved(self, server: str) -> Origin | None:
        try:
            return self.store(server).load()
        except UnreadableError as error:
            log.warning("%s begins anew: its state cannot be used: %s", server, error)
            return None

    def commit(self, server: str, reading: Reading, publisher: Publisher) -> None:
        """Saved before it is sent, so no number ever has two contents."""
        fresh = server not in self.origins
        origin = self.after(server, reading)
        after = numbered(settled(origin, publisher.delivered), reading)
        store = self.store(server)
        store.folder.mkdir(parents=True, exist_ok=True)
        publisher.spool.write()
        store.save(after)
        self.origins[server] = after
        if fresh:
            for one in after.former:
                publisher.offer(Waiting(one))
        publisher.offer(Waiting(report(after), self.boot_id))


def readings(answers: Sequence[Seen], meters: frozenset[str]) -> dict[str, Reading]:
    """By server; what several sources say of one is dated when the last of them answered."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    at: dict[str, Now] = {}
    for seen in answers:
        for server, found in seen.samples.items():
            samples[server] += found
            at[server] = max(at.get(server, seen.now), seen.now, key=lambda now: now.up_ms)
    return {
        server: Reading(at[server].at_ms, at[server].up_ms, tuple(found), meters)
        for server, found in samples.items()
        if found
    }


async def once(collector: Collector) -> list[Report]:
    """What would be reported now; nothing is saved or sent."""
    _enough_threads(collector)
    seen = await collector.look()
    return [
        report(numbered(collector.after(server, reading), reading))
        for server, reading in sorted(seen.items())
    ]


async def serve(collector: Collector, publisher: Publisher) -> bool:
    """Until a signal says stop; whether everything was delivered by then."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    _enough_threads(collector)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    watchdog = Watchdog(os.environ, os.getpid())
    notify("READY=1")
    due = time.monotonic()
    while not stopping.is_set():
        for server, reading in (await collector.look()).items():
            try:
                collector.commit(server, reading, publisher)
            except OSError as error:
                collector.said[server](f"the state of {server} cannot be saved: {error}")
        due = max(due + collector.collect.interval, time.monotonic())
        await _pump(publisher, stopping, due, watchdog)
    notify("STOPPING=1")
    publisher.flush(clock.up_ms() + FLUSH_MS, lambda: False)
    publisher.spool.sync()
    publisher.close()
    return publisher.unsent == 0


def _enough_threads(collector: Collector) -> None:
    """For sources that wait in one: asyncio's own are a handful on a small machine."""
    threads = ThreadPoolExecutor(collector.collect.at_once, "look")
    asyncio.get_running_loop().set_default_executor(threads)


async def _pump(
    publisher: Publisher, stopping: asyncio.Event, due: float, watchdog: Watchdog
) -> None:
    while not stopping.is_set() and (left := due - time.monotonic()) > 0:
        publisher.pump()
        watchdog.alive(clock.up_ms())
        try:
            async with asyncio.timeout(min(left, POLL_S)):
                await stopping.wait()
        except TimeoutError:
            continue
