"""Laws of metering: the hot path equals the explaining one, and nothing is lost or invented."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.heads import Reading
from pipeline.windows import WIDTH_MS
from tests.pipeline.world import World, names, reading

A, B, C = ("net.tx_bytes", "eth0"), ("net.rx_bytes", "eth0"), ("cpu.busy_ms", "")
SETS = [names(A, B), names(A, B), names(A, B), names(B, A), names(A), names(A, B, C)]


@st.composite
def logs(draw: st.DrawFn) -> list[Reading]:
    """A topic: a few servers, mostly ordinary, with reboots, repeats, losses, swaps and lies."""
    log: list[Reading] = []
    for s in range(draw(st.integers(1, 4))):
        at, up, seq, origin = draw(st.integers(0, 3 * WIDTH_MS)) + 10**9, 1000, 0, 0
        since, truth = at - 1000, {A: 0, B: 0, C: 0}
        odd = draw(st.booleans())
        for _ in range(draw(st.integers(1, 12))):
            step = draw(st.sampled_from([1, 60_000, 299_999, WIDTH_MS, WIDTH_MS + 1, 2_000_000]))
            at, up, seq = at + step, up + step, seq + draw(st.sampled_from([1, 1, 1, 2, 600]))
            if odd and draw(st.integers(0, 5)) == 0:
                at -= draw(st.sampled_from([step, 2 * step, WIDTH_MS]))
            if odd and draw(st.integers(0, 8)) == 0:
                origin, since, up, seq, truth = (
                    origin + 1,
                    at - 500,
                    500,
                    1,
                    dict.fromkeys(truth, 0),
                )
            for name in truth:
                truth[name] += draw(st.integers(0, step * 1000))
            series = draw(st.sampled_from(SETS)) if odd else SETS[0]
            value = [truth[name] for name in series.series]
            if odd and draw(st.integers(0, 9)) == 0:
                value[0] = draw(st.sampled_from([0, 2**62]))
            log.append(
                reading(
                    at, value, seq=seq, origin=f"o{origin}", server=f"s{s}", since_ms=since,
                    up_ms=up, series=series,
                )
            )  # fmt: skip
        if odd and log and draw(st.booleans()):
            log.append(draw(st.sampled_from(log)))
            i = draw(st.integers(0, len(log) - 1))
            log.insert(draw(st.integers(0, len(log))), log.pop(i))
    return log


def cut(log: list[Reading], at: list[int]) -> list[list[Reading]]:
    edges = [0, *sorted(min(a, len(log)) for a in at), len(log)]
    return [log[a:z] for a, z in pairwise(edges) if a < z]


@settings(max_examples=400, deadline=None)
@given(logs(), st.lists(st.integers(0, 40), max_size=4))
def test_any_chunking_equals_one_by_one(log: list[Reading], at: list[int]) -> None:
    plain, chunked = World().one_by_one(log), World()
    for part in cut(log, at):
        chunked.chunk(part)
    assert chunked.windows() == plain.windows()
    assert chunked.cover() == plain.cover()
    assert chunked.readings() == plain.readings()
    assert chunked.out.counts == plain.out.counts
    assert chunked.finished_once()


@settings(max_examples=300, deadline=None)
@given(logs())
def test_windows_sum_to_the_last_readings(log: list[Reading]) -> None:
    world = World()
    world.chunk(log)
    assert world.totals() == world.readings()


@settings(max_examples=200, deadline=None)
@given(logs())
def test_replaying_the_log_changes_nothing(log: list[Reading]) -> None:
    world = World().one_by_one(log)
    windows, cover = world.windows(), world.cover()
    world.chunk(log)
    world.one_by_one(log)
    assert world.windows() == windows
    assert world.cover() == cover


@settings(max_examples=200, deadline=None)
@given(logs())
def test_coverage_never_exceeds_time(log: list[Reading]) -> None:
    world = World()
    world.chunk(log)
    assert all(0 <= ms <= WIDTH_MS for ms in world.cover().values())


@settings(max_examples=200, deadline=None)
@given(logs())
def test_a_server_never_depends_on_the_others(log: list[Reading]) -> None:
    together = World()
    together.chunk(log)
    for server in {r.server for r in log}:
        alone = World()
        alone.chunk([r for r in log if r.server == server])
        assert alone.windows() == {k: q for k, q in together.windows().items() if k[0] == server}
