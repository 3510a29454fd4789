"""The hot path: who is ordinary, what is not, and that neither shows in any figure or memory."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import meter as hot
from pipeline import pour as filling
from pipeline.heads import ConservationError, Reading
from pipeline.windows import WIDTH_MS
from schemas.verdict import Verdict
from tests.pipeline.clerk import DAY_MS, MIDNIGHT, series_of
from tests.pipeline.logs import logs
from tests.pipeline.test_counters import memory
from tests.pipeline.world import World, on, reading

TX, TX_RX = series_of(["tx"]), series_of(["tx", "rx"])
START = MIDNIGHT


def reports(
    server: str, steps: Sequence[tuple[int, int]], *, first_seq: int = 1, since: int = START
) -> list[Reading]:
    """``(milliseconds since START, counter)`` of each report."""
    return on(
        server,
        [
            reading(START + at, [value], seq=first_seq + i, since_ms=since)
            for i, (at, value) in enumerate(steps)
        ],
    )


def memories(world: World) -> dict[str, tuple[object, ...]]:
    return {server: memory(head) for server, head in world.heads.items()}


def met(*chunks: Sequence[Reading]) -> World:
    world = World()
    for chunk in chunks:
        world.chunk(chunk)
    return world


def slow(*chunks: Sequence[Reading]) -> World:
    return World().one_by_one([r for chunk in chunks for r in chunk])


def assert_same(chunked: World, plain: World) -> None:
    assert memories(chunked) == memories(plain)
    assert chunked.windows() == plain.windows()
    assert chunked.cover() == plain.cover()
    assert chunked.out.counts == plain.out.counts
    assert sorted(late_rows(chunked)) == sorted(late_rows(plain))
    assert anchors(chunked) == anchors(plain)
    assert chunked.finished_once()


def late_rows(world: World) -> list[tuple[object, ...]]:
    return [
        (r.server, r.win_ms, r.names.series, tuple(r.qty.tolist()), r.reason)
        for r in world.out.late
    ]


def anchors(world: World) -> set[tuple[object, ...]]:
    return {
        (a.server, a.origin, a.at_ms, a.kind, a.seq, a.names.series, tuple(a.value.tolist()))
        for a in world.out.anchors
    }


# -- the fast path is taken, and is the same -------------------------------------------------------


def test_ordinary_servers_do_not_touch_the_slow_path(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [reports(f"s{i}", [(60_000, i)]) for i in range(5)]
    more = [
        reports(f"s{i}", [(k * 70_000, i + k) for k in range(2, 9)], first_seq=2) for i in range(5)
    ]
    first = [r for log in known for r in log]
    world = met(first)
    monkeypatch.setattr(hot, "take", None)
    interleaved = [r for row in zip(*more, strict=True) for r in row]
    world.chunk(interleaved)
    assert_same(world, slow(first, interleaved))


@settings(max_examples=200, deadline=None)
@given(logs(), st.integers(0, 40), st.integers(0, 40))
def test_memory_late_entries_and_anchors_do_not_depend_on_chunks(
    log: list[Reading], a: int, z: int
) -> None:
    a, z = sorted((min(a, len(log)), min(z, len(log))))
    chunks = [part for part in (log[:a], log[a:z], log[z:]) if part]
    assert_same(met(*chunks), slow(*chunks))


EDGES = (1, 299_999, 300_000, 300_001, 900_000, 900_001, DAY_MS, 2**31 - 1, 2**31)
GAINS = (0, 1, 299_999, 2**33 + 1)


@pytest.mark.parametrize(("step", "gain"), list(product(EDGES, GAINS)))
def test_every_length_of_an_interval(step: int, gain: int) -> None:
    """Around window edges, the gap limit, a day, and the longest interval the fast path takes."""
    gain = min(gain, step * 10_000)
    steps = [(60_000, 7), (60_000 + step, 7 + gain), (60_000 + 2 * step, 7 + 2 * gain)]
    log = reports("s", steps)
    assert_same(met(log[:1], log[1:]), slow(log))


@pytest.mark.parametrize("top", [2**62 - 1, 2**62, 2**62 + 1, 2**63 - 17])
def test_counters_near_the_end_of_64_bits(top: int) -> None:
    def at(ms: int, value: int, seq: int) -> Reading:
        return reading(START + ms, [value], seq=seq, series=series_of(["x"]), since_ms=START)

    log = [at(60_000, 5, 1), at(700_000, top - 3, 2), at(700_001, top - 1, 3), at(900_000, top, 4)]
    world = met(log[:1], log[1:])
    assert_same(world, slow(log))
    assert world.totals() == {("s", "any.units", ""): top}


# -- one that is not ordinary changes nothing for the others ---------------------------------------


def liar(kind: str) -> list[Reading]:
    first = reports("liar", [(60_000, 500)])
    second = {
        "regression": reports("liar", [(120_000, 499)], first_seq=2),
        "implausible": reports("liar", [(120_000, 2**50)], first_seq=2),
        "duplicate": first,
        "late": reports("liar", [(120_000, 600), (90_000, 550)], first_seq=9)[::-1],
        "reboot": [
            reading(
                START + 120_000, [3], seq=1, origin="o2", server="liar", since_ms=START + 70_000
            )
        ],
        "clock": [
            reading(START + 30_000, [501], seq=2, server="liar", up_ms=90_000, since_ms=START)
        ],
        "new series": [reading(START + 120_000, [501, 1], seq=2, server="liar", series=TX_RX)],
    }[kind]
    return first + second


@pytest.mark.parametrize(
    "kind", ["regression", "implausible", "duplicate", "late", "reboot", "clock", "new series"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_neighbours_of_a_liar(kind: str, place: int) -> None:
    """Two honest servers and one that is not, in each order within the chunk."""
    honest = [reports(s, [(k * 60_000, k * 11) for k in range(1, 12)]) for s in ("a", "b")]
    known = [log[0] for log in honest] + liar(kind)[:1]
    rest = [honest[0][1:], honest[1][1:]]
    rest.insert(place, liar(kind)[1:])
    chunk = [r for log in rest for r in log]
    world = met(known, chunk)
    assert_same(world, slow(known, chunk))
    for log in honest:
        assert memories(world)[log[0].server] == memories(met(log))[log[0].server]


def test_refused_rows_are_numbered_as_in_the_batch() -> None:
    world = met(reports("a", [(60_000, 10)]) + reports("b", [(60_000, 10)]))
    chunk = (
        reports("a", [(120_000, 11)], first_seq=2)
        + reports("b", [(120_000, 9)], first_seq=2)
        + reports("a", [(180_000, 10)], first_seq=3)
        + reports("b", [(180_000, 12)], first_seq=2)
    )
    refused = world.chunk(chunk)
    assert {(r.row, r.verdict) for r in refused} == {
        (1, Verdict.REGRESSION),
        (2, Verdict.REGRESSION),
    }
    assert world.out.counts == {"accepted": 4, "regression": 2}
    assert (
        world.totals()
        == world.readings()
        == {
            ("a", "net.tx_bytes", "eth0"): 11,
            ("b", "net.tx_bytes", "eth0"): 12,
        }
    )


def test_servers_of_different_series_in_one_chunk() -> None:
    def of(server: str, at: int, seq: int) -> Reading:
        series = TX if server < "m" else TX_RX
        return reading(
            START + at, [seq] * len(series), seq=seq, server=server, series=series, since_ms=START
        )

    servers = ["a", "z", "b", "y", "c"]
    log = [of(s, k * 100_000, k) for k in range(1, 15) for s in servers]
    assert_same(met(log[:5], log[5:]), slow(log))


def test_a_chunk_of_nothing_but_liars() -> None:
    known = reports("a", [(60_000, 10)]) + reports("b", [(60_000, 10)])
    chunk = reports("a", [(70_000, 9)], first_seq=2) + reports("b", [(70_000, 9)], first_seq=2)
    assert_same(met(known, chunk), slow(known, chunk))


# -- memory and the law ----------------------------------------------------------------------------


def test_a_resting_server_keeps_only_its_own_numbers() -> None:
    """A view would keep the matrix of the whole chunk alive."""
    known = [r for i in range(50) for r in reports(f"s{i}", [(60_000, 1)])]
    more = [r for i in range(50) for r in reports(f"s{i}", [(120_000, 2)], first_seq=2)]
    world = met(known, more)
    for head in world.heads.values():
        assert head.open.base is None
        assert head.chains.last.base is None


def test_broken_windows_stop_before_anything_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = met(reports("s", [(60_000, 1)]))
    honest = filling._pieces

    def losing(rows: filling.Rows, gap_limit_ms: int) -> filling._Pieces:
        pieces = honest(rows, gap_limit_ms)
        pieces.qty[-1] -= 1
        return pieces

    monkeypatch.setattr(filling, "_pieces", losing)
    with pytest.raises(ConservationError, match="Server s: windows hold"):
        world.chunk(reports("s", [(2 * WIDTH_MS, 900)], first_seq=2))


def test_an_open_window_near_the_limit_is_left_to_the_careful_path() -> None:
    x = series_of(["x"])
    world = met([reading(START + 60_000, [2**62], seq=1, series=x, since_ms=START)])
    world.chunk([reading(START + 61_000, [2**62 + 9], seq=2, series=x, since_ms=START)])
    assert int(world.heads["s"].open[0]) == 2**62 + 9
    assert world.heads["s"].open.dtype == np.int64
