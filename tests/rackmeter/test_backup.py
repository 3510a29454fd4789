"""Backups of real ledgers, killed at each step, changed, restored; and the programs that do it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from rackmeter.recovery import programs
from schemas.errors import (
    ConfigError,
    DependencyError,
    DifferenceError,
    RackmeterError,
    RefusedError,
)
from sinks import backup as backing
from sinks import restore as restoring
from sinks.backup import Backup, backups, take_backup
from sinks.backup_manifest import Manifest, read_manifest, write_manifest
from sinks.backup_tools import find_program
from sinks.database import connect, require_schema
from sinks.store.maintain import Policy, maintain
from sinks.webhooks import set_webhook
from tests.fix_billing import SECRET
from tests.fix_stack import MakeDatabase
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of
from tests.rackmeter.test_cli import rackmeter
from tests.vault import VAULT

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def ledger(make_database: MakeDatabase, billing_template: str) -> str:
    """Three customers' February, two of them invoiced, a secret."""
    url = make_database(billing_template)
    with connect(url, autocommit=True) as conn:
        month_of(conn, 3)
        set_webhook(conn, VAULT, "acme-0", "https://acme.example/hooks", SECRET)
    close_month(url, accounts=["acme-0", "acme-1"])
    return url


@pytest.fixture(scope="module")
def made(ledger: str, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return take(ledger, tmp_path_factory.mktemp("backups"))


@pytest.fixture
def copied(made: Backup, tmp_path: Path) -> Path:
    """A copy of the backup that may be harmed."""
    return Path(shutil.copytree(made.folder, tmp_path / "backup"))


def take(url: str, to: Path, **rest: object) -> Backup:
    return take_backup(url, to, version="test", programs=programs(), **rest)[0]  # type: ignore[arg-type]


def address(url: str) -> str:
    """As a person sets it, whatever server the tests were given."""
    known = conninfo_to_dict(url)
    if str(known["host"]).startswith("/"):
        return url
    return f"postgresql://{known['user']}@{known['host']}:{known['port']}/{known['dbname']}"


def restore(url: str, folder: Path) -> Manifest:
    return restoring.restore(url, folder, programs=programs())


def everything(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, as text, in order: says more than a digest."""
    with connect(url) as conn:
        names = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        return {
            name: conn.execute(f"SELECT t::text FROM {name} t ORDER BY 1").fetchall()
            for (name,) in names
        }


# -- there and back --------------------------------------------------------------------------------


def test_what_is_restored_is_what_was_backed_up(
    ledger: str, made: Backup, fresh_database: str
) -> None:
    before = everything(ledger)
    assert restore(fresh_database, made.folder) == made.manifest
    assert everything(fresh_database) == before
    with connect(fresh_database) as conn:
        require_schema(conn)
    report = close_month(fresh_database, numbers=made.folder.parent / "numbers")
    assert [one.number for one in report.outcomes] == [f"RM-2026-{n:06d}" for n in (1, 2, 3)]


def test_the_manifest_says_what_is_in_it(ledger: str, made: Backup) -> None:
    manifest = made.manifest
    rows = {table.name: table.rows for table in manifest.tables}
    assert rows["invoice"] == 2
    assert rows["usage_window"] == 3 * 288
    assert [(p.topic, p.partition, p.next_offset) for p in manifest.positions] == [
        ("usage.reports", 0, 1000), ("usage.reports", 1, 1000),
    ]  # fmt: skip
    assert [(n.entity, n.kind, n.year, n.last) for n in manifest.numbers] == [
        ("rm", "invoice", 2026, 2)
    ]
    assert manifest.master_keys == (VAULT.current,)
    with connect(ledger) as conn:
        assert conn.execute("SELECT store_backend()").fetchone() == (manifest.backend,)
    assert "alembic_version" not in rows
    assert read_manifest(made.folder) == manifest
    assert made.folder.stat().st_mode & 0o077 == 0
    written = b"".join(p.read_bytes() for p in made.folder.rglob("*") if p.is_file())
    assert SECRET.encode() not in written


def test_a_ledger_that_is_written_to_is_backed_up_at_one_moment(
    make_database: MakeDatabase, ledger: str, tmp_path: Path, fresh_database: str
) -> None:
    """Each transaction adds a window and moves the position by one; so must the copy agree."""
    url = make_database(str(conninfo_to_dict(ledger)["dbname"]))
    stop = threading.Event()

    def write() -> None:
        with connect(url) as conn:
            for step in range(100_000):
                if stop.is_set():
                    return
                conn.execute("UPDATE ingest_offset SET next_offset = next_offset + 1")
                conn.execute(
                    "INSERT INTO usage_window SELECT 'x', %s, min(set_id), ARRAY[1], 1, 0, 0"
                    " FROM series_set",
                    (datetime.fromisoformat("2026-02-01T00:00Z") + timedelta(minutes=step),),
                )
                conn.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [take(url, tmp_path) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    restore(fresh_database, made[1].folder)
    with connect(fresh_database) as conn:
        moved = conn.execute("SELECT DISTINCT next_offset - 1000 FROM ingest_offset").fetchall()
        added = conn.execute("SELECT count(*) FROM usage_window WHERE server_id = 'x'").fetchall()
    assert moved == added
    assert moved[0][0] > 0
    assert made[1].manifest.positions[0].next_offset == 1000 + moved[0][0]
    assert made[2].manifest.positions[0].next_offset > made[1].manifest.positions[0].next_offset


def test_hypertables_come_back_compressed_with_their_aggregates(
    make_database: MakeDatabase, ledger: str, tmp_path: Path, fresh_database: str
) -> None:
    """With RACKMETER_TEST_DATABASE_URL on a server that has TimescaleDB; on others partitions do.
    What is restored can be maintained on."""
    url = make_database(str(conninfo_to_dict(ledger)["dbname"]))
    policy = Policy(None, timedelta(days=90), timedelta(days=7))
    with connect(url, autocommit=True) as conn:
        maintain(conn, datetime.fromisoformat("2026-04-01T00:00Z"), policy)
    restore(fresh_database, take(url, tmp_path).folder)
    views = [
        "SELECT * FROM usage_hour_stored", "SELECT * FROM usage_day_stored",
        "SELECT * FROM usage_hour", "SELECT * FROM account_usage_month",
    ]  # fmt: skip
    with connect(url) as before, connect(fresh_database, autocommit=True) as after:
        for view in views:
            there = sorted(map(str, after.execute(view).fetchall()))
            assert there
            assert there == sorted(map(str, before.execute(view).fetchall()))
        report = maintain(after, datetime.fromisoformat("2026-06-01T00:00Z"), policy)
        assert report.hours > 0


# -- killed, full, at once -------------------------------------------------------------------------

KILL = """
import os, signal, sys
from pathlib import Path
from tests.rackmeter.test_backup import take
def die(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
take(sys.argv[1], Path(sys.argv[2]), failpoint=die)
"""


@pytest.mark.parametrize(
    ("step", "whole"),
    [
        ("backup:begun", 0), ("backup:dumped", 0), ("backup:written", 0), ("backup:named", 1),
    ],
)  # fmt: skip
def test_killed_at_a_step_no_half_looks_whole(
    ledger: str, tmp_path: Path, step: str, whole: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILL, ledger, str(tmp_path), step], check=False, timeout=60
    )
    assert done.returncode == KILLED
    visible = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(visible) == len(backups(tmp_path)) == whole
    for one in backups(tmp_path):
        restoring.check(one.folder)
    take(ledger, tmp_path)
    assert len(backups(tmp_path)) == whole + 1
    assert [path.name for path in tmp_path.glob(".*")] == [".lock"]


def test_killed_while_pg_dump_runs_nobody_removes_what_it_writes(
    ledger: str, tmp_path: Path
) -> None:
    """The lock is the program's too: a next backup waits for its end."""
    inherited = os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT)
    with backing._only_one(tmp_path) as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    os.close(inherited)
    try:
        with pytest.raises(RefusedError, match="Another backup into"):
            take(ledger, tmp_path)
    finally:
        child.kill()
        child.wait()
    assert take(ledger, tmp_path).folder.is_dir()


def test_no_room_is_said_before_anything_is_written(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing, "ROOM_BYTES", 2**60)
    with pytest.raises(DependencyError, match="MiB are free in"):
        take(ledger, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_only_the_newest_are_kept(ledger: str, tmp_path: Path) -> None:
    first, second = take(ledger, tmp_path), take(ledger, tmp_path)
    (tmp_path / "rackmeter-note").mkdir()
    third, gone = take_backup(ledger, tmp_path, version="test", keep=2, programs=programs())
    assert gone == [first.folder]
    assert [one.folder for one in backups(tmp_path)] == [second.folder, third.folder]
    assert (tmp_path / "rackmeter-note").is_dir()


# -- what is refused -------------------------------------------------------------------------------


def harmed_file(folder: Path) -> str:
    path = max(folder.glob("dump/*.dat.gz"), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return f"{path} was changed"


def cut_file(folder: Path) -> str:
    path = folder / "dump" / "toc.dat"
    path.write_bytes(path.read_bytes()[:-1])
    return f"{path} was changed"


def missing_file(folder: Path) -> str:
    path = next(folder.glob("dump/*.dat.gz"))
    path.unlink()
    return f"{path} is missing"


def harmed_manifest(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"next_offset": "1000"', '"next_offset": "2000"'))
    return f"{path} was changed"


def half_a_manifest(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:200])
    return f"{path} cannot be read"


def no_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "is no backup"


def newer_revision(folder: Path) -> str:
    rewrite(folder, lambda m: replace(m, revision="9999_future", rackmeter="9.9"))
    return "revision 9999_future (rackmeter 9.9)"


def newer_format(folder: Path) -> str:
    rewrite(folder, lambda m: replace(m, format="rackmeter.backup/2"))
    return "this version reads rackmeter.backup/1"


def newer_server(folder: Path) -> str:
    rewrite(folder, lambda m: replace(m, server="99.1"))
    return "of PostgreSQL 99.1 and this server is"


def unknown_extension(folder: Path) -> str:
    rewrite(folder, lambda m: replace(m, extensions={"timescaledb": "99.0.0"}))
    return "needs the extension timescaledb 99.0.0 and this server"


def rewrite(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    changed = change(read_manifest(folder))
    (folder / "manifest.json").unlink()
    write_manifest(folder, changed)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (harmed_file, DifferenceError), (cut_file, DifferenceError),
        (missing_file, DifferenceError), (harmed_manifest, DifferenceError),
        (half_a_manifest, DifferenceError), (no_manifest, ConfigError),
        (newer_revision, ConfigError), (newer_format, ConfigError), (newer_server, ConfigError),
        (unknown_extension, DependencyError),
    ],
)  # fmt: skip
def test_a_backup_that_cannot_be_restored_is_refused_whole(
    copied: Path, fresh_database: str, harm: Callable[[Path], str], error: type[RackmeterError]
) -> None:
    said = harm(copied)
    with pytest.raises(error) as raised:
        restore(fresh_database, copied)
    assert said in str(raised.value)
    assert everything(fresh_database) == {}


def test_a_ledger_is_never_restored_over(ledger: str, made: Backup) -> None:
    before = everything(ledger)
    with pytest.raises(RefusedError, match="is not empty"):
        restore(ledger, made.folder)
    assert everything(ledger) == before


def test_others_in_the_database_are_named(made: Backup, fresh_database: str) -> None:
    with (
        connect(fresh_database, application_name="rackmeter worker"),
        pytest.raises(RefusedError, match=r"Others use the database .* \(rackmeter worker\)"),
    ):
        restore(fresh_database, made.folder)


def test_tables_that_differ_are_named_and_never_used(copied: Path, fresh_database: str) -> None:
    """A manifest of other figures stands for a dump that lost a row."""

    def lose(manifest: Manifest) -> Manifest:
        tables = [
            replace(table, rows=table.rows + 1) if table.name == "invoice" else table
            for table in manifest.tables
        ]
        return replace(manifest, tables=tuple(tables))

    rewrite(copied, lose)
    with pytest.raises(DifferenceError, match=r"invoice \(3 rows → 2 rows\)"):
        restore(fresh_database, copied)
    with connect(fresh_database) as conn, pytest.raises(DependencyError, match="revision none"):
        require_schema(conn)
    with pytest.raises(RefusedError, match="is not empty"):
        restore(fresh_database, copied)


def test_a_restore_that_fails_on_the_way_is_not_a_ledger(
    made: Backup, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends pg_restore's connections."""

    def cut(_what: str, _size: int) -> None:
        with connect(fresh_database, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'pg_restore'"
            )

    monkeypatch.setattr("sinks.backup_tools.POLL_S", 0.01)
    with pytest.raises(DependencyError, match="pg_restore failed: "):
        restoring.restore(fresh_database, made.folder, programs=programs(), progress=cut)
    with connect(fresh_database) as conn, pytest.raises(DependencyError, match="revision none"):
        require_schema(conn)


KILL_RESTORE = """
import os, signal, sys
from pathlib import Path
from rackmeter.recovery import programs
from sinks import backup_tools, restore
backup_tools.POLL_S = 0.01
def die(what, _size):
    if what == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
restore.restore(sys.argv[1], Path(sys.argv[2]), programs=programs(), progress=die)
"""


@pytest.mark.parametrize("step", ["restored", "compared"])
def test_killed_while_it_restores_the_tables_are_no_ledger(
    made: Backup, make_database: MakeDatabase, step: str
) -> None:
    """Nobody uses them, nothing is restored over them, and an empty database is filled."""
    url = make_database()
    command = [sys.executable, "-c", KILL_RESTORE, url, str(made.folder), step]
    assert subprocess.run(command, check=False, timeout=60).returncode == KILLED
    with connect(url) as conn, pytest.raises(DependencyError, match="revision none"):
        require_schema(conn)
    with pytest.raises(RefusedError):
        restore(url, made.folder)
    assert restore(make_database(), made.folder) == made.manifest


# -- programs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "server", "chosen"),
    [
        ([18], 18, 18), ([18], 16, 18), ([17, 16, 18], 16, 16), ([18, 17], 16, 17),
        ([15], 16, "The server is PostgreSQL 16 and pg_dump is 15 here"),
        ([], 18, "there is no pg_dump here: install postgresql-client of version 18"),
    ],
)  # fmt: skip
def test_the_program_that_fits_the_server_is_chosen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: list[int],
    server: int,
    chosen: int | str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("sinks.backup_tools.DEBIAN", str(tmp_path / "none"))
    folders = []
    for major in installed:
        folder = tmp_path / str(major)
        folder.mkdir()
        script = folder / "pg_dump"
        script.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.4 (Debian)'\n")
        script.chmod(0o755)
        folders.append(folder)
    if isinstance(chosen, str):
        with pytest.raises(ConfigError, match=chosen):
            find_program("pg_dump", server, folders)
    else:
        assert find_program("pg_dump", server, folders).major == chosen


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def environment(ledger: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "metrics").mkdir()
    return {
        "RACKMETER_DATABASE_URL": address(ledger),
        "RACKMETER_DATA_DIR": str(tmp_path / "data"),
        "RACKMETER_METRICS_DIR": str(tmp_path / "metrics"),
    }


def test_backup_and_verify_say_what_they_did(environment: dict[str, str], tmp_path: Path) -> None:
    done = rackmeter("db", "backup", "--to", str(tmp_path / "b"), "--json", **environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Path(said["backup"]).is_dir()
    assert said["manifest"]["revision"]
    shown = (tmp_path / "metrics" / "rackmeter_backup.prom").read_text()
    size = said["bytes"]
    for line in (
        "rackmeter_backup_last_success_timestamp_seconds 1.", f"rackmeter_backup_size_bytes {size}",
        "rackmeter_backup_duration_seconds ",
    ):  # fmt: skip
        assert line in shown
    tried = rackmeter("db", "verify", said["backup"])
    assert tried.returncode == 0, tried.stderr
    hypertables = said["manifest"]["backend"] == "timescaledb"
    assert ("every row is there" in tried.stdout) is not hypertables
    harmed_file(Path(said["backup"]))
    assert rackmeter("db", "verify", said["backup"]).returncode == 3


def test_a_restore_without_the_number_log_has_to_be_meant(
    made: Backup, fresh_database: str, tmp_path: Path
) -> None:
    environment = {
        "RACKMETER_DATABASE_URL": address(fresh_database),
        "RACKMETER_DATA_DIR": str(tmp_path / "data"),
    }
    command = ("db", "restore", str(made.folder), "--yes")
    refused = rackmeter(*command, **environment)
    assert refused.returncode == 5
    assert "There is no number log" in refused.stderr
    assert everything(fresh_database) == {}
    done = rackmeter(*command, "--no-number-log", "--json", **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["numbers_missing"] == []
    logged = (tmp_path / "data" / "numbers.log").read_text()
    assert logged.count('"event":"issued"') == 2


def test_the_embedded_database_of_a_data_folder(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert rackmeter("db", "migrate", "--data-dir", str(here)).returncode == 0
    made = rackmeter("db", "backup", "--to", str(tmp_path / "b"), "--data-dir", str(here))
    assert made.returncode == 0, made.stderr
    folder = made.stdout.strip()
    back = rackmeter("db", "restore", folder, "--yes", "--no-number-log", "--data-dir", str(there))
    assert back.returncode == 0, back.stderr
    again = rackmeter("db", "restore", folder, "--yes", "--data-dir", str(there))
    assert again.returncode == 5
    assert "is not empty" in again.stderr
    assert rackmeter("db", "recovered", "--data-dir", str(there)).returncode == 0
    listed = rackmeter("audit", "list", "--json", "--data-dir", str(there))
    acts = [act["action"] for act in json.loads(listed.stdout)["acts"]]
    assert acts == ["ledger.recovered", "ledger.restore"]


def test_recovered_finds_a_ledger_that_contradicts_itself(
    ledger: str, make_database: MakeDatabase, tmp_path: Path
) -> None:
    url = make_database(str(conninfo_to_dict(ledger)["dbname"]))
    environment = {"RACKMETER_DATABASE_URL": address(url), "RACKMETER_DATA_DIR": str(tmp_path)}
    assert rackmeter("db", "recovered", **environment).returncode == 0
    with connect(url) as conn:
        conn.execute("DELETE FROM usage_window WHERE server_id = 'srv-1'")
    found = rackmeter("db", "recovered", **environment)
    assert found.returncode == 3
    assert "differ in 1 series" in found.stderr
