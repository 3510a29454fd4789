"""What moves which metric: ratings and deliveries, failures, requests, and the files of a close."""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from psycopg import errors

from invoicing.report import CloseReport
from pipeline.agent_losses import METERS
from pipeline.heads import Block, ConservationError, Output
from pipeline.lanes import Sealed
from pipeline.records import Chunk, Names, Taped
from rackmeter import exposition, metrics
from rackmeter.api.observed import METHODS
from rackmeter.cli.close_metrics import telling
from rackmeter.deliveries import Deliveries
from rackmeter.rater import Rater
from schemas.errors import ConfigError, DependencyError, RackmeterError, RefusedError
from schemas.events import Changed, encode_changed
from sinks.checkpoint import FencedError
from sinks.database import Connection
from sinks.webhooks import set_webhook
from tests.deploy.prometheus import page
from tests.fix_api import api, environment, free_port
from tests.fix_billing import (
    SECRET,
    TX,
    WAYS,
    Receiver,
    meter_windows,
    rent_small,
)
from tests.vault import VAULT

MB = 1_000_000


def shown(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# -- the worker ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.AdminShutdown(), "connection"),
        (psycopg.OperationalError("server closed the connection"), "connection"),
        (DependencyError("PostgreSQL does not answer"), "connection"),
        (errors.SerializationFailure(), "conflict"),
        (errors.LockNotAvailable(), "conflict"),
        (errors.DiskFull(), "resources"),
        (errors.NumericValueOutOfRange(), "data"),
        (errors.CheckViolation(), "data"),
        (errors.UndefinedTable(), "other"),
        (psycopg.InterfaceError("the connection is closed"), "other"),
        (FencedError("another's"), "fenced"),
        (RefusedError("no"), None),
        (TimeoutError(), None),
    ],
)
def test_a_failure_of_the_database_has_a_kind(error: Exception, kind: str | None) -> None:
    assert metrics.database_kind(error) == kind
    before = shown("rackmeter_database_errors_total", during="claim", kind=kind or "other")
    metrics.failed("claim", error)
    after = shown("rackmeter_database_errors_total", during="claim", kind=kind or "other")
    assert after - before == (kind is not None)


@pytest.mark.parametrize(
    ("error", "reason", "violations"),
    [
        (ConservationError("s-1"), "conservation", 1),
        (ConfigError("a setting"), "configuration", 0),
        (DependencyError("Kafka"), "dependency", 0),
        (FencedError("another's"), "refused", 0),
        (RackmeterError("whatever"), "failed", 0),
        (ValueError("a bug"), "failed", 0),
    ],
)
def test_a_worker_that_stops_says_why(error: Exception, reason: str, violations: int) -> None:
    stops = shown("rackmeter_worker_stops_total", reason=reason)
    violated = shown("rackmeter_conservation_violations_total")
    metrics.stopped(error)
    assert shown("rackmeter_worker_stops_total", reason=reason) - stops == 1
    assert shown("rackmeter_conservation_violations_total") - violated == violations


def test_what_agents_lost_is_counted_once_it_is_committed() -> None:
    names = np.array([Names.of(METERS, ("", ""))], object)
    zero = np.zeros(1, np.int64)
    window = Block(np.array(["s-1"], object), zero, names, np.array([[480, 65_536]]), zero)
    out = Output(lambda _server, _origin: None, finished=[window])
    metrics.committed(Sealed(uuid4(), 0, uuid4(), 0, 1, 0, Counter(), [], out, set()))
    assert shown("rackmeter_agent_spool_dropped_reports_total") == 480
    assert shown("rackmeter_agent_spool_lost_bytes_total") == 65_536


def test_a_crossing_is_counted_from_its_rating_to_its_delivery(
    customer: Connection, billing_url: str, receiver: Receiver
) -> None:
    """90 of 100 MB: the thresholds at 50 and 80 %; the receiver wants to be asked twice once."""
    now = datetime.now(UTC)
    set_webhook(customer, VAULT, "acme", receiver.url, SECRET, allow_private=True)
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, "eth0"): [90 * MB]}, now - timedelta(minutes=20))
    receiver.answers.extend([503])
    names = {
        "ratings": ("rackmeter_ratings_total", {}),
        "rated": ("rackmeter_rating_duration_seconds_count", {}),
        "delays": ("rackmeter_rating_delay_seconds_count", {}),
        "in time": ("rackmeter_rating_delay_seconds_bucket", {"le": "30.0"}),
        "crossed": ("rackmeter_alerts_total", {"kind": "crossed"}),
        "delivered": ("rackmeter_webhooks_total", {"channel": "webhook", "outcome": "delivered"}),
        "retry": ("rackmeter_webhooks_total", {"channel": "webhook", "outcome": "retry"}),
    }
    before = {key: shown(name, **labels) for key, (name, labels) in names.items()}
    at_ms = int(now.timestamp() * 1000)
    asyncio.run(_rate_and_deliver(billing_url, Changed("i-1", at_ms - 86_400_000, at_ms)))
    gained = {key: shown(name, **labels) - before[key] for key, (name, labels) in names.items()}
    assert gained == {
        # The month before is open as well: it was rented then.
        "ratings": 2, "rated": 1, "delays": 1, "in time": 1, "crossed": 2, "delivered": 1,
        "retry": 1,
    }  # fmt: skip
    assert shown("rackmeter_outbox_alerts") == 1
    assert shown("rackmeter_rating_waiting_scopes") == 0
    due = shown("rackmeter_outbox_due_timestamp_seconds")
    assert due == pytest.approx(time.time(), abs=30), "the retry is not due yet"
    for loop in ("rating", "delivery"):
        at = shown("rackmeter_loop_last_timestamp_seconds", loop=loop)
        assert at == pytest.approx(time.time(), abs=30)


async def _rate_and_deliver(url: str, hint: Changed) -> None:
    deliveries = Deliveries(url, WAYS)
    rater = Rater(url, deliveries.wake)
    try:
        value = encode_changed([hint])
        await rater.take(Chunk("changed", 0, [Taped(0, hint.append_ms, 1, None, value, ())]))
        await rater.rate_waiting()
        # The second of a scope is sent when the first has ended.
        for _ in range(3):
            deliveries._count_at = 0.0
            await deliveries.deliver_waiting()
    finally:
        rater.close()
        deliveries.close()


# -- the page --------------------------------------------------------------------------------------


def test_a_process_that_ends_waits_to_be_looked_at_once_more() -> None:
    exposition.await_last_scrape(60)  # nothing is served: returns at once
    port = free_port()
    exposition.serve(port, "127.0.0.1")
    page(f"127.0.0.1:{port}/metrics")  # before the end: does not count
    ending = threading.Thread(target=exposition.await_last_scrape, args=(20,))
    ending.start()
    ending.join(0.3)
    assert ending.is_alive()
    assert "rackmeter_build_info" in page(f"127.0.0.1:{port}/metrics")
    ending.join(5)
    assert not ending.is_alive()
    began = time.monotonic()
    exposition.await_last_scrape(0.2)
    assert 0.2 <= time.monotonic() - began < 5, "nobody looks: it ends all the same"
    with pytest.raises(ConfigError, match=f"RACKMETER_METRICS_HOST.* {port}.* in use"):
        exposition.serve(port, "127.0.0.1")


# -- the API ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_requests_are_counted_by_route_never_by_path(
    billing_url: str, bootstrap: str, tmp_path: Path
) -> None:
    port = free_port()
    with api(billing_url, bootstrap, tmp_path, RACKMETER_METRICS_PORT=str(port)) as running:
        for path in ("/healthz", "/healthz", "/readyz", "/secret-1", "/secret-2"):
            running.get(path)
        running.post("/v1/agents/enroll", json={"token": "wrong"})
        text = page(f"127.0.0.1:{port}/metrics")
    counts: dict[tuple[str, str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "rackmeter_http_request_duration_seconds_count":
                found = sample.labels
                counts[found["method"], found["route"], found["status"]] = sample.value
    assert counts.pop(("GET", "/healthz", "2xx")) >= 2
    assert counts == {
        ("GET", "/readyz", "2xx"): 1,
        ("GET", "unmatched", "4xx"): 2,
        ("POST", "/v1/agents/enroll", "4xx"): 1,
    }
    assert "secret" not in text
    assert "rackmeter_partition" not in text
    assert {"GET", "POST"} <= METHODS


# -- the close -------------------------------------------------------------------------------------


def told(folder: Path, name: str = "close") -> dict[str, float]:
    text = (folder / f"{name}.prom").read_text()
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_close_leaves_what_it_found_and_a_failure_keeps_the_last_success(
    tmp_path: Path,
) -> None:
    with telling(tmp_path) as tell:
        tell(CloseReport(()))
    good = told(tmp_path, "close_success")
    assert told(tmp_path)["rackmeter_close_exit_code"] == 0
    assert told(tmp_path)["rackmeter_close_invoicesparked"] == 0
    with pytest.raises(DependencyError), telling(tmp_path):
        raise DependencyError("The database went away.")
    assert told(tmp_path)["rackmeter_close_exit_code"] == 4
    assert "rackmeter_close_invoicesparked" not in told(tmp_path), "nothing is known"
    assert told(tmp_path, "close_success") == good
    last = good["rackmeter_close_last_success_timestamp_seconds"]
    assert told(tmp_path)["rackmeter_close_last_run_timestamp_seconds"] >= last
    assert sorted(file.name for file in tmp_path.iterdir()) == ["close.prom", "close_success.prom"]


def test_a_bug_in_a_close_is_exit_code_1(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), telling(tmp_path):
        raise ZeroDivisionError
    assert told(tmp_path)["rackmeter_close_exit_code"] == 1


def test_a_folder_that_is_not_there_costs_no_invoice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with telling(tmp_path / "nowhere") as tell:
        tell(CloseReport(()))
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["--month", "2026-03", "--yes"], ["close.prom", "close_success.prom"]),
        (["--month", "2026-03", "--yes", "--account", "acme"], []),
        (["--month", "2026-03", "--dry-run"], []),
    ],
)
def test_only_a_whole_close_is_told(
    arguments: list[str], files: list[str], customer: Connection, billing_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    env = environment(
        billing_url, "127.0.0.1:9", tmp_path,
        RACKMETER_METRICS_DIR=str(folder), RACKMETER_NUMBER_LOG=str(tmp_path / "numbers.log"),
    )  # fmt: skip
    command = [sys.executable, "-m", "rackmeter", "invoice", "close", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in folder.iterdir()) == files
