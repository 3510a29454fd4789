"""The second way to meter, against fleets on which everything goes wrong, and their truth."""

from collections import defaultdict
from functools import lru_cache

import polars as pl
import pytest

from invoicing.nightly.recompute import Anchor, readings, recompute
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, registered_ms, simulate
from rackmeter.fleet.plan import FleetPlan
from schemas.verdict import Verdict

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
TOLERANCE_MS = 30_000
COLUMNS = {
    "offset": pl.Int64,
    "appended_ms": pl.Int64,
    "by_broker": pl.Boolean,
    "body": pl.Binary,
}
Windows = dict[tuple[str, str, int], int]


@lru_cache
def log(seed: int, *, by_broker: bool) -> Log:
    end_ms = START_MS + 12 * 3_600_000
    plan = FleetPlan(seed, ALL_AT_ONCE, START_MS, end_ms, mishaps=3, adversities=ALL)
    return simulate(plan, by_broker=by_broker)


def reports_of(told: Log) -> dict[str, pl.DataFrame]:
    """Server → what was not refused of it."""
    rows = defaultdict(list)
    for offset, (message, verdict) in enumerate(zip(told.messages, told.verdicts, strict=True)):
        if not verdict.refused:
            row = (offset, message.ts_ms, bool(message.ts_type), message.value)
            rows[(message.key or b"").decode()].append(row)
    return {server: pl.DataFrame(some, COLUMNS, orient="row") for server, some in rows.items()}


def openings(told: Log, reports: pl.DataFrame) -> dict[str, Anchor]:
    """The first counted report of each origin."""
    found: dict[str, Anchor] = {}
    for offset, body in reports.select("offset", "body").iter_rows():
        origin = pl.Series([body]).cast(pl.String).str.json_path_match("$.origin")[0]
        if told.verdicts[offset] is Verdict.ACCEPTED and origin not in found:
            found[origin] = Anchor(offset, opening=True)
    return found


def as_windows(found: pl.DataFrame) -> Windows:
    return {(meter, resource, start): q for meter, resource, start, q in found.iter_rows()}


def truth_of(told: Log, server: str) -> Windows:
    return {
        (one.meter, one.resource, start): units
        for one in told.truth.series
        if one.server == server
        for start, units in one.windows or ()
    }


@pytest.mark.parametrize("by_broker", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 7])
def test_every_window_is_what_the_fleet_used(seed: int, by_broker: bool) -> None:
    told = log(seed, by_broker=by_broker)
    registered = registered_ms(told.keys)
    compared = 0
    for server, reports in reports_of(told).items():
        found = recompute(
            readings(reports, TOLERANCE_MS), openings(told, reports),
            registered_ms=registered[server], low_ms=0, high_ms=2**45,
        )  # fmt: skip
        assert as_windows(found) == truth_of(told, server), server
        compared += len(found)
    assert compared > 1_000
