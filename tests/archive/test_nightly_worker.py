"""The whole way with real parts: a worker meters a topic, it is archived, the night agrees."""

from contextlib import closing
from pathlib import Path
from uuid import uuid4

from invoicing.nightly.base import Night
from invoicing.nightly.checks import nightly
from rackmeter import tape
from rackmeter.archive import archive_topic
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import Place
from rackmeter.kafka import Cluster
from rackmeter.stack import Stack
from sinks.database import connect
from sinks.keys import register
from tests.archive.scene import day_of
from tests.fix_worker import ENVIRONMENT, START_MS, Scene, offsets, wait_for, worker
from tests.vault import VAULT

HOUR_MS = 3_600_000
MIDNIGHT_MS = START_MS + 24 * HOUR_MS


def test_what_a_worker_metered_is_metered_again_from_the_archive(
    stack: Stack, billing_url: str, tmp_path: Path
) -> None:
    """Two hours on either side of midnight, on two partitions, with everything that goes wrong."""
    scene = Scene(stack.bootstrap, billing_url, f"n{uuid4().hex[:8]}.", tmp_path)
    scene.make_topics()
    plan = FleetPlan(
        5, ALL_AT_ONCE, MIDNIGHT_MS - 2 * HOUR_MS, MIDNIGHT_MS + 2 * HOUR_MS, mishaps=3,
        adversities=ALL,
    )  # fmt: skip
    log = simulate(plan, Place(ENVIRONMENT, scene.reports), by_broker=False)
    where = Cluster(scene.bootstrap)
    with closing(connect(scene.url, autocommit=True)) as conn:
        register(conn, VAULT, log.keys)
        with worker(scene) as running:
            tape.replay(log.messages, where, scene.reports)
            wait_for(lambda: sum(offsets(conn)) == len(log.messages), "all metered", seconds=120)
            assert running.stop() == 0
        spans = list(archive_topic(conn, where, scene.reports, tmp_path / "a", accept_new=False))
        assert sum(span.records for span in spans) == len(log.messages)
        for day in (day_of(MIDNIGHT_MS - 1), day_of(MIDNIGHT_MS)):
            [found] = nightly(Night(conn, day, tmp_path / "a", sample=100), ["recompute"])
            assert found.differences == ()
            assert found.compared > 500
            assert len(found.notes) <= 1
