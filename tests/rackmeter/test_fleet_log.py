"""A log with every adversity on, and what the real core makes of it: the truth, to the unit.

Two seeds; ``RACKMETER_SEEDS=200`` tries as many.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Lane, Taken
from pipeline.names import NamesCache
from pipeline.partition import partition_of
from pipeline.records import Chunk
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.book import Book
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import PLACE, Log, registered_ms, simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.windows import WindowKey
from schemas.capture import Captured
from schemas.envelope import Key
from schemas.report import VALUE_MAX, Report
from schemas.verdict import Verdict
from tests.pipeline.world import World

HOUR_MS = 3_600_000
START_MS = 20_000 * 24 * HOUR_MS
SEEDS = range(int(os.environ.get("RACKMETER_SEEDS", "2")))
HOURS = (12, 12, 60)
"""In turns. After 43 hours the first reports are further back than any are remembered."""
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
        self.windows: dict[WindowKey, int] = {}
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


def windows_of(log: Log) -> dict[WindowKey, int]:
    return {
        (one.server, one.meter, one.resource, start_ms): units
        for one in log.truth.series
        for start_ms, units in one.windows or ()
    }


def assert_true(log: Log, found: Metered) -> None:
    truth = log.truth
    refused = {at: verdict.value for at, verdict in enumerate(log.verdicts) if verdict.refused}
    assert found.refused == refused
    assert dict(found.counts) == truth.verdicts
    assert found.windows == windows_of(log)
    life = {(one.server, one.meter, one.resource): one.life for one in truth.series if one.life}
    assert found.readings == life


@pytest.mark.parametrize("by_broker", [True, False], ids=["append", "create"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_core_reaches_the_truth_whatever_happens(seed: int, by_broker: bool) -> None:
    log = log_of(seed, by_broker=by_broker, hours=HOURS[seed % 3])
    assert_true(log, Metered(log, np.random.default_rng(seed)))


@pytest.mark.parametrize("adversity", Adversity)
def test_each_adversity_by_itself(adversity: Adversity) -> None:
    log = log_of(100, (adversity,), hours=12)
    assert_true(log, Metered(log, np.random.default_rng(1)))


# --- messages of old agents -----------------------------------------------------------------------


def corpus() -> list[tuple[Report, Captured]]:
    """The golden messages with their own signatures, origin by origin; but that with the largest
    numbers, which no window with anything in it can hold.
    """
    path = Path(__file__).parents[1] / "schemas" / "corpus" / "v1.json"
    found = map(golden, json.loads(path.read_text(encoding="utf-8")))
    usual = [(report, message) for report, message in found if max(report.value) < VALUE_MAX]
    return sorted(usual, key=lambda each: each[0].origin)


def golden(entry: dict[str, Any]) -> tuple[Report, Captured]:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entry["report"].items()
    }
    report = Report(**fields)
    headers = (("kid", f"k-{report.server}".encode()), ("sig", entry["signature"].encode()))
    return report, Captured(report.server.encode(), 0, headers, entry["body"].encode())


def test_golden_messages_of_old_agents_are_metered_among_all_others() -> None:
    log = log_of(1, hours=6)
    rng = np.random.default_rng(3)
    messages, verdicts = list(log.messages), list(log.verdicts)
    places = sorted(rng.integers(0, len(messages), len(corpus())).tolist(), reverse=True)
    book, keys = Book({}, by_broker=True), {key.kid: key for key in log.keys}
    expected = []
    for place, (report, message) in zip(reversed(places), corpus(), strict=True):
        stamp_ms = messages[place].ts_ms
        expected.append((replace(message, ts_ms=stamp_ms), book.enter(report, stamp_ms)))
        keys[f"k-{report.server}"] = Key(
            f"k-{report.server}", report.server, b"the secret of the corpus"
        )
    for place, (message, verdict) in zip(places, reversed(expected), strict=True):
        messages.insert(place, message)
        verdicts.insert(place, verdict)
    kinds = Counter(verdict for _, verdict in expected)
    assert kinds == {Verdict.ACCEPTED: 6, Verdict.DUPLICATE: 2, Verdict.CONFLICT: 1}
    found = Metered(replace(log, messages=messages, keys=[*keys.values()]), rng)
    refused = {at: verdict.value for at, verdict in enumerate(verdicts) if verdict.refused}
    assert found.refused == refused
    assert dict(found.counts) == Counter(verdict.value for verdict in verdicts)
    assert found.windows == windows_of(log) | {
        key: units for key, units in book.windows.items() if units
    }
