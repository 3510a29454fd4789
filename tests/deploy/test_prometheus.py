"""Real Prometheus with the deployed configuration, looking at workers that really run."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rackmeter.stack import Stack
from schemas.metrics import METRICS
from sinks.database import connect
from tests.deploy.prometheus import Prometheus, free_port, page, prometheus, promtool
from tests.fix_stack import MakeDatabase
from tests.fix_worker import PARTITIONS, Fleet, Scene, metered, wait_for, worker

SERVERS = tuple(f"s{i}" for i in range(40))
LIMIT = {"RACKMETER_DEAD_LETTER_WINDOW_MS": "1500", "RACKMETER_DEAD_LETTER_REPORTS_MIN": "20"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene(
    stack: Stack,
    make_database: MakeDatabase,
    billing_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder = tmp_path_factory.mktemp("scraped")
    return Scene.new(stack.bootstrap, make_database(billing_template), folder)


@pytest.fixture(scope="module")
def fleet(scene: Scene) -> Iterator[Fleet]:
    with connect(scene.url, autocommit=True) as conn:
        made = Fleet(scene, conn, time.time_ns() // 1_000_000 - 20 * 3_600_000)
        made.enrol(*SERVERS)
        yield made


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def second_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def watching(
    tmp_path_factory: pytest.TempPathFactory, port: int, second_port: int
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    targets = [f"127.0.0.1:{port}", f"127.0.0.1:{second_port}"]
    with prometheus(folder, {"worker": targets}) as running:
        yield running


def test_a_running_worker_is_scraped_and_every_rule_evaluated(
    scene: Scene, fleet: Fleet, watching: Prometheus, port: int
) -> None:
    with worker(scene, RACKMETER_METRICS_PORT=str(port)) as running:
        fleet.report(*SERVERS, times=2)
        wait_for(lambda: metered(fleet.conn) == fleet.truth, "truth in the ledger")
        lag = "partition:rackmeter_partition_lag_messages:max"
        wait_for(
            lambda: [value for _, value in watching.query(lag)] == [0.0] * PARTITIONS,
            "lag of every partition, recorded",
        )
        accepted = 'rackmeter_reports_total{verdict="accepted"}'
        wait_for(lambda: _values(watching, accepted) == [2.0 * len(SERVERS)], "reports counted")
        assert _values(watching, "rackmeter_samples_total") == [2.0 * len(SERVERS)]
        assert _values(watching, "sum(rackmeter_partition_servers)") == [float(len(SERVERS))]
        assert _values(watching, f'up{{instance="127.0.0.1:{port}"}}') == [1.0]
        loops = "count(time() - rackmeter_loop_last_timestamp_seconds < 30)"
        wait_for(lambda: _values(watching, loops) == [3.0], "three loops that go round")
        rules = watching.rules()
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
        assert not any(rule.get("lastError") for rule in rules)
        for alert in ("RackmeterNoWorker", "RackmeterPartitionUnclaimed"):
            assert watching.firing(alert) == []
        _assert_page(page(f"127.0.0.1:{port}/metrics"))
        assert running.stop() == 0
        wait_for(lambda: watching.firing("RackmeterNoWorker"), "the alert")
        said = {one["annotations"]["summary"] for one in watching.firing("RackmeterWorkerDown")}
        assert f"The worker at 127.0.0.1:{port} does not answer." in said


def test_each_partition_is_shown_by_the_worker_that_has_it(
    scene: Scene, watching: Prometheus, port: int, second_port: int
) -> None:
    """One worker has both; when a second one joins, each shows the one that it has."""
    lag = "rackmeter_partition_lag_messages"

    def shown() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for labels, _ in watching.query(lag):
            found.setdefault(labels["instance"], []).append(labels["partition"])
        return {instance: sorted(parts) for instance, parts in found.items()}

    first = f"127.0.0.1:{port}"
    with worker(scene, RACKMETER_METRICS_PORT=str(port)):
        wait_for(lambda: shown() == {first: ["0", "1"]}, "both partitions")
        with worker(scene, RACKMETER_METRICS_PORT=str(second_port)) as second:
            wait_for(lambda: sorted(shown().values()) == [["0"], ["1"]], "one for each")
            assert second.stop() == 0
        wait_for(lambda: shown() == {first: ["0", "1"]}, "both partitions")


def test_a_worker_that_stops_by_itself_is_scraped_once_more(
    scene: Scene, fleet: Fleet, watching: Prometheus, port: int
) -> None:
    """Another environment was set: from then on every signature is wrong."""
    settings = {"RACKMETER_ENVIRONMENT": "staging", "RACKMETER_METRICS_PORT": str(port), **LIMIT}
    with worker(scene, **settings) as wrong:

        def stopped() -> bool:
            fleet.report(*SERVERS)
            time.sleep(0.2)
            return wrong.process.poll() is not None

        wait_for(stopped, "end of the worker")
        assert wrong.process.returncode == 5
    (one,) = wait_for(lambda: watching.firing("RackmeterWorkerStopped"), "the alert")
    assert one["labels"]["reason"] == "refused"
    assert wait_for(lambda: watching.firing("RackmeterDeadLetters"), "the alert")


def _values(watching: Prometheus, expression: str) -> list[float]:
    return [value for _, value in watching.query(expression)]


def _assert_page(text: str) -> None:
    """promtool finds nothing to correct, and it is what the table says, all of it."""
    promtool("check", "metrics", stdin=_ours(text))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in METRICS:
        family = families.get(metric.name.removesuffix("_total"))
        assert (family is not None) == (metric.where in ("worker", "all")), metric.name
        if family is not None:
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            labels = {frozenset(s.labels) - {"le"} for s in family.samples}
            assert labels <= {frozenset(metric.labels)}


def _ours(text: str) -> str:
    """Python's own metrics break the rules of names."""
    return "".join(line for line in text.splitlines(keepends=True) if "rackmeter_" in line)
