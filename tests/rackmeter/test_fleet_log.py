"""A log with every adversity on, and what the real core makes of it: the truth, to the unit.

The seeds are 0 … 2; ``RACKMETER_SEEDS=200`` tries as many.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import numpy as np
import pytest

from pipeline.decode import NamesCache
from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Lane, Taken
from pipeline.partition import partition_of
from pipeline.records import Chunk
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import PLACE, Log, registered_ms, simulate
from rackmeter.fleet.plan import FleetPlan
from schemas.capture import Captured
from tests.pipeline.world import World

HOUR_MS = 3_600_000
START_MS = 20_000 * 24 * HOUR_MS
SEEDS = range(int(os.environ.get("RACKMETER_SEEDS", "3")))
PARTITIONS = 3


@lru_cache(maxsize=8)
def log_of(
    seed: int, adversities: tuple[Adversity, ...] = ALL, *, by_broker: bool = True, hours: int = 24
) -> Log:
    end_ms = START_MS + hours * HOUR_MS
    plan = FleetPlan(seed, ALL_AT_ONCE, START_MS, end_ms, mishaps=3, adversities=adversities)
    return simulate(plan, by_broker=by_broker)


@dataclass(frozen=True)
class Rec:
    """A message of the topic at an offset of its partition."""

    offset: int
    timestamp: int
    timestamp_type: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def record(message: Captured, offset: int, timestamp_type: int) -> Rec:
    headers = [(name, value or b"") for name, value in message.headers]
    return Rec(offset, message.ts_ms, timestamp_type, message.key, message.value, headers)


class Metered:
    """What the core made of a log: several partitions, each in chunks of any size."""

    def __init__(self, log: Log, rng: np.random.Generator) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: dict[int, str] = {}
        self.windows: dict[tuple[str, str, str, int], int] = {}
        self.readings: dict[tuple[str, str, str], int] = {}
        by_part: dict[int, list[int]] = defaultdict(list)
        for place, message in enumerate(log.messages):
            by_part[partition_of(message.key or b"", PARTITIONS)].append(place)
        for part, places in by_part.items():
            self._meter(log, part, places, rng)

    def _meter(self, log: Log, part: int, places: list[int], rng: np.random.Generator) -> None:
        world = World()
        lane = Lane(UUID(int=1), part, UUID(int=2), 0, 0, Counter(), world.heads, world.out)
        intake = Intake(
            Keyring(log.keys), dict(registered_ms(log.keys)), NamesCache(),
            PLACE.environment, PARTITIONS,
        )  # fmt: skip
        kind = int(log.truth.by_broker)
        records = [record(log.messages[place], at, kind) for at, place in enumerate(places)]
        for chunk in chunks(records, rng):
            taken = lane.take(Chunk(PLACE.topic, part, chunk), intake, log.messages[-1].ts_ms)
            assert taken is Taken.METERED
        self.counts += lane.out.counts
        self.refused |= {places[dead.offset]: dead.reason.value for dead in lane.out.dead}
        for (server, start_ms, meter, resource), units in world.windows().items():
            self.windows[server, meter, resource, start_ms] = units
        self.readings |= world.readings()


def chunks(records: Sequence[Rec], rng: np.random.Generator) -> Iterator[Sequence[Rec]]:
    at = 0
    while at < len(records):
        size = int(rng.integers(1, (2, 20, 2000)[int(rng.integers(0, 3))]))
        yield records[at : at + size]
        at += size


def assert_true(log: Log, found: Metered) -> None:
    truth = log.truth
    expected = {
        (one.server, one.meter, one.resource, start_ms): units
        for one in truth.series
        for start_ms, units in one.windows or ()
    }
    refused = {at: verdict.value for at, verdict in enumerate(log.verdicts) if verdict.refused}
    assert found.refused == refused
    assert dict(found.counts) == truth.verdicts
    assert found.windows == expected
    life = {(one.server, one.meter, one.resource): one.life for one in truth.series if one.life}
    assert found.readings == life


@pytest.mark.parametrize("by_broker", [True, False], ids=["append", "create"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_core_reaches_the_truth_whatever_happens(seed: int, by_broker: bool) -> None:
    log = log_of(seed, by_broker=by_broker)
    assert_true(log, Metered(log, np.random.default_rng(seed)))


@pytest.mark.parametrize("adversity", Adversity)
def test_each_adversity_by_itself(adversity: Adversity) -> None:
    log = log_of(100, (adversity,), hours=12)
    assert_true(log, Metered(log, np.random.default_rng(1)))
