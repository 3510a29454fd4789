"""A version older than the tables changes nothing and says so, also one that runs meanwhile."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rackmeter.stack import Stack
from schemas.errors import ConfigError
from sinks import database
from sinks.checkpoint import Checkpointer
from sinks.database import Connection, NewerSchemaError, connect, migrate
from sinks.migrations import FOLDER, revisions
from tests.fix_stack import MakeDatabase
from tests.fix_worker import Fleet, Scene, assert_exact, metered, offsets, wait_for, worker
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of
from tests.pipeline.test_lanes import NOW
from tests.sinks.metering import (
    TOPIC_ID,
    chunks,
    crash_at,
    in_memory,
    known,
    play,
    register,
    usage_in_ledger,
    usage_in_memory,
)

LATER = "9999_later"
SENTENCE = "newer than this version's"


def set_revision(conn: Connection, revision: str) -> None:
    conn.execute("UPDATE alembic_version SET version_num = %s", (revision,))


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing)
    return billing


@pytest.fixture
def checkpointer(billing_url: str) -> Iterator[Checkpointer]:
    made = Checkpointer(billing_url)
    yield made
    made.close()


# -- workers ---------------------------------------------------------------------------------------


def test_nothing_is_written_into_newer_tables(conn: Connection, checkpointer: Checkpointer) -> None:
    log = chunks()
    lane = checkpointer.claim(TOPIC_ID, 0)
    lane.take(log[0], known(), NOW)
    checkpointer.flush(lane)
    before = usage_in_ledger(conn), offsets(conn)
    lane.take(log[1], known(), NOW)
    set_revision(conn, LATER)
    forbidden: tuple[Callable[[], object], ...] = (
        lambda: checkpointer.flush(lane),
        lambda: checkpointer.claim(TOPIC_ID, 0),
        checkpointer.check_schema,
    )
    for call in forbidden:
        with pytest.raises(NewerSchemaError, match=SENTENCE):
            call()
    assert (usage_in_ledger(conn), offsets(conn)) == before
    set_revision(conn, revisions()[-1])
    play(checkpointer, log)
    assert usage_in_ledger(conn) == usage_in_memory(in_memory(log))


def test_an_idle_lane_says_nothing_of_newer_tables(
    conn: Connection, checkpointer: Checkpointer
) -> None:
    lane = checkpointer.claim(TOPIC_ID, 0)
    set_revision(conn, LATER)
    with pytest.raises(NewerSchemaError):
        checkpointer.mark_idle(lane, NOW)
    assert conn.execute("SELECT append_ms FROM ingest_offset").fetchone() == (0,)


def test_a_checkpoint_waits_for_a_migration_and_then_refuses(
    conn: Connection, billing_url: str, checkpointer: Checkpointer
) -> None:
    """The migration has changed tables and not committed yet: no old row may slip in between."""
    lane = checkpointer.claim(TOPIC_ID, 0)
    lane.take(chunks()[0], known(), NOW)
    outcome: list[BaseException] = []

    def flush() -> None:
        try:
            checkpointer.flush(lane)
        except NewerSchemaError as error:
            outcome.append(error)

    with connect(billing_url) as migration:
        migration.execute("SELECT pg_advisory_lock(%s)", (database.MIGRATION_LOCK_KEY,))
        migration.execute("ALTER TABLE usage_late ADD newer integer")
        set_revision(migration, LATER)
        flushing = threading.Thread(target=flush)
        flushing.start()
        wait_for(lambda: waiting(conn) == 1, "a checkpoint that waits", seconds=20)
        migration.commit()
    flushing.join(20)
    assert [type(error) for error in outcome] == [NewerSchemaError]
    assert (usage_in_ledger(conn), offsets(conn)) == ({}, [0])


def test_a_migration_waits_for_a_checkpoint(conn: Connection, billing_url: str) -> None:
    """Between its swap and its commit."""
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        reached.set()
        assert go_on.wait(20)

    slow = Checkpointer(billing_url, failpoint=crash_at("flush:swapped", 1, pause))
    lane = slow.claim(TOPIC_ID, 0)
    lane.take(chunks()[0], known(), NOW)
    flushing = threading.Thread(target=slow.flush, args=(lane,))
    migrating = threading.Thread(target=migrate, args=(billing_url,))
    flushing.start()
    assert reached.wait(20)
    migrating.start()
    wait_for(lambda: waiting(conn) == 1, "a migration that waits", seconds=20)
    go_on.set()
    flushing.join(20)
    migrating.join(20)
    slow.close()
    assert usage_in_ledger(conn) == usage_in_memory(in_memory(chunks()[:1]))


def waiting(conn: Connection) -> int:
    """Sessions that wait for the lock of all migrations."""
    row = conn.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND (classid::bigint << 32) | objid::bigint = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (database.MIGRATION_LOCK_KEY,),
    ).fetchone()
    return 0 if row is None else int(row[0])


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_running_worker_stops(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path, busy: bool
) -> None:
    """And the next one of the right version finds everything as it was left."""
    scene = Scene.new(stack.bootstrap, make_database(billing_template), tmp_path)
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn)
        fleet.enrol("s1", "s2")
        with worker(scene) as old:
            fleet.report("s1", "s2", times=5)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            set_revision(conn, LATER)
            at = offsets(conn)
            if busy:
                fleet.report("s1", "s2", times=5)
            assert old.process.wait(40) == ConfigError.exit_code
            assert SENTENCE in old.said()
            assert "Traceback" not in old.said()
        assert offsets(conn) == at
        set_revision(conn, revisions()[-1])
        with worker(scene):
            fleet.report("s1", times=1)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
        assert_exact(conn, fleet)


# -- everything else -------------------------------------------------------------------------------


def test_a_close_that_meets_newer_tables_stops(billing: Connection, billing_url: str) -> None:
    """Between pricing and sealing; no invoice is parked for it."""
    month_of(billing, 2)

    def migrated(progress: object) -> None:
        if getattr(progress, "step", "") == "reconciled":
            set_revision(billing, LATER)

    with pytest.raises(NewerSchemaError, match=SENTENCE):
        close_month(billing_url, progress=migrated)
    row = billing.execute(
        "SELECT (SELECT count(*) FROM invoice), (SELECT count(*) FROM scope_seal),"
        " (SELECT count(*) FROM invoice_number), (SELECT count(*) FROM close_outcome)"
    ).fetchone()
    assert row == (0, 0, 0, 0)


COMMANDS = (
    "run worker", "invoice close --month 2026-02 --yes", "invoice preview i-1", "server list",
    "server add s-9", "account add acme --name A --country DE", "usage show s-1", "dlq list",
    "dlq retry --reason forged --yes", "master-key list", "catalog show", "db roles",
    "db migrate", "db maintain", "db backup --to b", "ledger snapshot", "server enroll-token s-9",
)  # fmt: skip


def test_every_command_refuses(billing: Connection, billing_url: str, tmp_path: Path) -> None:
    set_revision(billing, LATER)
    scene = Scene("127.0.0.1:1", billing_url, "", tmp_path)
    running = {
        words: subprocess.Popen(
            [sys.executable, "-m", "rackmeter", *words.split()],
            env=dict(scene.environment), cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for words in COMMANDS
    }  # fmt: skip
    said = {words: one.communicate(timeout=120)[0].decode() for words, one in running.items()}
    codes = {words: one.returncode for words, one in running.items()}
    assert [words for words in COMMANDS if SENTENCE not in said[words]] == []
    assert set(codes.values()) == {ConfigError.exit_code}


def test_files_that_an_upgrade_puts_here_are_not_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known_before = revisions()
    monkeypatch.setattr(type(FOLDER), "glob", lambda *_: [FOLDER / f"{LATER}.sql"])
    assert revisions() == known_before
