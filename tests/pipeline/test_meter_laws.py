"""The laws of metering, as docs/metering.md states them, on random logs."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.heads import Head
from pipeline.windows import overlaps
from schemas.verdict import Verdict
from tests.pipeline.logs import Log, logs, restless_logs
from tests.pipeline.test_counters import chain_memory, memory
from tests.pipeline.world import World

HARMLESS = {Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.LATE}
many = settings(max_examples=100, deadline=None)


def cut(log: Log, at: list[int]) -> list[Log]:
    edges = [0, *sorted(min(a, len(log)) for a in at), len(log)]
    return [log[a:z] for a, z in pairwise(edges) if a < z]


def unflagged(head: Head) -> Head:
    """A flag is news for the operator, metering does not look at it."""
    return replace(head, flagged="")


def metered(world: World, server: str = "") -> dict[str, object]:
    """All that metering has to say, of one server or of all."""

    def mine(name: str) -> bool:
        return name == (server or name)

    late = [
        (row.server, row.win_ms, row.reason, dict(zip(row.names.series, row.qty, strict=True)))
        for row in world.out.late
    ]
    anchors = [(a.server, a.origin, a.kind, a.seq, a.at_ms) for a in world.out.anchors]
    keys = [
        (s, int(w)) for b in world.out.finished for s, w in zip(b.server, b.win_ms, strict=True)
    ]
    former = {s: {o: chain_memory(c) for o, c in t.items()} for s, t in world.former.items() if t}
    return {
        "windows": {k: q for k, q in world.windows().items() if mine(k[0])},
        "cover": {k: ms for k, ms in world.cover().items() if mine(k[0])},
        "finished": sorted(key for key in keys if mine(key[0])),
        "late": sorted((row for row in late if mine(row[0])), key=repr),
        "anchors": sorted(row for row in anchors if mine(row[0])),
        "heads": {s: memory(unflagged(head)) for s, head in world.heads.items() if mine(s)},
        "former": {s: t for s, t in former.items() if mine(s)},
    }


@many
@given(logs())
def test_windows_sum_to_the_last_readings(log: Log) -> None:
    world = World()
    world.chunk(log)
    assert world.totals() == world.readings()
    assert all(quantity > 0 for quantity in world.windows().values())
    assert world.finished_once()


@many
@given(logs(), st.lists(st.integers(0, 40), max_size=4))
def test_any_chunking_says_the_same(log: Log, at: list[int]) -> None:
    plain, chunked = World().one_by_one(log), World()
    for part in cut(log, at):
        chunked.chunk(part)
    assert metered(chunked) == metered(plain)
    assert chunked.out.counts == plain.out.counts


@many
@given(st.data())
def test_order_changes_no_total(data: st.DataObject) -> None:
    """And every total is the truth: the highest reading of each chain."""
    log = data.draw(logs(honest=True))
    highest: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for r in log:
        for (meter, resource), value in zip(r.names.series, r.value, strict=True):
            key = (r.server, r.origin, meter, resource)
            highest[key] = max(highest[key], int(value))
    truth: dict[tuple[str, str, str], int] = defaultdict(int)
    for (server, _, meter, resource), value in highest.items():
        truth[server, meter, resource] += value
    world = World().one_by_one(data.draw(st.permutations(log)))
    assert set(world.verdicts) <= HARMLESS
    assert world.totals() == {key: value for key, value in truth.items() if value}


@many
@given(logs(), st.integers(1, 3))
def test_replaying_what_was_not_refused_changes_nothing(log: Log, times: int) -> None:
    """What was refused may be good by now: it used up no number."""
    world = World().one_by_one(log)
    windows, cover = world.windows(), world.cover()
    taken = [r for r, said in zip(log, world.verdicts, strict=True) if not said.refused]
    for _ in range(times):
        world.one_by_one(taken)
    assert set(world.verdicts[len(log) :]) <= {Verdict.DUPLICATE, Verdict.LATE}
    assert world.windows() == windows
    assert world.cover() == cover


@many
@given(logs())
def test_a_refused_report_is_as_if_it_had_never_been(log: Log) -> None:
    world = World().one_by_one(log)
    taken = [r for r, said in zip(log, world.verdicts, strict=True) if not said.refused]
    assert metered(World().one_by_one(taken)) == metered(world)


@many
@given(logs() | restless_logs())
def test_coverage_never_exceeds_time(log: Log) -> None:
    world = World()
    world.chunk(log)
    for server in world.heads:
        at = [r.at_ms for r in log if r.server == server]
        passed = dict(overlaps(min(at), max(at)))
        observed = {win: ms for (one, win), ms in world.cover().items() if one == server}
        assert all(0 < ms <= passed[win] for win, ms in observed.items())


@many
@given(logs())
def test_a_server_never_depends_on_the_others(log: Log) -> None:
    together = World()
    together.chunk(log)
    for server in {r.server for r in log}:
        alone = World()
        alone.chunk([r for r in log if r.server == server])
        assert metered(alone) == metered(together, server)
