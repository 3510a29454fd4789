"""The law of delivery: nothing that an agent counted is lost, whatever comes and goes, crashes,
boots or does not arrive, once it could deliver.

The real loop and publisher run; a machine, a state folder and a Kafka client are played. What is
billed is worked out as the meter does: a report whose number is not above its origin's highest
changes nothing, else each series has used the most it was ever shown with.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import clock, gpu, loop, publish
from agents.config import Settings
from agents.integrate import Origin, shown_value
from agents.origin import FORMER_MAX
from agents.publish import Publisher
from agents.sample import Reading, Sample
from agents.spool import Spool
from agents.state import Store, decode, encode
from tests.agents.broker import SPOOL_BYTES, TARGET, Broker, Clock
from tests.agents.words import WALL_MS, disk, held, lives, nic, reading

SERIES = ("eth0", "eth1", "/a", "/b", "GPU-1")
WORDS = (
    *("report", "report", "report", "look", "look", "pump", "pump", "pump"),
    *(f"toggle {name}" for name in SERIES),
    *("restart", "crash before save", "crash after save", "full disk", "reboot", "reboot"),
    *("broker answers", "broker answers", "broker away", "broker silent", "answers get lost"),
    "late arrivals",
)
Billed = dict[tuple[str, str, str], int]
"""By origin, meter and resource."""


class CrashError(Exception):
    """kill -9."""


class Disk(Store):
    """A state file in memory that remembers the most it ever held of each series."""

    body: bytes = b""
    fails: str = ""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.counted: Billed = {}

    def load(self) -> Origin | None:
        return decode(self.body) if self.body else None

    def save(self, origin: Origin) -> None:
        if self.fails == "before":
            raise CrashError
        if self.fails == "full":
            raise OSError(28, "No space left on device")
        self.body = encode(origin)
        for meter, name in origin.sums:
            value = shown_value(origin, (meter, name))
            self.counted[origin.origin, meter, name] = value
        if self.fails == "after":
            raise CrashError


@dataclass
class World:
    folder: Path
    """Of the spool, which outlives the agent."""
    disk: Disk = field(default_factory=Disk)
    broker: Broker = field(default_factory=Broker)
    clock: Clock = field(default_factory=lambda: Clock(50_000))
    boots: int = 1
    serial: int = 1
    there: dict[str, Sample] = field(default_factory=dict)
    agent: loop.Agent | None = None

    def look(self, *_: object) -> Reading:
        return reading(self.clock.up_ms, *self.there.values(), others_hi=self.serial)

    def wait(self, ms: int) -> None:
        """Time passes; each NIC's counter grows by it."""
        self.clock.up_ms += ms
        for name in [name for name in self.there if name.startswith("eth")]:
            before = self.there[name]
            self.there[name] = nic(before.value + ms, name, before.serial)

    def toggle(self, name: str) -> None:
        if self.there.pop(name, None):
            return
        self.serial += 1
        born = {"e": nic(0, name, self.serial), "/": disk(2**30, name), "G": held(1, name)}
        self.there[name] = born[name[0]]

    def running(self) -> loop.Agent:
        """The agent; a started one reports at once."""
        if self.agent is None:
            chosen = Settings("s1", root=Path("/nowhere"))
            boot_id, spool = f"boot-{self.boots}", Spool(self.folder / "spool", SPOOL_BYTES, 2_000)
            publisher = Publisher(TARGET, self.clock, spool, boot_id, lambda: 0.0)
            with (
                patch.object(loop, "read_all", self.look),
                patch.object(clock, "boot_id", lambda _: f"boot-{self.boots}"),
            ):
                self.agent = loop.begin(chosen, publisher, self.disk)
        return self.agent

    def step(self, word: str) -> None:
        first, _, rest = word.partition(" ")
        match first:
            case "report":
                self.running().report(self.look())
            case "pump":
                self.running().publisher.pump()
            case "look":
                gpus = tuple(one for name, one in self.there.items() if name[0] == "G")
                at_ms = WALL_MS + self.clock.up_ms
                self.running().integrate(Reading(at_ms, self.clock.up_ms, gpus, gpu.METERS))
            case "toggle":
                self.toggle(rest)
            case "crash" | "full":
                self.running()
                self.disk.fails = {"crash": rest.split(" ")[0], "full": "full"}[first]
                with suppress(CrashError):
                    self.running().report(self.look())
                self.disk.fails = ""
                self.agent = self.agent if first == "full" else None
            case "restart":
                self.agent = None
            case "reboot":
                self.boots, self.serial, self.agent = self.boots + 1, 1, None
                self.clock, self.there = Clock(1000), {}
            case "late":
                self.broker.latecomers()
            case _:
                self.turn(word)

    def turn(self, word: str) -> None:
        timeout = KafkaError(KafkaError._MSG_TIMED_OUT)
        self.broker.error = timeout if word in ("broker away", "answers get lost") else None
        self.broker.keeps = word == "answers get lost"
        self.broker.answers = word != "broker silent"

    def deliver(self) -> None:
        """The broker is back, and the agent has the time to send what it has."""
        self.turn("broker answers")
        self.step("report")
        publisher = self.running().publisher
        assert publisher.flush(2**62, lambda: False)
        assert publisher.unsent == 0


def billed(arrived: list[dict[str, Any]]) -> Billed:
    heads, used = dict[str, int](), Billed()
    for body in arrived:
        origin = body["origin"]
        if body["seq"] <= heads.get(origin, 0):
            continue
        heads[origin] = body["seq"]
        for series in zip(body["meter"], body["resource"], body["value"], strict=True):
            *name, value = series
            used[origin, *name] = max(value, used.get((origin, *name), 0))
    return used


@given(
    lives(st.tuples(st.sampled_from(WORDS), st.integers(1, 9_000)), FORMER_MAX - 1),
    st.sets(st.sampled_from(SERIES)),
)
@settings(max_examples=500, deadline=None)
def test_nothing_that_was_counted_is_lost(steps: list[tuple[str, int]], there: set[str]) -> None:
    with TemporaryDirectory() as folder:
        check(World(Path(folder)), steps, there)


def check(world: World, steps: list[tuple[str, int]], there: set[str]) -> None:
    with patch.object(publish, "Producer", world.broker.client):
        for name in sorted(there):
            world.toggle(name)
        for word, ms in steps:
            world.step(word)
            world.wait(ms)
        world.deliver()
        assert billed(world.broker.arrived) == world.disk.counted
        world.step("report")
    assert {name for _, name in decode(world.disk.body).shown} == set(world.there)
    assert not decode(world.disk.body).gone
    assert not decode(world.disk.body).former
    world.broker.latecomers()
    assert billed(world.broker.arrived) == world.disk.counted
