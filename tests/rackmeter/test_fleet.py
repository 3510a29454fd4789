"""The simulator: the same seed gives the same month, and its truth is what its readings say."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.meter import Arrival, meter
from pipeline.names import NamesCache
from pipeline.partition import partition_of
from pipeline.records import Chunk
from rackmeter.fleet import truth as truth_file
from rackmeter.fleet.life import Life, live
from rackmeter.fleet.messages import Encoder, Message
from rackmeter.fleet.mishaps import TWISTS, Schedule, Send, schedules
from rackmeter.fleet.plan import INTERVAL_MS, FleetPlan, Machine, machines
from rackmeter.fleet.publish import Destination, StoppedError, messages, publish
from rackmeter.fleet.truth import series_of, truth_of, used_until, windows_of
from rackmeter.fleet.windows import WindowKey
from rackmeter.topics import create_topics
from schemas.envelope import Key, headers
from schemas.meters import METERS
from schemas.report import encode
from schemas.verdict import Verdict
from tests.pipeline.world import RULES, World

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
LATER_MS = START_MS + 40 * DAY_MS
"""When everything is sent: a month is read first and sent afterwards."""
PLACE = Destination("", "usage.reports", "test")
plans = st.builds(
    lambda seed, servers, hours, mishaps: FleetPlan(
        seed, servers, START_MS, START_MS + hours * 3_600_000, mishaps=mishaps
    ),
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.integers(1, 60),
    st.sampled_from([0, 1, 30]),
)


def fleet(plan: FleetPlan) -> list[Schedule]:
    return schedules(plan, [live(plan, machine) for machine in machines(plan)])


def key_of(server: str) -> Key:
    return Key(f"kid-{server}", server, f"secret of {server}".encode())


def small(at_ms: list[int], value: list[list[int]], **changes: object) -> Life:
    """A life written by hand: one series, since 0, unless said otherwise."""
    machine = Machine(0, "s", 1, ("eth0",), (), (), False, False, 0, 0)
    life = Life(
        machine=machine,
        meter=("net.tx_bytes",),
        resource=("eth0",),
        first=(0,),
        origins=("o1",),
        since_ms=(0,),
        up_ms=(0,),
        at_ms=np.array(at_ms),
        origin=np.zeros(len(at_ms), np.int64),
        seq=np.arange(1, len(at_ms) + 1),
        value=np.array(value, np.int64),
    )
    return replace(life, **changes)  # type: ignore[arg-type]


# --- by hand --------------------------------------------------------------------------------------


def test_what_was_used_until_an_instant() -> None:
    #   0        100        300
    #   |---10----|---(+7)---|      10 until 100; then 7 in 200 ms, rounded down
    life = small([100, 300], [[10], [17]])
    assert [used_until(life, 0, at) for at in (0, 50, 99, 100, 200, 299, 300, 999)] == [
        0, 5, 9, 10, 13, 16, 17, 17,
    ]  # fmt: skip


def test_a_reboot_adds_the_new_origin() -> None:
    #   0     100 reboot at 150    200     300
    #   |--10--|      |------4------|--+2---|
    life = small(
        [100, 200, 300],
        [[10], [4], [6]],
        origins=("o1", "o2"),
        since_ms=(0, 150),
        origin=np.array([0, 1, 1]),
        seq=np.array([1, 1, 2]),
    )
    assert [used_until(life, 0, at) for at in (100, 150, 175, 200, 250, 300)] == [
        10, 10, 12, 14, 15, 16,
    ]  # fmt: skip


def test_windows_of_a_lost_report_are_split_evenly() -> None:
    #   0      300 s   600 s (lost)   900 s
    life = small([300_000, 600_000, 900_000], [[5], [100], [106]])
    schedule = Schedule(life, {1: ()}, lost=1)
    assert windows_of(schedule) == {
        ("s", "net.tx_bytes", "eth0", 0): 5,
        ("s", "net.tx_bytes", "eth0", 300_000): 50,
        ("s", "net.tx_bytes", "eth0", 600_000): 51,
    }


def test_an_overtaken_report_changes_no_total() -> None:
    life = small([300_000, 600_000, 900_000], [[5], [100], [106]])
    swapped = Schedule(life, {1: (Send(2),), 2: (Send(1, Verdict.LATE),)})
    assert sum(windows_of(swapped).values()) == sum(windows_of(Schedule(life)).values()) == 106


def test_a_period_is_refused_between_two_intervals() -> None:
    with pytest.raises(ValueError, match="on an interval"):
        FleetPlan(1, 1, START_MS + 1, START_MS + DAY_MS)


# --- laws -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(plans)
def test_the_same_seed_gives_the_same_month(plan: FleetPlan) -> None:
    one, two = fleet(plan), fleet(plan)
    assert truth_of(plan, one) == truth_of(plan, two)
    keys = {schedule.life.machine.id: key_of(schedule.life.machine.id) for schedule in one}
    first = list(messages(one, keys, PLACE, lambda: LATER_MS))
    assert first == list(messages(two, keys, PLACE, lambda: LATER_MS))


@settings(max_examples=25, deadline=None)
@given(plans)
def test_windows_sum_to_the_truth(plan: FleetPlan) -> None:
    for schedule in fleet(plan):
        life_sum: dict[tuple[str, str], int] = defaultdict(int)
        period_sum: dict[tuple[str, str], int] = defaultdict(int)
        for (_, name, resource, start_ms), units in windows_of(schedule).items():
            life_sum[name, resource] += units
            if plan.start_ms <= start_ms < plan.end_ms:
                period_sum[name, resource] += units
        for one in series_of(plan, schedule.life):
            assert life_sum[one.meter, one.resource] == one.life
            assert period_sum[one.meter, one.resource] == one.period


@settings(max_examples=25, deadline=None)
@given(plans)
def test_a_life_is_possible(plan: FleetPlan) -> None:
    """Counters never fall in an origin, stay inside what hardware can do, end past the end."""
    for schedule in fleet(plan):
        life = schedule.life
        assert life.at(-1) > plan.end_ms >= life.at(-2)
        for index, since_ms in enumerate(life.since_ms):
            readings = life.readings_of(index)
            at = np.concatenate([[since_ms], life.at_ms[readings]])
            gain = np.diff(life.value[readings], axis=0, prepend=0)
            assert (np.diff(at) > 0).all()
            assert (gain >= 0).all()
            for column, name in enumerate(life.meter):
                bound = METERS[name].per_second_max * np.diff(at) // 1000
                assert (gain[:, column] <= bound).all(), name
            assert life.seq[readings].tolist() == list(range(1, len(readings) + 1))


@settings(max_examples=10, deadline=None)
@given(plans)
def test_the_fast_bytes_are_the_wire(plan: FleetPlan) -> None:
    for schedule in fleet(plan):
        life, server = schedule.life, schedule.life.machine.id
        encoder = Encoder(life, key_of(server), PLACE.environment, PLACE.topic)
        for reading in life.taken[:: max(1, len(life) // 20)]:
            report = life.report(reading, LATER_MS)
            body = encode(report)
            signed = headers(report, body, key_of(server), PLACE.environment, PLACE.topic)
            assert encoder.message(reading, LATER_MS) == (
                server.encode(),
                body,
                signed,
            )


def test_a_truth_file_is_read_back(tmp_path: Path) -> None:
    plan = FleetPlan(5, 3, START_MS, START_MS + DAY_MS)
    truth = truth_of(plan, fleet(plan))
    truth_file.write(truth, tmp_path / "truth.jsonl")
    assert truth_file.read(tmp_path / "truth.jsonl") == truth


# --- against the meter ----------------------------------------------------------------------------


def test_every_mishap_happens_and_the_meter_reaches_the_truth() -> None:
    """Every verdict is the one that the schedule says, and every window holds what it must."""
    plan = FleetPlan(11, 16, START_MS, START_MS + 7 * DAY_MS, mishaps=10)
    lives = fleet(plan)
    truth = truth_of(plan, lives)
    assert set(truth.verdicts) == {*TWISTS, Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.LATE}
    assert truth.lost > 0
    kinds = ("heavy", "reboot", "new_nic", "silent", "gpus", "phase_ms", "lead_slots")
    for kind in kinds:
        assert any(getattr(machine, kind) for machine in machines(plan)), kind
    keys = {schedule.life.machine.id: key_of(schedule.life.machine.id) for schedule in lives}
    sent = [m for tick in messages(lives, keys, PLACE, lambda: LATER_MS) for m in tick]
    assert len(sent) == truth.reports
    counts, windows = _metered(sent, keys)
    assert counts == truth.verdicts
    expected: dict[WindowKey, int] = {}
    for schedule in lives:
        expected |= windows_of(schedule)
    assert windows == expected


def _metered(
    sent: list[Message], keys: dict[str, Key]
) -> tuple[Counter[str], dict[WindowKey, int]]:
    """Verdicts and windows of the real decoder and the real meter, in chunks of 500."""
    ring = Keyring(keys.values())
    counts: Counter[str] = Counter()
    windows: dict[WindowKey, int] = {}
    for part, records in _partitions(sent).items():
        world, names = World(), NamesCache()
        for start in range(0, len(records), 500):
            chunk = Chunk(PLACE.topic, part, records[start : start + 500])
            batch, dead = decode(chunk, ring, names, environment=PLACE.environment, partitions=4)
            counts.update(letter.reason.value for letter in dead)
            offset = np.array([chunk.records[row].offset for row in batch.record], np.int64)
            meter(batch, Arrival(batch.at_ms, offset, {}), world.heads, world.out, RULES)
        counts.update(world.out.counts)
        for (server, start_ms, name, resource), units in world.windows().items():
            windows[server, name, resource, start_ms] = units
    return counts, windows


def _partitions(sent: list[Message]) -> dict[int, list[SimpleNamespace]]:
    parts: dict[int, list[SimpleNamespace]] = defaultdict(list)
    for key, body, head in sent:
        records = parts[partition_of(key, 4)]
        record = {"timestamp": 0, "timestamp_type": 0, "key": key, "value": body, "headers": head}
        records.append(SimpleNamespace(offset=len(records), **record))
    return parts


def test_everything_sent_is_in_the_topic(bootstrap: str, topic_prefix: str) -> None:
    plan = FleetPlan(2, 3, START_MS, START_MS + 3_600_000)
    lives = fleet(plan)
    keys = {schedule.life.machine.id: key_of(schedule.life.machine.id) for schedule in lives}
    place = Destination(bootstrap, f"{topic_prefix}reports", "test")
    create_topics(bootstrap, {place.topic: 2})
    allowed = iter([0, 0, 10**9])
    sent = publish(lives, keys, place, limit=lambda: next(allowed, 10**9))
    assert sent == truth_of(plan, lives).reports == _stored(place, 2)
    with pytest.raises(StoppedError):
        publish(lives, keys, place, limit=lambda: 0, stopped=lambda: True)
    assert _stored(place, 2) == sent


def _stored(place: Destination, partitions: int) -> int:
    """Messages read from the start; asked for, the embedded broker misstates its log's end."""
    consumer = Consumer({"bootstrap.servers": place.bootstrap, "group.id": "none"})
    consumer.assign([TopicPartition(place.topic, part, 0) for part in range(partitions)])
    try:
        count = 0
        while read := consumer.consume(1000, timeout=1):
            count += len(read)
        return count
    finally:
        consumer.close()


def test_readings_lie_on_edges_and_at_odd_moments() -> None:
    phases = {
        machine.phase_ms for machine in machines(FleetPlan(1, 20, START_MS, START_MS + DAY_MS))
    }
    assert 0 in phases
    assert any(phase % INTERVAL_MS for phase in phases)
