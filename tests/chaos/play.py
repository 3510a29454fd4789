"""A schedule played against real workers while a fleet reports; then the independent audit."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rackmeter import tape
from rackmeter.fleet.log import Log
from rackmeter.kafka import Cluster
from rackmeter.topics import create_topics
from sinks.database import connect, migrate
from sinks.keys import register
from tests.chaos.crew import Crew
from tests.chaos.deeds import Deeds
from tests.chaos.feed import Feed, fleet_log
from tests.chaos.outcome import Outcome, Played
from tests.chaos.schedule import Fault, Schedule
from tests.chaos.servers import Servers, started
from tests.chaos.watch import Watch, positions
from tests.fix_worker import Scene
from tests.vault import VAULT

PARTITIONS: Final = 4
SETTINGS: Final = {
    "RACKMETER_PARTITIONS": str(PARTITIONS),
    # The simulator's flood is nine tenths poison for an hour; it must not stop anybody here.
    "RACKMETER_DEAD_LETTER_RATIO_MAX": "1",
}
STALLED_S: Final = 60.0
CALM_S: Final = 40.0
"""A commit is waited for before the next fault, but not for ever: a fault may have to end it."""
_POLL_S: Final = 0.05
Say = Callable[[str], None]


async def play(
    wanted: Schedule, folder: Path, *, on_kafka: bool, workers: int, servers: int, say: Say
) -> Outcome:
    """Play it, wait until all is consumed, and audit."""
    async with AsyncExitStack() as running:
        there = await running.enter_async_context(started(folder, on_kafka=on_kafka))
        url = there.stack.database_url
        scene = Scene(there.far_bootstrap, there.far_url(url), "chaos.", folder / "run")
        (folder / "run").mkdir()
        log = await asyncio.to_thread(_prepared, wanted, servers, scene, there)
        count = f"{len(log.messages):,} messages of {log.truth.plan.servers} servers"
        say(f"seed {wanted.seed}: {len(wanted.faults)} faults, {count}")
        watch = Watch(url)
        watch.start()
        running.callback(watch.end)
        environment = {**scene.environment, **SETTINGS}
        crew = Crew(workers, environment, folder / "run")
        running.push_async_callback(crew.end)
        feed = Feed(log, Cluster(there.broker.bootstrap), scene.reports, wanted)
        game = _Game(wanted, there, crew, watch, log, feed, say)
        return await game.play(scene)


def _prepared(wanted: Schedule, servers: int, scene: Scene, there: Servers) -> Log:
    config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    topics = (scene.reports, scene.changed, scene.dead)
    create_topics(there.broker.bootstrap, dict.fromkeys(topics, PARTITIONS), config)
    migrate(there.stack.database_url)
    log = fleet_log(wanted.seed, servers, scene.reports, replay=wanted.replay)
    with connect(there.stack.database_url, autocommit=True) as conn:
        register(conn, VAULT, log.keys)
    return log


class _Game:
    """One run."""

    def __init__(
        self, wanted: Schedule, there: Servers, crew: Crew, watch: Watch, log: Log, feed: Feed,
        say: Say,
    ) -> None:  # fmt: skip
        self._wanted, self._there, self._crew, self._watch = wanted, there, crew, watch
        self._log, self._feed, self._say = log, feed, say
        self._began = 0.0
        self._deeds = Deeds(crew, there, random.Random(wanted.seed + 1))
        self._outcome = Outcome(wanted.seed, log.truth.reports)

    async def play(self, scene: Scene) -> Outcome:
        self._crew.start()
        self._feed.start()
        self._feed.go_on()
        await asyncio.to_thread(self._watch.first.wait, STALLED_S)
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            before_s = self._began
            for fault in self._wanted.faults:
                if fault.calm:
                    await self._committed_since(before_s)
                await asyncio.sleep(fault.after_ms / 1000)
                before_s = time.monotonic()
                self._feed.go_on()
                group.create_task(self._happen(fault))
        if await self._consumed():
            await self._happen(self._wanted.last)
        left = await self._left(scene)
        out = self._outcome
        out.seconds = time.monotonic() - self._began
        if left:
            out.wrong.append(f"{left} messages were not consumed")
        out.count_ends(self._crew.ends, self._began)
        codes = await self._crew.close()
        if not set(codes) <= {0, -signal.SIGTERM}:
            out.wrong.append(f"exit codes after SIGTERM: {codes}")
        await asyncio.to_thread(self._judge)
        out.measure(self._watch.samples, self._began)
        out.sent = [(at_s - self._began, number) for at_s, number in self._feed.sent]
        return out

    # -- faults -----------------------------------------------------------------------------------

    async def _happen(self, fault: Fault) -> None:
        at_s = time.monotonic() - self._began
        reached = await self._deeds.do(fault)
        ended_s = time.monotonic() - self._began
        self._outcome.played.append(Played(fault, at_s, ended_s, reached))
        self._say(
            f"{at_s:6.1f} s  {fault.kind} {fault.step}{'' if reached else ' (not reached)'}"
            f"  sent {self._feed.given:,}, consumed {self._watch.consumed:,},"
            f" kills {self._crew.kills}"
        )

    async def _committed_since(self, before_s: float) -> None:
        deadline = time.monotonic() + CALM_S
        while not self._watch.moved_since(before_s) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)

    # -- the end ----------------------------------------------------------------------------------

    async def _consumed(self) -> bool:
        """Wait until all that was sent is in the ledger; False when it does not go on."""
        moved, before = time.monotonic(), (-1, -1)
        while not self._feed.done or self._watch.consumed < len(self._log.messages):
            now = (self._feed.given, self._watch.consumed)
            if now != before:
                moved, before = time.monotonic(), now
            if time.monotonic() - moved > STALLED_S:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _left(self, scene: Scene) -> int:
        """How many messages of the log are not in the ledger, and do not come into it either."""
        moved, before = time.monotonic(), tuple[int, ...]()
        while True:
            held = await asyncio.to_thread(self._positions)
            left = len(self._log.messages) - sum(held)
            if left <= 0:
                left = await asyncio.to_thread(self._unread, scene, held)
            if not left:
                return 0
            if held != before:
                moved, before = time.monotonic(), held
            if time.monotonic() - moved > STALLED_S:
                return left
            await asyncio.sleep(_POLL_S)

    def _positions(self) -> tuple[int, ...]:
        with connect(self._there.stack.database_url, autocommit=True) as conn:
            return positions(conn)

    def _unread(self, scene: Scene, held: tuple[int, ...]) -> int:
        where = Cluster(self._there.broker.bootstrap)
        return sum(1 for _ in tape.capture(where, scene.reports, dict(enumerate(held))))

    def _judge(self) -> None:
        with connect(self._there.stack.database_url, autocommit=True) as conn:
            self._outcome.judge(conn, self._log.truth)
