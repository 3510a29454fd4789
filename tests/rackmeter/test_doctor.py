"""The doctor on a live installation: one that works, and each part of it taken away."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sinks.database import Connection, connect
from sinks.roles import apply_roles
from tests.fix_worker import Fleet, Scene, metered, wait_for, worker

Found = dict[str, list[dict[str, Any]]]


@pytest.fixture
def scene(bootstrap: str, billing_url: str, tmp_path: Path) -> Scene:
    with connect(billing_url) as conn:
        apply_roles(conn)  # what a copied database lacks
    return Scene.new(bootstrap, billing_url, tmp_path)


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


def doctor(scene: Scene, *arguments: str, **environment: str) -> tuple[int, Found]:
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", "doctor", *arguments, "--json"],
        env={**scene.environment, **environment},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found: Found = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["check"], []).append(one)
    return done.returncode, found


def said(found: Found, check: str) -> str:
    return " ".join(one["found"] for one in found[check])


def test_reports_go_all_the_way_and_nothing_is_billed(scene: Scene, conn: Connection) -> None:
    with worker(scene) as running:
        wait_for(lambda: held(conn) or running.process.poll() is not None, "claims")
        code, found = doctor(scene, "--probe", "30")
        assert code == 0, found
        assert "2 partitions, from the producer to the ledger in" in said(found, "probe")
        assert "all 2 partitions are held" in said(found, "workers")
        again, found = doctor(scene, "--probe", "30")
        assert again == 0, found
    servers = conn.execute("SELECT server_id, count(*) FROM agent_key GROUP BY 1").fetchall()
    assert [count for _, count in servers] == [1, 1]
    assert {*metered(conn).values()} == {0}
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


def held(conn: Connection) -> bool:
    row = conn.execute("SELECT count(*) FROM ingest_offset WHERE owner IS NOT NULL").fetchone()
    return row == (2,)


def test_a_worker_that_is_gone(scene: Scene, conn: Connection) -> None:
    fleet = Fleet(scene, conn)
    fleet.enrol("s-1", "s-2", "s-3", "s-4")
    with worker(scene) as running:
        fleet.report("s-1", "s-2", "s-3", "s-4")
        wait_for(lambda: metered(conn) == fleet.truth, "usage")
        running.kill()
    wait_for(lambda: not sessions(conn), "end of its sessions")
    code, found = doctor(scene, "--probe", "2")
    assert code == 4
    assert "nobody meters partition 0, 1" in said(found, "workers")
    assert "nothing came back from partition 0, 1 within 2 s" in said(found, "probe")
    assert all(one["todo"] for one in (*found["workers"], *found["probe"]))


def sessions(conn: Connection) -> int:
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity a JOIN ingest_offset o ON a.pid = o.backend_pid"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_before_anything_runs(scene: Scene) -> None:
    code, found = doctor(scene)
    assert code == 0, found
    assert "none has run yet" in said(found, "workers")
    assert found["roles"][0]["found"] == "as they must be"
    assert "partitions by month" in said(found, "store")
    assert "nobody says when" in said(found, "backup")


def test_grants_that_are_missing(scene: Scene, conn: Connection) -> None:
    conn.execute("REVOKE INSERT ON usage_window FROM rackmeter_writer")
    code, found = doctor(scene)
    assert code == 3
    assert "1 grants are missing" in said(found, "roles")


def test_tables_of_another_version_are_said_once(scene: Scene, conn: Connection) -> None:
    conn.execute("UPDATE alembic_version SET version_num = '0001_ledger'")
    code, found = doctor(scene)
    assert code == 4
    assert "rackmeter db migrate" in said(found, "database")
    assert "store" not in found
    assert "workers" not in found


def test_a_login_with_few_rights_is_told_who_may_look(scene: Scene, conn: Connection) -> None:
    """As an invoicer: it sees neither keys nor grants, and is told everything else."""
    conn.execute("CREATE ROLE doctors_invoicer LOGIN IN ROLE rackmeter_invoicer")
    url = scene.url.replace("//postgres@", "//doctors_invoicer@")
    code, found = doctor(scene, RACKMETER_DATABASE_URL=url)
    assert code == 0, found
    for check in ("keys", "master key", "maintenance"):
        assert "this login may not look (permission denied" in said(found, check)
        assert found[check][0]["warning"]
    assert "not compared: Only the owner" in said(found, "roles")
    assert said(found, "rater") == "no scope is overdue"
