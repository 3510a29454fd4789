"""The database is lost and restored from a backup that is older than the log: workers go on from
the ledger's own positions, totals are the truth, and no invoice number is given out twice.

Real workers, both brokers, the commands a person types.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from rackmeter.stack import Stack
from sinks.catalogs import apply
from sinks.database import connect
from sinks.timelines import add_account, end
from tests.fix_billing import START, a_catalog, rent_small
from tests.fix_kafka import Broker
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    PARTITIONS,
    Fleet,
    Scene,
    assert_exact,
    metered,
    offsets,
    wait_for,
    worker,
)
from tests.kafka.server import Kafka
from tests.rackmeter.test_cli import rackmeter

SERVERS = ("s1", "s2", "s3")
ENDED = START + timedelta(minutes=30)
CLOSE = ("invoice", "close", "--as-of", "2026-03-20", "--yes", "--json")


def run(scene: Scene, *command: str) -> "subprocess.CompletedProcess[str]":
    return rackmeter(*command, **settings(scene))


def settings(scene: Scene) -> Mapping[str, str]:
    return {k: v for k, v in scene.environment.items() if k.startswith("RACKMETER_")}


def statuses(done: "subprocess.CompletedProcess[str]") -> dict[str, tuple[str, str | None]]:
    return {
        one["account"]: (one["status"], one["number"])
        for report in (json.loads(done.stdout),)
        for one in (*report["invoices"], *report["parked"])
    }


def rented(url: str) -> None:
    """Each server for half an hour, by a customer of its own."""
    with connect(url, autocommit=True) as conn:
        catalog, text = a_catalog()
        apply(conn, catalog, text, START)
        for server in SERVERS:
            add_account(
                conn, account=f"of-{server}", name="Acme", country="DE", currency="EUR",
                timezone="UTC",
            )  # fmt: skip
            rent_small(conn, f"i-{server}", server, account=f"of-{server}")
            end(conn, f"i-{server}", ENDED)


def destroy(url: str) -> None:
    """The database is gone; an empty one of that name stands in its place."""
    name = str(conninfo_to_dict(url)["dbname"])
    other = url.replace(f"/{name}?", "/postgres?", 1)
    with psycopg.connect(other, autocommit=True) as conn:
        for statement in ("DROP DATABASE {} WITH (FORCE)", "CREATE DATABASE {}"):
            conn.execute(sql.SQL(statement).format(sql.Identifier(name)))


def back_up(scene: Scene, to: Path) -> str:
    done = run(scene, "db", "backup", "--to", str(to), "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["backup"])


def caught_up(scene: Scene, fleet: Fleet) -> None:
    with connect(scene.url, autocommit=True) as conn:
        wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
        assert_exact(conn, fleet)


def test_a_lost_database_comes_back_and_the_log_does_the_rest(
    broker: Broker, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """Backup while the worker meters; then more usage and two invoices, and the database is gone.

    After the restore the worker meters again what came since. One of the two invoices is entered
    again; the third customer gets the third number.
    """
    scene = Scene.new(broker.bootstrap, make_database(billing_template), tmp_path)
    papers = tmp_path / "papers"
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn)
        fleet.enrol(*SERVERS)
        rented(scene.url)
        with worker(scene):
            fleet.report(*SERVERS, times=8)
            caught_up(scene, fleet)
            assert statuses(run(scene, *CLOSE, "--account", "of-s1"))["of-s1"][0] == "issued"
            fleet.report(*SERVERS, times=5)
            folder = back_up(scene, tmp_path / "backups")
            fleet.report(*SERVERS, times=20)
            caught_up(scene, fleet)
            second = run(scene, *CLOSE, "--account", "of-s2", "--to", str(papers))
            assert statuses(second) == {"of-s2": ("issued", "TEST-2026-000002")}
            ends = offsets(conn)
    destroy(scene.url)
    done = run(scene, "db", "restore", folder, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["numbers_missing"] == ["TEST-2026-000002"]
    assert {place["problem"] for place in said["positions"]} == {None}
    assert all(p["next_offset"] <= end for p, end in zip(said["positions"], ends, strict=True))
    assert sum(p["next_offset"] for p in said["positions"]) < sum(ends)
    metered_and_invoiced_on(scene, fleet, papers / "TEST-2026-000002.pdf")


def metered_and_invoiced_on(scene: Scene, fleet: Fleet, paper: Path) -> None:
    """The worker meters what came since the backup; the invoice that was lost is entered again."""
    with worker(scene):
        caught_up(scene, fleet)
        closed = run(scene, *CLOSE)
        assert statuses(closed) == {
            "of-s1": ("exists", "TEST-2026-000001"), "of-s2": ("waiting", None),
            "of-s3": ("issued", "TEST-2026-000003"),
        }  # fmt: skip
        assert closed.returncode == 5
        entered = run(scene, "invoice", "reenter", str(paper))
        assert entered.returncode == 0, entered.stderr
        again = run(scene, *CLOSE)
        assert (again.returncode, statuses(again)["of-s2"]) == (0, ("exists", "TEST-2026-000002"))
        listed = run(scene, "invoice", "outside", "--json")
        assert [one["state"] for one in json.loads(listed.stdout)["numbers"]] == ["entered"]
        explained = run(scene, "invoice", "explain", "TEST-2026-000002/1")
        assert explained.returncode == 0, explained.stdout
        fleet.report(*SERVERS, times=3)
        caught_up(scene, fleet)


def test_a_backup_of_another_cluster_starts_no_worker(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """The restore says it, and the worker refuses with the same sentence."""
    scene = Scene.new(stack.bootstrap, make_database(billing_template), tmp_path)
    meter_some(scene)
    folder = back_up(scene, tmp_path / "backups")
    with Stack.start(tmp_path / "other", postgres=False) as other:
        elsewhere = replace(scene, bootstrap=other.bootstrap, url=make_database())
        elsewhere.make_topics()
        done = run(elsewhere, "db", "restore", folder, "--yes", "--no-number-log")
        assert done.returncode == 0, done.stderr
        assert "is another one than the ledger was fed from" in done.stdout
        assert "the workers will refuse to start" in done.stderr
        with worker(elsewhere) as process:
            assert process.process.wait(60) == 5
            assert "is another one than the ledger was fed from" in process.said()


def test_a_log_that_no_longer_reaches_back_is_said(
    kafka: Kafka, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """Retention has removed what came right after the backup; moving the positions by hand, as the
    page says, loses resolution in time and no unit."""
    scene = Scene.new(kafka.bootstrap, make_database(billing_template), tmp_path)
    fleet = meter_some(scene)
    folder = back_up(scene, tmp_path / "backups")
    meter_some(scene, times=8, fleet=fleet)
    with connect(scene.url) as conn:
        ends = offsets(conn)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    removed = [TopicPartition(scene.reports, part, ends[part]) for part in range(PARTITIONS)]
    for future in admin.delete_records(removed).values():
        future.result(15)
    destroy(scene.url)
    done = run(scene, "db", "restore", folder, "--yes", "--no-number-log")
    assert done.returncode == 0, done.stderr
    assert "retention removed reports that were never metered" in done.stdout
    with worker(scene) as process:
        assert process.process.wait(60) == 5
        assert "retention removed reports that were never metered" in process.said()
    with connect(scene.url, autocommit=True) as conn:
        for part, first in enumerate(ends):
            conn.execute("UPDATE ingest_offset SET next_offset = %s WHERE part = %s", (first, part))
        with worker(scene):
            fleet.report(*SERVERS)
            caught_up(scene, fleet)


def meter_some(scene: Scene, times: int = 4, fleet: Fleet | None = None) -> Fleet:
    """Reports of all servers, by a worker that then ends."""
    with connect(scene.url, autocommit=True) as conn:
        if fleet is None:
            fleet = Fleet(scene, conn)
            fleet.enrol(*SERVERS)
        with worker(scene):
            fleet.report(*SERVERS, times=times)
            caught_up(scene, fleet)
    return fleet
