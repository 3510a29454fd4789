"""Real workers that stop because too many servers are refused, and start again where they were."""

import time
from pathlib import Path
from uuid import uuid4

import pytest

from rackmeter.stack import Stack
from sinks.database import connect
from tests.fix_stack import MakeDatabase
from tests.fix_worker import Fleet, Scene, assert_exact, metered, offsets, wait_for, worker

SERVERS = tuple(f"s{i}" for i in range(40))
LIMIT = {"RACKMETER_DEAD_LETTER_WINDOW_MS": "1500", "RACKMETER_DEAD_LETTER_REPORTS_MIN": "20"}


@pytest.fixture
def scene(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> Scene:
    made = Scene(stack.bootstrap, make_database(billing_template), f"l{uuid4().hex[:8]}.", tmp_path)
    made.make_topics()
    return made


@pytest.mark.slow
def test_it_stops_says_so_and_goes_on_when_that_is_mended(scene: Scene) -> None:
    """Another environment was set: from then on every signature is wrong."""
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn, time.time_ns() // 1_000_000 - 20 * 3_600_000)
        fleet.enrol(*SERVERS)
        with worker(scene) as good:
            fleet.report(*SERVERS)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            assert good.stop() == 0
        truth = dict(fleet.truth)
        with worker(scene, RACKMETER_ENVIRONMENT="staging", **LIMIT) as wrong:

            def stopped() -> bool:
                fleet.report(*SERVERS)
                time.sleep(0.2)
                return wrong.process.poll() is not None

            wait_for(stopped, "end of the worker")
            assert wrong.process.returncode == 5
            said = wrong.said()
        assert "every report of " in said
        assert "forged), more than dead_letter_ratio_max (0.5)" in said
        assert metered(conn) == truth
        kept = conn.execute("SELECT count(*), min(reason), max(reason) FROM dead_letter").fetchone()
        assert kept == (sum(offsets(conn)) - len(SERVERS), "forged", "forged")

        with worker(scene, **LIMIT):
            fleet.report(*SERVERS)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            assert_exact(conn, fleet)
