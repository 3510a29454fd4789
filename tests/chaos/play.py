"""A schedule played against real workers while a fleet reports; then the independent audit.

Nothing here knows how the meter works. The truth is the simulator's, made before anything starts;
the ledger is read with plain SQL.
"""

import asyncio
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rackmeter import tape
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.audit import Difference, audit
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import Place
from rackmeter.kafka import Cluster
from rackmeter.topics import create_topics
from schemas.capture import Captured
from schemas.verdict import Verdict
from sinks.database import Connection, connect, migrate
from sinks.keys import register
from tests.chaos.crew import Crew
from tests.chaos.schedule import Fault, Kind, Schedule
from tests.chaos.servers import Servers, started
from tests.chaos.watch import Sample, Watch, percentiles, positions, recovery_s
from tests.fix_worker import ENVIRONMENT, START_MS, Scene
from tests.vault import VAULT

PARTITIONS: Final = 4
SETTINGS: Final = {
    "RACKMETER_PARTITIONS": str(PARTITIONS),
    # The simulator's flood is nine tenths poison for an hour; it must not stop anybody here.
    "RACKMETER_DEAD_LETTER_RATIO_MAX": "1",
}
SERVERS_MIN: Final = 3 * ALL_AT_ONCE
"""So many that every partition has some."""
HOURS: Final = 12
STALLED_S: Final = 60.0
PATIENCE_S, CLAIM_PATIENCE_S = 15.0, 3.0
"""How long a step is waited for; a claim comes only with a rebalance."""
STORM_S: Final = 5.0
EACH_PIECE_S: Final = 0.1
_POLL_S: Final = 0.05
OWN_ENDS: Final = (0, 4)
"""Exit codes with which a worker may end by itself: a dependency was away for long."""

Say = Callable[[str], None]


@dataclass
class Played:
    """A fault that happened; times in seconds from the start."""

    fault: Fault
    at_s: float
    ended_s: float
    reached: bool = True
    recovery_s: float | None = None


@dataclass
class Outcome:
    """What was found. ``wrong`` is empty when everything is as it must be."""

    seed: int
    reports: int
    kills: int = 0
    restarts: int = 0
    lost: int = 0
    doubled: int = 0
    figures: int = 0
    repeated: int = 0
    """Messages that the broker holds more often than they were sent."""
    taken_back: int = 0
    """How often a crash of the database took commits back."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    killed_s: list[float] = field(default_factory=list)
    feed_s: float = 0.0

    def document(self) -> dict[str, Any]:
        recovered = [one.recovery_s for one in self.played if one.recovery_s is not None]
        return {
            "seed": self.seed, "kills": self.kills, "restarts": self.restarts,
            "reports": self.reports, "repeated": self.repeated, "figures": self.figures,
            "taken_back": self.taken_back, "lost": self.lost, "doubled": self.doubled,
            "wrong": self.wrong,
            "recovery_s": percentiles(recovered), "recoveries": len(recovered),
            "seconds": round(self.seconds, 1),
            "kinds": dict(Counter(one.fault.kind.value for one in self.played)),
            "steps": dict(sorted(Counter(
                one.fault.step for one in self.played if one.fault.step and one.reached
            ).items())),
            "schedule": [_shown(one) for one in self.played],
        }  # fmt: skip


def _shown(one: Played) -> dict[str, Any]:
    said = {name: value for name, value in asdict(one.fault).items() if value or name == "at_ms"}
    times = {"began_s": one.at_s, "ended_s": one.ended_s, "recovery_s": one.recovery_s}
    rounded = {name: at if at is None else round(at, 2) for name, at in times.items()}
    return said | rounded | ({} if one.reached else {"reached": False})


def fleet_log(seed: int, servers: int, topic: str, *, replay: bool) -> Log:
    """Half a day of a fleet with everything that can go wrong below the broker.

    ``replay``: the whole topic comes again, three times. A report that was lost is made up for by
    that, so only the verdicts would tell.
    """
    adversities = tuple(one for one in ALL if replay or one is not Adversity.REPLAY)
    plan = FleetPlan(
        seed, max(servers, SERVERS_MIN), START_MS, START_MS + HOURS * 3_600_000, mishaps=3,
        adversities=adversities,
    )  # fmt: skip
    return simulate(plan, Place(ENVIRONMENT, topic), by_broker=False)


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
        say(f"seed {wanted.seed}: {len(wanted.faults)} faults in {wanted.feed_ms / 1000:.0f} s,"
            f" {len(log.messages):,} messages of {log.truth.plan.servers} servers")  # fmt: skip
        watch = Watch(url)
        watch.start()
        running.callback(watch.end)
        environment = {**scene.environment, **SETTINGS}
        crew = Crew(workers, environment, folder / "run")
        running.push_async_callback(crew.end)
        game = _Game(wanted, there, crew, watch, log, Feed(log, there, scene, wanted), say)
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


class Feed:
    """Publishes the log in a thread, evenly over the time of the schedule."""

    def __init__(self, log: Log, there: Servers, scene: Scene, wanted: Schedule) -> None:
        self._log, self._topic = log, scene.reports
        self._where = Cluster(there.broker.bootstrap)
        self._each_s = wanted.feed_ms / 1000 / len(log.messages)
        self.given = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def done(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            tape.replay(self._paced(), self._where, self._topic)
        except BaseException as error:
            self.failure = error

    def _paced(self) -> Iterator[Captured]:
        began = time.monotonic()
        for number, message in enumerate(self._log.messages, 1):
            time.sleep(max(began + number * self._each_s - time.monotonic(), 0))
            yield message
            self.given = number


class _Game:
    """One run."""

    def __init__(
        self, wanted: Schedule, there: Servers, crew: Crew, watch: Watch, log: Log, feed: Feed,
        say: Say,
    ) -> None:  # fmt: skip
        self._wanted, self._there, self._crew, self._watch = wanted, there, crew, watch
        self._log, self._feed, self._say = log, feed, say
        self._began = 0.0
        self._chance = random.Random(wanted.seed + 1)
        self._outcome = Outcome(wanted.seed, log.truth.reports)

    async def play(self, scene: Scene) -> Outcome:
        self._crew.start()
        self._feed.start()
        await asyncio.to_thread(self._watch.first.wait, STALLED_S)
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in self._wanted.faults:
                group.create_task(self._happen(fault))
        if await self._consumed():
            await self._happen(replace(self._wanted.last, at_ms=0))
        left = await self._left(scene)
        out = self._outcome
        out.seconds = time.monotonic() - self._began
        if left:
            out.wrong.append(f"{left} messages were not consumed")
        self._count_ends()
        codes = await self._crew.close()
        if not set(codes) <= {0, -signal.SIGTERM}:
            out.wrong.append(f"exit codes after SIGTERM: {codes}")
        await asyncio.to_thread(self._judge)
        for one in out.played:
            one.recovery_s = recovery_s(self._watch.samples, self._began + one.ended_s)
        out.played.sort(key=lambda one: one.at_s)
        held = [sum(sample.positions) for sample in self._watch.samples]
        out.taken_back = sum(after < before for before, after in pairwise(held))
        out.feed_s = self._wanted.feed_ms / 1000
        out.killed_s = [end.at_s - self._began for end in self._crew.ends if end.code == -9]
        out.samples = [Sample(at - self._began, held) for at, held in self._watch.samples]
        return out

    # -- faults -----------------------------------------------------------------------------------

    async def _happen(self, fault: Fault) -> None:
        await asyncio.sleep(self._began + fault.at_ms / 1000 - time.monotonic())
        at_s = time.monotonic() - self._began
        reached = await self._act(fault)
        ended_s = time.monotonic() - self._began
        self._outcome.played.append(Played(fault, at_s, ended_s, reached))
        self._say(
            f"{at_s:6.1f} s  {fault.kind} {fault.step}{'' if reached else ' (not reached)'}"
            f"  sent {self._feed.given:,}, consumed {self._watch.consumed:,},"
            f" kills {self._kills()}"
        )

    async def _act(self, fault: Fault) -> bool:
        """Whether it happened: a step may not be reached."""
        crew, there, seconds = self._crew, self._there, fault.lasts_ms / 1000
        patience_s = CLAIM_PATIENCE_S if fault.step.startswith("claim") else PATIENCE_S
        match fault.kind:
            case Kind.CRASH:
                return await crew.crash(fault.worker, fault.step, fault.nth, patience_s)
            case Kind.FREEZE_AT:
                return await crew.freeze_at(
                    fault.worker, fault.step, fault.nth, seconds, PATIENCE_S
                )
            case Kind.KILL:
                await crew.kill(fault.worker)
            case Kind.FREEZE:
                await crew.freeze(fault.worker, seconds)
            case Kind.STORM:
                await self._storm(seconds)
            case Kind.BROKER_KILL:
                await there.kill_broker(seconds)
            case Kind.DATABASE_STOP:
                await there.stop_database(seconds)
            case _:
                await self._disturb(fault.kind, seconds)
        return True

    async def _disturb(self, kind: Kind, seconds: float) -> None:
        """A connection, not a process."""
        of_broker = kind.startswith("broker")
        proxy = self._there.to_broker if of_broker else self._there.to_database
        match kind.partition(" ")[2]:
            case "stall":
                await proxy.stall(seconds)
            case "delay":
                await proxy.delay(seconds, EACH_PIECE_S)
            case "deaf":
                await proxy.deafen(seconds)
            case _:
                proxy.reset()

    async def _storm(self, seconds: float) -> None:
        """One more worker, asked to leave or killed after five seconds, and the next one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            guest = await self._crew.spawn(self._crew.size)
            await asyncio.sleep(STORM_S)
            if guest.returncode is None:
                (guest.kill if self._chance.random() < 0.5 else guest.terminate)()
            await guest.wait()

    def _kills(self) -> int:
        return sum(end.code == -9 for end in self._crew.ends)

    def _count_ends(self) -> None:
        out, ends = self._outcome, self._crew.ends
        out.kills, out.restarts = self._kills(), len(ends)
        for end in ends:
            if end.code != -9 and end.code not in OWN_ENDS:
                out.wrong.append(f"worker {end.worker} ended by itself with {end.code}")

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
        out, truth = self._outcome, self._log.truth
        with connect(self._there.stack.database_url, autocommit=True) as conn:
            found = audit(conn, truth)
            out.lost, out.doubled, out.figures = found.lost, found.doubled, found.figures
            out.wrong += [_said(one) for one in found.differences[:20]]
            broken = conn.execute("SELECT count(*) FROM conservation_violation").fetchone()
            if broken != (0,):
                out.wrong.append(f"conservation is violated {broken} times")
            out.repeated = sum(positions(conn)) - len(self._log.messages)
            out.wrong += list(_verdicts(conn, truth.verdicts, out.repeated))


def _said(one: Difference) -> str:
    series = f"{one.server} {one.meter} {one.resource}"
    return f"{series} {one.figure}: {one.ledger} where the truth is {one.truth}"


def _verdicts(conn: Connection, wanted: dict[str, int], repeated: int) -> Iterator[str]:
    """Every message has one verdict, and every refused one lies among the dead letters."""
    found: Counter[str] = Counter()
    for (counts,) in conn.execute("SELECT counts FROM ingest_offset"):
        found.update(counts)
    more = {verdict: n - wanted.get(verdict, 0) for verdict, n in found.items()}
    fewer = [verdict for verdict, n in wanted.items() if found[verdict] < n]
    if fewer or sum(more.values()) != repeated:
        yield f"verdicts are {dict(found)} where {wanted} were due and {repeated} came twice"
    rows = conn.execute("SELECT reason, count(*) FROM dead_letter GROUP BY 1").fetchall()
    refused = {verdict.value for verdict in Verdict if verdict.refused}
    due = {verdict: n for verdict, n in found.items() if verdict in refused and n}
    if dict(rows) != due:
        yield f"dead letters are {dict(rows)} where {due} were refused"
