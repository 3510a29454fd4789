"""The rules of billable counters as tables: reports in, windows out, one sentence why.

Every case is metered one by one and in chunks of several sizes; all must say the same, leave the
same memory, and windows must sum to the last readings.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.admit import SEEN, elapsed_s
from pipeline.heads import Chains, ConservationError, Head, Reading, conserve, names_of
from schemas.verdict import Verdict
from tests.pipeline import clerk
from tests.pipeline.clerk import Case, clock
from tests.pipeline.world import World, names, reading

FIRST = [
    Case(
        "the first report is spread from the origin's beginning",
        "Its counters were zero at since, so what they show was used between then and now.",
        "o1#1 00:10 tx=100 -> accepted",
        """
        00:00 tx=50
        00:05 tx=50
        """,
        cover="",
    ),
    Case(
        "not before the server was registered",
        "A machine that ran for days before it was enrolled pays for what it used, from then on.",
        "o1#1 00:10 tx=100 -> accepted",
        "00:05 tx=100",
        registered="00:05",
    ),
    Case(
        "read at the moment of the boot",
        "No time has passed since the beginning: it belongs to the millisecond before.",
        "o1#1 00:05 tx=3 up=0 -> accepted",
        "00:00 tx=3",
        since={"o1": "00:05"},
    ),
    Case(
        "a beginning in the future of the reading",
        "A wall clock that was set back after boot: all of it to the reading's window, then on.",
        """
        o1#1 00:07 tx=3 up=60 -> accepted
        o1#2 00:12 tx=8 up=360 -> accepted
        """,
        """
        00:05 tx=6
        00:10 tx=2
        """,
        since={"o1": "00:30"},
        cover="""
        00:05 180
        00:10 120
        """,
    ),
    Case(
        "read before the server was registered",
        "A spool filled before enrolment: to the reading's window, not to a later one.",
        """
        o1#1 00:07 tx=3 -> accepted
        o1#2 00:12 tx=8 -> accepted
        """,
        """
        00:05 tx=6
        00:10 tx=2
        """,
        registered="00:30",
    ),
    Case(
        "a first report of zeros",
        "Nothing was used and nothing is billed, but the server is known from now on.",
        """
        o1#1 00:02 tx=0 -> accepted
        o1#2 00:04 tx=7 -> accepted
        """,
        "00:00 tx=7",
        cover="00:00 120",
    ),
]
SPLITS = [
    Case(
        "an odd sum over two windows",
        "Seven over two halves: the earlier window gets the floor, the later the rest.",
        """
        o1#1 00:00 tx=0 up=0 -> accepted
        o1#2 00:10 tx=7 -> accepted
        """,
        """
        00:00 tx=3
        00:05 tx=4
        """,
        cover="""
        00:00 300
        00:05 300
        """,
    ),
    Case(
        "a reading exactly at the edge",
        "The window before is complete; the next one is not touched.",
        """
        o1#1 00:05 tx=10 -> accepted
        o1#2 00:10 tx=25 -> accepted
        """,
        """
        00:00 tx=10
        00:05 tx=15
        """,
        cover="00:05 300",
    ),
    Case(
        "a millisecond over the edge",
        "The share of a millisecond of 300,001 is floored into the first window's rest.",
        """
        o1#1 00:05 tx=0 -> accepted
        o1#2 00:10:00.001 tx=300001 -> accepted
        """,
        """
        00:05 tx=300000
        00:10 tx=1
        """,
    ),
    Case(
        "three windows at once",
        "Cumulative floors: 33, 66, 100.",
        """
        o1#1 00:00 tx=0 up=0 -> accepted
        o1#2 00:15 tx=100 -> accepted
        """,
        """
        00:00 tx=33
        00:05 tx=33
        00:10 tx=34
        """,
    ),
    Case(
        "the largest counter there is",
        "No sum wraps: two windows and the reading are exact near 2^63.",
        """
        o1#1 00:00 x=0 up=0 -> accepted
        o1#2 00:10 x=2^63-17 -> accepted
        """,
        """
        00:00 x=4611686018427387895
        00:05 x=4611686018427387896
        """,
    ),
    Case(
        "a window may not exceed 64 bits",
        "Two origins of 2^62 in one window: the second is refused, the first stays billed.",
        """
        o1#1 00:01 x=4611686018427387904 -> accepted
        o2#1 00:02 x=4611686018427387904 -> implausible
        o2#1 00:02 x=5 -> accepted
        """,
        "00:00 x=4611686018427387909",
        since={"o2": "00:01"},
    ),
]
IDENTITY = [
    Case(
        "a lost report",
        "The next one shows everything; only the time is known less finely.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#3 00:15 tx=300 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "a late report",
        "Its difference is already in the newer reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#3 00:15 tx=300 -> accepted
        o1#2 00:10 tx=290 -> late
        o1#2 00:10 tx=290 -> duplicate
        o1#2 00:10 tx=291 -> conflict
        """,
        """
        00:00 tx=100
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "the same report twice",
        "A retry after a lost answer counts once.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=100 -> duplicate
        o1#2 00:10 tx=200 -> accepted
        o1#1 00:05 tx=100 -> duplicate
        o1#2 00:10 tx=200 -> duplicate
        """,
        """
        00:00 tx=100
        00:05 tx=100
        """,
    ),
    Case(
        "the same identity with other content",
        "A sequence number is used once; the second one is put aside for a person.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=101 -> conflict
        o1#2 00:10 tx=200 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100
        """,
    ),
    Case(
        "very old",
        "More than 512 behind: harmless, whatever it says.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#600 00:05 tx=100 -> accepted
        o1#1 00:01 tx=1 -> late
        o1#88 00:02 tx=77 -> late
        o1#88 00:02 tx=99 -> late
        o1#89 00:02 tx=77 -> late
        o1#89 00:02 tx=78 -> conflict
        """,
        "00:00 tx=100",
    ),
    Case(
        "skipped numbers that share a place with older ones",
        "Number 513 was never seen, though number 1 was: it is late, not in conflict with 1.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:02 tx=2 -> accepted
        o1#600 00:05 tx=100 -> accepted
        o1#513 00:04 tx=50 -> late
        o1#514 00:04 tx=51 -> late
        """,
        "00:00 tx=100",
    ),
    Case(
        "a leap of numbers in the middle of a chunk",
        "The same on the fast path: number 514 was never seen, though number 2 was.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:02 tx=2 -> accepted
        o1#600 00:04 tx=100 -> accepted
        """,
        "00:00 tx=100",
    ),
]
CONTRACT = [
    Case(
        "a counter that falls",
        "Refused; its number is not used up, and the next good report makes up for it.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:10 tx=99 -> regression
        o1#2 00:10 tx=150 -> accepted
        o1#3 00:15 tx=149 -> regression
        o1#4 00:20 tx=250 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=50
        00:10 tx=50
        00:15 tx=50
        """,
    ),
    Case(
        "more than the hardware can do",
        "A GPU is busy for at most 1,000 ms a second, a second of slack is granted: 301 s.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o1#2 00:10 gpu=301101 -> implausible
        o1#2 00:10 gpu=301100 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=301000
        """,
    ),
    Case(
        "elapsed is counted on the boot clock",
        "The wall clock says a second, the machine has run for five minutes.",
        """
        o1#1 00:05:00 gpu=100 -> accepted
        o1#2 00:05:01 gpu=300000 up=600 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=299900
        """,
    ),
    Case(
        "the first report is bounded by the longer of both clocks",
        "Running for ten minutes by the wall clock: at most 601 s of a GPU.",
        """
        o1#1 00:10 gpu=601001 up=1 -> implausible
        o1#1 00:10 gpu=601000 up=1 -> accepted
        """,
        """
        00:00 gpu=300500
        00:05 gpu=300500
        """,
    ),
    Case(
        "one series falls, another is impossible",
        "Both at once is a regression; one bad sample refuses the whole report.",
        """
        o1#1 00:05 gpu=100 tx=100 -> accepted
        o1#2 00:10 gpu=999999 tx=99 -> regression
        o1#2 00:10 tx=99 gpu=999999 -> regression
        o1#2 00:10 gpu=999999 tx=200 -> implausible
        o1#2 00:10 gpu=200 tx=200 -> accepted
        """,
        """
        00:00 gpu=100 tx=100
        00:05 gpu=100 tx=100
        """,
    ),
    Case(
        "a server whose first report is refused",
        "It stays unknown, and a corrected first report is spread as if nothing had been.",
        """
        o1#1 00:10 gpu=9999999 -> implausible
        o1#1 00:10 gpu=100 -> accepted
        """,
        """
        00:00 gpu=50
        00:05 gpu=50
        """,
    ),
]
SERIES = [
    Case(
        "a series first seen under a known origin",
        "A second NIC is plugged in: spread from the server's previous report.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:10 tx=200 t1=50 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100 t1=50
        """,
    ),
    Case(
        "a series that is absent and comes back",
        "It differs from its own last reading, spread over its absence.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o1#2 00:12 tx=200 -> accepted
        o1#3 00:15 tx=300 t1=30 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=71 t1=10
        00:10 tx=129 t1=10
        """,
        late="00:05 t1=10 late",
    ),
    Case(
        "absent, back and smaller",
        "A counter never falls within an origin, however long it was away.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o1#2 00:10 tx=200 -> accepted
        o1#3 00:15 tx=300 t1=9 -> regression
        o1#3 00:15 tx=300 t1=10 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "the bound of a series that was away",
        "Ten minutes since its own last reading: 601 s of GPU time, not 301.",
        """
        o1#1 00:05 tx=1 gpu=0 -> accepted
        o1#2 00:10 tx=1 -> accepted
        o1#3 00:15 tx=1 gpu=601001 -> implausible
        o1#3 00:15 tx=1 gpu=601000 -> accepted
        """,
        """
        00:00 tx=1
        00:05 gpu=300500
        00:10 gpu=300500
        """,
    ),
    Case(
        "another order",
        "Series are known by name, not by place.",
        """
        o1#1 00:05 tx=100 rx=7 -> accepted
        o1#2 00:10 rx=9 tx=200 -> accepted
        o1#3 00:15 tx=300 rx=9 -> accepted
        """,
        """
        00:00 tx=100 rx=7
        00:05 tx=100 rx=2
        00:10 tx=100
        """,
    ),
    Case(
        "series come and go in every report",
        "Each keeps its own reading and time.",
        """
        o1#1 00:05 tx=10 -> accepted
        o1#2 00:06 rx=20 -> accepted
        o1#3 00:07 t1=30 -> accepted
        o1#4 00:08 t1=31 tx=12 rx=20 -> accepted
        """,
        """
        00:00 tx=10
        00:05 rx=20 t1=31 tx=2
        """,
    ),
]
ORIGINS = [
    Case(
        "a reboot",
        "A new origin begins at zero: both are billed, nothing is guessed in between.",
        """
        o1#7 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o2#2 00:15 tx=30 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        00:10 tx=10
        """,
        since={"o2": "00:06"},
        cover="00:10 300",
    ),
    Case(
        "not before the former origin's last reading",
        "A clock that jumped at boot: the time before is already metered.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        """,
        since={"o2": "00:01"},
    ),
    Case(
        "a reboot with fewer series",
        "What the new origin has not reported reads zero in it; the old reading stays billed.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o2#2 00:15 tx=30 t1=4 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=20
        00:10 tx=10 t1=4
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "a reboot with more series",
        "The new NIC's counter is zero at since as well.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 t1=6 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20 t1=6
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "a reboot with series in another order",
        "Within one window, the open quantities move with their names.",
        """
        o1#1 00:01 tx=100 rx=7 -> accepted
        o2#1 00:03 rx=1 tx=20 -> accepted
        """,
        "00:00 tx=120 rx=8",
        since={"o2": "00:02"},
    ),
    Case(
        "a reboot with other series altogether",
        "Nothing in common: all four quantities stand.",
        """
        o1#1 00:01 tx=100 rx=7 -> accepted
        o2#1 00:03 t1=5 gpu=6 -> accepted
        o2#2 00:04 t1=6 gpu=7 tx=1 -> accepted
        """,
        "00:00 tx=101 rx=7 t1=6 gpu=7",
        since={"o2": "00:02"},
    ),
    Case(
        "a late tail of the former origin",
        "Spooled before the crash, sent after it: it extends its own chain, as late entries.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=130 -> accepted
        o1#2 00:08 tx=130 -> late
        o1#1 00:05 tx=100 -> late
        """,
        """
        00:00 tx=100
        00:05 tx=30
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 tx=30 tail",
    ),
    Case(
        "an origin that was over before it was heard of",
        "Its one report comes after its successor's: late entries, and the successor goes on.",
        """
        o2#1 00:15 tx=20 -> accepted
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=100 -> late
        o2#2 00:20 tx=50 -> accepted
        """,
        """
        00:00 tx=100
        00:10 tx=20
        00:15 tx=30
        """,
        since={"o2": "00:10"},
        late="00:00 tx=100 tail",
        cover="00:15 300",
    ),
    Case(
        "a tail that breaks the contract",
        "It is refused like any other, and a corrected one is accepted.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=99 -> regression
        o1#2 00:08 tx=110 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=10
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 tx=10 tail",
    ),
    Case(
        "a tail with a series its origin never had",
        "Spread from that origin's last reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=100 t1=9 -> accepted
        """,
        """
        00:00 tx=100
        00:05 t1=9
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 t1=9 tail",
    ),
    Case(
        "a new origin that is refused",
        "The running one goes on as if it had never been.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o2#1 00:10 gpu=9999999 -> implausible
        o1#2 00:10 gpu=200 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=100
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "three origins",
        "A restored image comes with an id of its own; every chain is billed to its last reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o3#1 00:15 tx=3 -> accepted
        o1#2 00:15 tx=101 -> accepted
        o2#2 00:15 tx=22 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        00:10 tx=6
        """,
        since={"o2": "00:06", "o3": "00:11"},
        late="""
        00:10 tx=1 tail
        00:10 tx=2 tail
        """,
    ),
]
CLOCKS = [
    Case(
        "the clock steps back",
        "All of it to the newer reading's window, which is over: a late entry.",
        """
        o1#1 00:12 tx=100 -> accepted
        o1#2 00:07 tx=130 up=780 -> accepted
        o1#3 00:14 tx=140 up=840 -> accepted
        """,
        """
        00:00 tx=41
        00:05 tx=72
        00:10 tx=27
        """,
        late="00:05 tx=30 late",
        cover="00:10 120",
    ),
    Case(
        "two readings at the same time",
        "The interval is not positive: all of it to the window that ends there.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:05 tx=130 up=301 -> accepted
        """,
        "00:00 tx=130",
        cover="",
    ),
    Case(
        "two readings at the same time inside a window",
        "To the open window.",
        """
        o1#1 00:06 tx=120 -> accepted
        o1#2 00:06 tx=130 up=361 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=30
        """,
    ),
    Case(
        "a reboot whose beginning lies in the future",
        "The time of the reading counts, and the next interval is observed.",
        """
        o1#1 00:02 tx=1 -> accepted
        o2#1 00:04 tx=5 up=60 -> accepted
        o2#2 00:05 tx=6 up=120 -> accepted
        """,
        "00:00 tx=7",
        since={"o2": "02:00"},
        cover="00:00 60",
    ),
    Case(
        "a reboot into an earlier time",
        "The former origin's last reading is later: the interval is not positive.",
        """
        o1#1 00:12 tx=120 -> accepted
        o2#1 00:03 tx=5 -> accepted
        """,
        """
        00:00 tx=55
        00:05 tx=50
        00:10 tx=20
        """,
        since={"o2": "00:01"},
        late="00:00 tx=5 late",
    ),
]
COVERAGE = [
    Case(
        "neighbouring readings within the gap limit",
        "Fifteen minutes are observed to the millisecond.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:16 tx=1 -> accepted
        """,
        "00:00 tx=1",
        cover="""
        00:00 240
        00:05 300
        00:10 300
        00:15 60
        """,
    ),
    Case(
        "a millisecond longer",
        "A gap: metered all the same, and marked as not observed.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:16:00.001 tx=901 -> accepted
        o1#3 00:18 tx=901 -> accepted
        """,
        """
        00:00 tx=240
        00:05 tx=300
        00:10 tx=300
        00:15 tx=61
        """,
        cover="00:15 119",
    ),
    Case(
        "between two origins nothing is observed",
        "Coverage is time between readings of one origin.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:03 tx=1 -> accepted
        o2#1 00:06 tx=1 -> accepted
        o2#2 00:08 tx=1 -> accepted
        """,
        """
        00:00 tx=1
        00:05 tx=1
        """,
        since={"o2": "00:05"},
        cover="""
        00:00 120
        00:05 120
        """,
    ),
]
CASES = FIRST + SPLITS + IDENTITY + CONTRACT + SERIES + ORIGINS + CLOCKS + COVERAGE


def one_by_one(readings: Sequence[Reading]) -> World:
    return World().one_by_one(readings)


def chunks_of_one(readings: Sequence[Reading]) -> World:
    world = World()
    for r in readings:
        world.chunk([r])
    return world


def one_chunk(readings: Sequence[Reading]) -> World:
    world = World()
    world.chunk(readings)
    return world


def known_then_chunk(readings: Sequence[Reading]) -> World:
    """Only a server that is known already can be ordinary in a chunk."""
    world = World()
    world.chunk(readings[:1])
    if readings[1:]:
        world.chunk(readings[1:])
    return world


WAYS = [one_by_one, chunks_of_one, one_chunk, known_then_chunk]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, way: Callable[[Sequence[Reading]], World]) -> None:
    world = way(case.readings)
    assert clerk.said_windows(world) == clerk.windows(case.windows), case.why
    assert clerk.said_late(world) == clerk.late(case.late), case.why
    assert world.out.counts == _counted(case.verdicts), case.why
    if case.cover is not None:
        assert clerk.said_cover(world) == clerk.cover(case.cover), case.why
    assert world.totals() == world.readings()
    assert world.finished_once()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_verdict(case: Case) -> None:
    assert one_by_one(case.readings).verdicts == case.verdicts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_way_leaves_the_same_memory(case: Case) -> None:
    plain = one_by_one(case.readings)
    for way in WAYS[1:]:
        other = way(case.readings)
        assert [memory(h) for h in other.heads.values()] == [
            memory(h) for h in plain.heads.values()
        ]
        assert other.out.dirty == plain.out.dirty
        assert other.out.dirty_tails == plain.out.dirty_tails


def memory(head: Head) -> tuple[object, ...]:
    """Everything that is remembered of a server, comparable."""
    return (
        head.server, head.win_ms, head.cover_ms, head.flagged, head.open.tolist(),
        head.seen.tolist(), chain_memory(head.chains),
    )  # fmt: skip


def chain_memory(chains: Chains) -> tuple[object, ...]:
    return (
        chains.origin, chains.since_ms, chains.seq_hi, chains.at_ms, chains.up_ms,
        chains.names.series, chains.last.tolist(), chains.absent, chains.order,
    )  # fmt: skip


def _counted(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return {verdict.value: verdicts.count(verdict) for verdict in verdicts}


# -- anchors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_reading_is_kept_of_each_origin_and_each_utc_day(
    way: Callable[[Sequence[Reading]], World],
) -> None:
    """23:58 opens, 23:59 is nothing new, 00:00 is the first of its day, then a reboot."""
    case = Case(
        "", "",
        """
        o1#1 23:58 tx=1 -> accepted
        o1#2 23:59 tx=2 -> accepted
        o1#3 1/00:00 tx=3 -> accepted
        o1#4 1/00:05 tx=4 -> accepted
        o1#5 3/00:05 tx=5 -> accepted
        o2#1 3/00:10 tx=6 -> accepted
        """,
        "", since={"o2": "3/00:06"},
    )  # fmt: skip
    kept = [
        (a.kind, a.origin, a.at_ms, a.seq, a.value.tolist()) for a in way(case.readings).out.anchors
    ]
    assert kept == [
        ("opening", "o1", clock("23:58"), 1, [1]),
        ("daily", "o1", clock("1/00:00"), 3, [3]),
        ("daily", "o1", clock("3/00:05"), 5, [5]),
        ("opening", "o2", clock("3/00:10"), 1, [6]),
    ]


def test_a_clock_that_steps_back_keeps_one_reading_a_day() -> None:
    case = Case(
        "", "",
        """
        o1#1 23:58 tx=1 -> accepted
        o1#2 1/00:01 tx=2 -> accepted
        o1#3 23:59 tx=3 up=87000 -> accepted
        o1#4 1/00:02 tx=4 up=87100 -> accepted
        """,
        "",
    )  # fmt: skip
    assert [a.seq for a in one_by_one(case.readings).out.anchors] == [1, 2]


# -- what a refused report leaves ------------------------------------------------------------------


@pytest.mark.parametrize("lie", ["tx=1", "x=2^63-17"])
def test_a_refused_report_leaves_nothing_but_a_flag(lie: str) -> None:
    world = World().one_by_one(Case("", "", "o1#1 00:05 tx=9 x=9 -> accepted", "").readings)
    before, flagged = memory(world.heads["s"]), world.heads["s"].flagged
    line = "o1#2 00:07 tx=1 x=9" if lie == "tx=1" else "o1#2 00:05:00.001 tx=9 x=2^63-17 up=300"
    world.one_by_one(Case("", "", f"{line} -> regression", "").readings)
    assert world.verdicts[-1].refused
    assert flagged == ""
    assert world.heads["s"].flagged == world.verdicts[-1].value
    world.heads["s"].flagged = ""
    assert memory(world.heads["s"]) == before
    assert world.out.dirty == {"s"}


def test_a_report_is_judged_by_its_own_sentence() -> None:
    world = World().one_by_one(Case("", "", "o1#1 00:05 gpu=9 tx=50 -> accepted", "").readings)
    refused = world.chunk(Case("", "", "o1#2 00:06 gpu=9 tx=49 -> regression", "").readings)
    assert [r.detail for r in refused] == [
        "net.tx_bytes[eth0] fell from 50 to 49; a counter never falls within an origin"
    ]
    refused = world.chunk(Case("", "", "o1#2 00:06 gpu=99999 tx=50 -> implausible", "").readings)
    assert [r.detail for r in refused] == [
        "gpu.busy_ms[GPU-0] gained 99990 in 61 s; at most 1000 a second is possible"
    ]
    refused = world.chunk(Case("", "", "o1#1 00:05 gpu=9 tx=51 -> conflict", "").readings)
    assert [r.verdict for r in refused] == [Verdict.CONFLICT]


@pytest.mark.parametrize(
    ("up", "up0", "seconds"), [(0, 0, 1), (1000, 0, 2), (1001, 0, 3), (0, 9000, 1)]
)
def test_elapsed_seconds_are_rounded_up_with_a_second_of_slack(
    up: int, up0: int, seconds: int
) -> None:
    assert elapsed_s(up, up0) == seconds


def test_conservation_is_asserted_with_a_sentence() -> None:
    with pytest.raises(ConservationError, match=r"Server s: windows hold \[1\] where .* owe \[2\]"):
        conserve("s", np.array([2]), np.array([1]))


# -- a set of series that widens -------------------------------------------------------------------


def test_an_ordinary_server_is_back_on_the_fast_path_with_its_next_report() -> None:
    """Whoever reports every known series sets the order: the head takes that report's own names."""
    ab, ba = clerk.series_of(["tx", "rx"]), clerk.series_of(["rx", "tx"])
    world = World().one_by_one([reading(10**9, [1, 1], seq=1, series=ab)])
    world.one_by_one([reading(10**9 + 1, [1, 1], seq=2, series=ba)])
    assert world.heads["s"].chains.names is ba
    assert world.heads["s"].chains.absent == {}


def test_names_with_equal_series_are_taken_over() -> None:
    """After a restart the ledger's names and the wire's are different objects."""
    wire, stored = names(("m", "r")), names_of([("m", "r")])
    world = World().one_by_one([reading(10**9, [1], seq=1, series=stored)])
    world.one_by_one([reading(10**9 + 1, [1], seq=2, series=wire)])
    assert world.heads["s"].chains.names is wire


def test_the_seen_window_is_bounded() -> None:
    assert len(World().one_by_one([reading(10**9, [1], seq=2**62)]).heads["s"].seen) == SEEN
