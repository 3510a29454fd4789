"""What the benchmarks' figures rest on: their load is honest, and their judges see every unit."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from benchmarks.latency import ledger_latencies
from benchmarks.load import CLOSING_MS, ENVIRONMENT, SERIES, STEP_MS, WINDOW_MS, Load, messages
from benchmarks.open_loop import ALLOWANCE, PERCENTS, Plan, spread
from benchmarks.scene import PARTITIONS
from benchmarks.ways import differences
from pipeline.partition import partition_of
from schemas.envelope import headers
from schemas.report import Report
from schemas.validate import explain

NOW_MS = 1_790_000_000_000
LOAD = Load(servers=9, ticks=4)


@pytest.fixture(scope="module")
def read() -> list[Report]:
    """Every report of the load; each one is signed by its server."""
    keys = {key.server: key for key in LOAD.keys}
    found = []
    for server, body, signed in messages(LOAD, "usage.reports", NOW_MS):
        report = explain(body)
        assert isinstance(report, Report)
        key = keys[server.decode()]
        assert signed == headers(report, body, key, ENVIRONMENT, "usage.reports")
        found.append(report)
    return found


def test_every_report_is_counted_and_names_each_series_once(read: list[Report]) -> None:
    assert len(read) == LOAD.reports
    assert sum(len(report.value) for report in read) == LOAD.samples
    assert {len(set(zip(r.meter, r.resource, strict=True))) for r in read} == {SERIES}


def test_the_truth_is_the_last_reading_of_every_series(read: list[Report]) -> None:
    last = {report.server: report for report in read}
    rows = [
        (r.server, meter, resource, value)
        for r in last.values()
        for meter, resource, value in zip(r.meter, r.resource, r.value, strict=True)
    ]
    assert sorted(rows) == sorted(LOAD.truth().rows())


def test_the_closing_reading_gains_nothing_and_lies_beyond_every_window(read: list[Report]) -> None:
    mine = [report for report in read if report.server == LOAD.keys[0].server]
    assert [after.at_ms - before.at_ms for before, after in pairwise(mine)] == [
        *[STEP_MS] * (LOAD.ticks - 1), CLOSING_MS,
    ]  # fmt: skip
    assert mine[-1].value == mine[-2].value
    assert mine[-2].value != mine[-3].value
    assert mine[-1].at_ms - mine[-2].at_ms > WINDOW_MS
    assert mine[-1].at_ms < NOW_MS


def _sums(*rows: tuple[str, int]) -> pl.DataFrame:
    names = {"server": [r for r, _ in rows], "meter": "m", "resource": ""}
    return pl.DataFrame({**names, "quantity": [units for _, units in rows]})


@pytest.mark.parametrize(
    ("found", "lost", "doubled"),
    [
        (_sums(("a", 10), ("b", 5)), 0, 0),
        (_sums(("a", 4), ("a", 6), ("b", 5)), 0, 0),  # two windows of one series
        (_sums(("a", 9), ("b", 6)), 1, 1),  # the sum of all is right
        (_sums(("a", 10)), 5, 0),
        (_sums(("a", 10), ("b", 5), ("stranger", 3)), 0, 3),
    ],
)
def test_every_unit_lost_or_doubled_is_seen(found: pl.DataFrame, lost: int, doubled: int) -> None:
    assert differences(_sums(("a", 10), ("b", 5)), found) == (lost, doubled)


PLAN = Plan(servers=5, watched=2, rate=100.0, seconds=2.0, start_ms=NOW_MS)


@pytest.mark.parametrize("server", spread(PLAN.servers, PLAN.watched))
def test_a_crossing_is_due_with_the_reading_that_reaches_it(server: int) -> None:
    life = PLAN.life(server)
    sent = [column for column, meter in enumerate(life.meter) if meter == "net.tx_bytes"]
    used = life.value[:, sent].sum(axis=1)
    expected = {p: int(life.at_ms[np.argmax(used >= ALLOWANCE * p // 100)]) for p in PERCENTS}
    assert PLAN.crossings(server) == expected


def test_a_report_is_in_the_ledger_at_the_first_look_that_finds_it() -> None:
    """The opening reports come first in each partition; nobody looks until all is over but once."""
    keys = PLAN.fleet.keys
    parts = [partition_of(key.server.encode(), PARTITIONS) for key in keys]
    opened = tuple(parts.count(part) for part in range(PARTITIONS))
    ends = tuple(count * (PLAN.ticks + 1) for count in opened)
    one_more = tuple(count + (part == parts[0]) for part, count in enumerate(opened))
    start_s = NOW_MS / 1000
    looks = [(start_s, opened), (start_s + 1, one_more), (start_s + 9, ends)]
    latencies = ledger_latencies(PLAN, keys, looks)
    assert len(latencies) == PLAN.reports
    assert latencies.min() == 1000 - (PLAN.due_ms[parts.index(parts[0])] - NOW_MS)
    assert sorted(latencies)[1] == 9000 - (PLAN.due_ms[-1] - NOW_MS)
