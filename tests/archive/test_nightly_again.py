"""A fleet's day metered again from its archive, and compared with what the meter wrote."""

from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import pytest

from invoicing.nightly_again import metered_again
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, simulate
from rackmeter.fleet.plan import FleetPlan
from sinks.database import Connection
from tests.archive.scene import Told, day_of, told

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS + 18 * 3_600_000
DAY = day_of(START_MS) + timedelta(days=1)


@lru_cache
def log(seed: int, *, by_broker: bool) -> Log:
    """From one evening to the morning after the next, so that a whole day lies in between."""
    plan = FleetPlan(
        seed, ALL_AT_ONCE, START_MS, START_MS + 36 * 3_600_000, mishaps=3, adversities=ALL
    )
    return simulate(plan, by_broker=by_broker)


@pytest.fixture
def scene(billing: Connection, billing_url: str, tmp_path: Path) -> Told:
    made = told(log(3, by_broker=True), billing, billing_url, tmp_path)
    made.meter()
    made.archive()
    return made


@pytest.mark.parametrize("by_broker", [True, False])
@pytest.mark.parametrize("seed", [3, 4])
def test_whatever_goes_wrong_every_window_of_the_day_is_the_same(
    seed: int, by_broker: bool, billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    made = told(log(seed, by_broker=by_broker), billing, billing_url, tmp_path)
    made.meter()
    made.archive()
    for day in (DAY, DAY - timedelta(days=1), DAY + timedelta(days=1)):
        found = metered_again(made.night(day))
        assert found.differences == ()
        print(day, found.compared, found.notes)
    found = metered_again(made.night(DAY))
    assert found.compared > 2_000
