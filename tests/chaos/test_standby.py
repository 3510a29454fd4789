"""A standby takes over that lacks the primary's last commits; the worker finds it by itself.

Asynchronous replication loses what was not received: the ledger goes back, and says so by its
positions. What counted since then is read again from the log, once.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from rackmeter.stack_children import Child, Children, runner_for
from rackmeter.stack_folder import DataFolder
from rackmeter.stack_postgres import DATABASE, SUPERUSER, embedded_programs, start_postgres
from sinks.database import Connection, connect, migrate
from tests.fix_stack import NOT_DURABLE
from tests.fix_worker import Fleet, Scene, assert_exact, offsets, wait_for, worker

SERVERS = tuple(f"s{n}" for n in range(6))
COPIED_S = 60


@contextmanager
def postgres(folder: DataFolder) -> Iterator[tuple[Children, str]]:
    children = Children(folder.lock_fd, folder.log("guard"))
    folder.release()
    try:
        yield children, start_postgres(children, folder, {**NOT_DURABLE, "hot_standby": "on"})
    finally:
        children.close()


def copy_of(primary: DataFolder, children: Children, url: str, path: Path) -> DataFolder:
    """A folder whose PostgreSQL will follow the primary."""
    folder = DataFolder(path)
    binaries = embedded_programs()
    runner = runner_for([binaries, folder.path], primary.pgdata)
    folder.pgdata.mkdir(mode=0o700)
    if runner.uid is not None:
        os.chown(folder.pgdata, runner.uid, -1)
    log = folder.log("basebackup")
    server = url.replace(f"/{DATABASE}?", "/postgres?")
    argv = [str(binaries / "pg_basebackup"), "-d", server, "-D", str(folder.pgdata), "-R"]
    argv += ["-c", "fast"]
    children.start(Child("basebackup", argv, log, (signal.SIGTERM,), runner))
    wait_for(lambda: children.exit_code("basebackup") is not None, "copy", seconds=COPIED_S)
    assert children.exit_code("basebackup") == 0, log.read_text()
    return folder


def asked(conn: Connection, question: str) -> object:
    row = conn.execute(question).fetchone()
    assert row is not None
    return row[0]


def test_a_standby_that_lacks_the_last_commits_takes_over(bootstrap: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        first = DataFolder(tmp_path / "primary")
        primary, first_url = running.enter_context(postgres(first))
        migrate(first_url)
        second = copy_of(first, primary, first_url, tmp_path / "standby")
        _, second_url = running.enter_context(postgres(second))
        hosts = [str(conninfo_to_dict(url)["host"]) for url in (first_url, second_url)]
        either = (
            f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(','.join(hosts), safe='/,')}"
            "&target_session_attrs=read-write"
        )
        scene = Scene.new(bootstrap, either, tmp_path / "worker")
        with connect(first_url, autocommit=True) as conn:
            fleet = Fleet(scene, conn)
            fleet.enrol(*SERVERS)
            with worker(scene) as process:
                fleet.report(*SERVERS, times=3)
                wait_for(lambda: sum(offsets(conn)) == 3 * len(SERVERS), "first commit")
                kept = offsets(conn)
                with connect(second_url, autocommit=True) as behind:
                    wait_for(lambda: offsets(behind) == kept, "copy of the first commit")
                    # From here on it receives nothing, as if the line were cut.
                    behind.execute("ALTER SYSTEM SET primary_conninfo = ''")
                    behind.execute("SELECT pg_reload_conf()")
                    wait_for(
                        lambda: (
                            behind.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone() is None
                        ),
                        "end of the replication",
                    )
                    fleet.report(*SERVERS, times=2)
                    wait_for(lambda: sum(offsets(conn)) == 5 * len(SERVERS), "second commit")
                    assert offsets(behind) == kept
                    primary.close()
                    behind.execute("SELECT pg_promote()")
                    fleet.report(*SERVERS)
                    wait_for(
                        lambda: sum(offsets(behind)) == 6 * len(SERVERS), "ledger of the standby"
                    )
                    assert_exact(behind, fleet)
                    assert process.process.poll() is None, process.said()
                    assert "lane dropped" in process.said()


@pytest.fixture(autouse=True)
def _long(request: pytest.FixtureRequest) -> None:
    """Two servers are started."""
    request.node.add_marker(pytest.mark.timeout(180))
