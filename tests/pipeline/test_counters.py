"""The rules of billable counters: the tables of ``cases``, and what a table cannot say.

Every case is metered one by one and in chunks of several sizes; all must say the same, leave the
same memory, and windows must sum to the last readings.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.admit import elapsed_s
from pipeline.heads import SEEN, Chains, ConservationError, Head, Reading, conserve, names_of
from pipeline.records import Int64s
from pipeline.windows import spread
from schemas.verdict import Verdict
from tests.pipeline import clerk
from tests.pipeline.cases import CASES
from tests.pipeline.clerk import Case, clock
from tests.pipeline.world import World, names, reading


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
        assert other.heads.dirty() == plain.heads.dirty()
        assert other.out.tails.keys() == plain.out.tails.keys()


def memory(head: Head) -> tuple[object, ...]:
    """Everything that is remembered of a server, comparable."""
    return (
        head.server, head.win_ms, head.cover_ms, head.flagged, head.open.tolist(),
        head.seen.tolist(), head.origins, head.allowance, chain_memory(head.chains),
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


def test_origins_are_numbered_as_they_are_heard_of() -> None:
    """Also those that were over by then; each leaves its first reading and its chains."""
    case = Case(
        "", "",
        """
        o9#1 00:30 tx=1 -> accepted
        o1#1 00:05 tx=2 -> accepted
        o2#1 00:10 tx=4 -> accepted
        o8#1 00:40 tx=8 -> accepted
        """,
        "",
        since={"o9": "00:29", "o2": "00:06", "o8": "00:31"},
    )  # fmt: skip
    world = one_by_one(case.readings)
    assert world.verdicts == case.verdicts
    assert [(a.kind, a.origin) for a in world.out.anchors] == [
        ("opening", "o9"), ("opening", "o1"), ("opening", "o2"), ("opening", "o8"),
    ]  # fmt: skip
    head = world.heads["s"]
    orders = {chains.origin: chains.order for chains in (head.chains, *world.former["s"].values())}
    assert orders == {"o9": 0, "o1": 1, "o2": 2, "o8": 3}
    assert head.origins == 4


def test_a_reboot_to_a_counter_that_no_float_holds() -> None:
    case = Case(
        "", "",
        """
        o1#1 00:05 x=1 -> accepted
        o2#1 00:15 x=2^54-1 -> accepted
        o2#2 00:20 x=2^54 -> accepted
        """,
        "",
        since={"o2": "00:10"},
    )  # fmt: skip
    for way in WAYS:
        world = way(case.readings)
        assert list(world.totals().values()) == [1 + 2**54]
        assert world.totals() == world.readings()


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
    world.heads.flag("s", "")
    assert memory(world.heads["s"]) == before
    assert world.heads.dirty().keys() == {"s"}


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
    assert refused[0].verdict is Verdict.CONFLICT
    assert refused[0].detail == (
        "seq 1 of origin o1 was already sent with other content; a sequence number is used once"
    )


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


def test_no_report_is_taken_whose_windows_do_not_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(deltas: Int64s, t0_ms: int, t1_ms: int) -> tuple[Int64s, Int64s]:
        starts, parts = spread(deltas, t0_ms, t1_ms)
        return starts, parts - 1

    monkeypatch.setattr("pipeline.counters.spread", lossy)
    case = Case("", "", "o1#1 00:01 tx=9 -> accepted", "")
    with pytest.raises(ConservationError, match=r"Server s: windows hold \[8\] where .* owe \[9\]"):
        one_by_one(case.readings)


@pytest.mark.parametrize(
    ("why", "report", "since", "finished"),
    [
        ("read as it began: only the window of the millisecond before is open",
         "o1#1 00:05:00.001 tx=3 up=0", "00:05:00.001", 0),
        ("nothing older than 400 days has one", "o1#1 600/00:00 tx=9", "00:00", 400 * 288 - 1),
    ],
)  # fmt: skip
def test_where_the_windows_of_a_first_report_begin(
    why: str, report: str, since: str, finished: int
) -> None:
    case = Case("", "", f"{report} -> accepted", "", since={"o1": since}, registered="00:00")
    world = one_by_one(case.readings)
    assert world.verdicts == case.verdicts
    assert sum(len(block.win_ms) for block in world.out.finished) == finished, why


def test_a_window_full_of_one_series_refuses_no_other() -> None:
    case = Case(
        "", "",
        """
        o1#1 00:01 x=2^63-17 -> accepted
        o1#2 00:02 x=2^63-17 tx=100 -> accepted
        """,
        "",
    )  # fmt: skip
    assert one_by_one(case.readings).verdicts == case.verdicts


@pytest.mark.parametrize(
    ("opened", "later", "sentence"),
    [
        ("x=16", "x=2^63-17", ""),
        ("x=17", "x=2^63-17", "the open window would exceed 64 bits"),
        ("tx=0 x=17", "tx=0 x=2^63-17", "the open window would exceed 64 bits"),
    ],
)
def test_a_window_holds_64_bits_to_the_unit(opened: str, later: str, sentence: str) -> None:
    """Only an origin more can fill it: the counters of one end before."""
    reports = f"""
        o1#1 00:01 {opened} -> accepted
        o2#1 00:02 {later} -> accepted
        """
    case = Case("", "", reports, "", since={"o2": "00:01"})
    world = World()
    assert world.chunk(case.readings[:1]) == []
    assert [r.detail for r in world.chunk(case.readings[1:])] == [sentence] * bool(sentence)


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


@pytest.mark.parametrize(
    ("jump", "skipped"), [(2, 1), (600, 1), (600, 511), (512, 511), (513, 511), (1, 0)]
)
def test_what_was_skipped_is_late_and_no_conflict_with_what_its_place_held(
    jump: int, skipped: int
) -> None:
    """512 numbers share the places of the 512 before them, which all held something else."""
    seen = [reading(60_000 * seq, [seq], seq=seq) for seq in range(1, SEEN + 9)]
    newest = seen[-1].seq + jump
    last = reading(60_000 * newest, [newest], seq=newest)
    late = reading(60_000 * newest - 1, [newest - 1], seq=newest - skipped)
    for way in WAYS:
        world = way([*seen, last])
        world.one_by_one([late, late])
        expected = [Verdict.LATE, Verdict.DUPLICATE] if skipped else [Verdict.CONFLICT] * 2
        assert world.verdicts[-2:] == expected


def test_a_first_reading_is_judged_by_the_milliseconds_since_the_beginning() -> None:
    """61.001 s with the second of slack: 62 whole seconds in which a GPU may have been busy."""
    for gained, verdict in ((62_000, Verdict.ACCEPTED), (62_001, Verdict.IMPLAUSIBLE)):
        case = Case("", "", f"o1#1 00:01:00.001 gpu={gained} -> accepted", "")
        assert one_by_one(case.readings).verdicts == [verdict]


@pytest.mark.parametrize(
    ("why", "report", "running"),
    [
        ("it began before and was read when the other began", "o1#1 00:29 tx=2", "o9"),
        ("it began before and was read later", "o1#1 00:29:00.001 tx=2", "o1"),
        ("it began when the other began", "o2#1 00:29 tx=2 up=0", "o2"),
    ],
)
def test_which_of_two_origins_is_the_running_one(why: str, report: str, running: str) -> None:
    case = Case(
        "", "",
        f"""
        o9#1 00:30 tx=1 -> accepted
        {report} -> accepted
        """,
        "",
        since={"o9": "00:29", "o2": "00:29"},
    )  # fmt: skip
    world = one_by_one(case.readings)
    assert world.verdicts == case.verdicts
    assert world.heads["s"].chains.origin == running, why


def test_the_seen_window_is_bounded() -> None:
    assert len(World().one_by_one([reading(10**9, [1], seq=2**62)]).heads["s"].seen) == SEEN
