"""The same seed is the same schedule, everywhere; a long one has everything."""

import hashlib
from collections import Counter

import pytest

from tests.chaos.schedule import KILLS, SESSION_MS, STEPS, Kind, Schedule, schedule

SEEDS = range(20)
LONG = [schedule(seed, 60, 2, kafka=True) for seed in SEEDS]


def test_a_seed_is_one_schedule() -> None:
    """On every machine and in every process: a seed that was reported can be played again."""
    made = schedule(1, 20, 2, kafka=False)
    assert made == schedule(1, 20, 2, kafka=False)
    assert made != schedule(2, 20, 2, kafka=False)
    assert hashlib.sha256(repr(made).encode()).hexdigest()[:16] == "8cdd2d9c1de25036"


@pytest.mark.parametrize("kills", [1, 7, 60])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_kills_as_often_as_it_is_told_to(seed: int, kills: int) -> None:
    made = schedule(seed, kills, 3, kafka=False)
    assert sum(fault.kind in KILLS for fault in made.faults) == kills
    assert {fault.worker for fault in made.faults} <= {0, 1, 2}
    assert Kind.BROKER_KILL not in {fault.kind for fault in made.faults}


@pytest.mark.parametrize("made", LONG, ids=lambda made: made.seed)
def test_a_long_one_has_every_kind_and_every_step(made: Schedule) -> None:
    kinds = Counter(fault.kind for fault in made.faults)
    assert set(kinds) == set(Kind)
    assert {fault.step for fault in made.faults if fault.kind == Kind.CRASH} == set(STEPS)


@pytest.mark.parametrize("made", LONG, ids=lambda made: made.seed)
def test_faults_come_alone_and_in_bursts_and_freezes_outlast_sessions(made: Schedule) -> None:
    assert {fault.calm for fault in made.faults} == {True, False}
    assert all(fault.after_ms >= 1_250 for fault in made.faults if fault.calm)
    frozen = [f for f in made.faults if f.kind in (Kind.FREEZE, Kind.FREEZE_AT)]
    assert all(fault.lasts_ms > SESSION_MS for fault in frozen)
    assert made.last.kind == Kind.DATABASE_STOP


def test_some_replay_the_whole_topic() -> None:
    assert {made.replay for made in LONG} == {True, False}
