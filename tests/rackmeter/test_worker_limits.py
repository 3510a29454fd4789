"""Real workers that are refused: most of their servers by the meter, or one by the database."""

import time
from pathlib import Path

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
    return Scene.new(stack.bootstrap, make_database(billing_template), tmp_path)


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


@pytest.mark.slow
def test_one_server_that_the_database_refuses_stops_nobody(scene: Scene) -> None:
    """In the midst of a stream; mended, its next report makes up for all."""
    bad, others = SERVERS[3], SERVERS[4:12]
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn)
        fleet.enrol(bad, *others)

        def exact_but_for_the_bad() -> bool:
            found = metered(conn)
            return all(found.get(server) == fleet.truth[server] for server in others)

        with worker(scene) as running:
            fleet.report(bad, *others, times=20)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            before = metered(conn)[bad]
            conn.execute("ALTER TABLE server_state ADD CHECK (server_id <> 's3') NOT VALID")
            for _ in range(5):
                fleet.report(bad, *others, times=20)
                wait_for(exact_but_for_the_bad, "truth of the others")
            assert metered(conn)[bad] == before
            assert running.process.poll() is None, running.said()
            conn.execute("ALTER TABLE server_state DROP CONSTRAINT server_state_server_id_check")
            fleet.report(bad)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            assert_exact(conn, fleet)
            assert running.process.poll() is None, running.said()
        letters = conn.execute(
            "SELECT reason, convert_from(key, 'UTF8'), count(*) FROM dead_letter GROUP BY 1, 2"
        ).fetchall()
        assert letters == [("quarantined", bad, 100)]
        assert "server_state_server_id_check" in running.said()
        counts = conn.execute("SELECT counts FROM ingest_offset").fetchall()
        assert sum(sum(row[0].values()) for row in counts) == sum(offsets(conn))
