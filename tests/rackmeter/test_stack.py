"""The embedded stack: what runs, what ends with it, and what it says when it cannot run."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from rackmeter.errors import ConfigError, DependencyError, RackmeterError, RefusedError
from rackmeter.settings import load_settings
from rackmeter.stack import Stack
from rackmeter.stack_folder import running
from rackmeter.topics import answers

# Starts a stack in a folder, says so, and then does what the test is about.
PROGRAM = """
import sys, time
from pathlib import Path
from rackmeter.stack import Stack
with Stack.start(Path(sys.argv[1])) as stack:
    print(stack._children.guard_pid, flush=True)
    {then}
"""
SLEEP = "time.sleep(600)"

Runs = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """runs(then, user=…, folder=…) -> a process that starts a stack, in tmp_path / "data"."""
    started: list[subprocess.Popen[str]] = []

    def run(
        then: str = SLEEP, *, user: str | None = None, folder: Path = tmp_path / "data"
    ) -> subprocess.Popen[str]:
        python, environment = python_for(user) if user else (sys.executable, None)
        process = subprocess.Popen(
            [python, "-c", PROGRAM.format(then=then), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            user=user,
            group=user and pwd.getpwnam(user).pw_gid,
            extra_groups=[] if user else None,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def said(process: subprocess.Popen[str]) -> int:
    """The next number a program prints: first its guard's id, when its stack is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return int(line)


def servers(folder: Path) -> list[psutil.Process]:
    """Every process that holds the folder's lock file open: guard, servers, backends."""
    lock = str(folder / "stack.lock")
    found = []
    for process in psutil.process_iter():
        try:
            links = [str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
        except OSError:
            continue
        if lock in links:
            found.append(process)
    return found


def wait_for_end(folder: Path, seconds: float = 15) -> list[psutil.Process]:
    """What is left of a stack after that time; an empty list as soon as nothing is."""
    deadline = time.monotonic() + seconds
    while (left := servers(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def alive(processes: list[psutil.Process], seconds: float = 5) -> list[psutil.Process]:
    """Those that still run after that time; one whose status nobody has taken yet does not."""
    deadline = time.monotonic() + seconds
    left = processes
    while left := [process for process in left if runs_on(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def runs_on(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def names(processes: list[psutil.Process]) -> set[str]:
    found = set[str]()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a backend may have ended meanwhile
            found.add(process.name())
    return found


def start_again(folder: Path) -> None:
    """The folder is usable, and so is what was written to it."""
    with Stack.start(folder) as stack, psycopg.connect(stack.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        assert answers(stack.bootstrap, seconds=5)


def test_both_servers_answer(stack: Stack) -> None:
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert answers(stack.bootstrap, seconds=5)


def test_btree_gist_can_be_created(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE EXTENSION btree_gist")


def test_the_database_keeps_its_data_and_the_broker_is_new(tmp_path: Path) -> None:
    with Stack.start(tmp_path) as stack, psycopg.connect(stack.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        connection.commit()
    with Stack.start(tmp_path) as stack, psycopg.connect(stack.database_url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_restarts_in_place(tmp_path: Path) -> None:
    with Stack.start(tmp_path) as stack:
        before = stack.bootstrap, stack.database_url
        stack.restart_broker()
        stack.restart_postgres()
        assert (stack.bootstrap, stack.database_url) == before
        assert answers(stack.bootstrap, seconds=5)


@pytest.mark.parametrize(
    "then", ["pass", "raise RuntimeError", "sys.exit(3)", "import os; os._exit(9)"]
)
def test_no_orphan_after_an_end_of_its_own(runs: Runs, tmp_path: Path, then: str) -> None:
    runs(then).communicate()
    assert wait_for_end(tmp_path / "data") == []
    start_again(tmp_path / "data")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_orphan_after_a_signal_to_the_process_group(
    runs: Runs, tmp_path: Path, number: signal.Signals
) -> None:
    process = runs()
    said(process)
    before = servers(tmp_path / "data")
    assert {"postgres", "tansu"} < names(before)
    os.killpg(process.pid, number)
    assert wait_for_end(tmp_path / "data") == []
    assert alive(before) == []
    start_again(tmp_path / "data")


def test_no_orphan_when_guard_and_parent_are_killed(runs: Runs, tmp_path: Path) -> None:
    process = runs()
    guard = said(process)
    before = servers(tmp_path / "data")
    os.kill(guard, signal.SIGKILL)
    process.kill()
    assert wait_for_end(tmp_path / "data") == []
    assert alive(before) == []
    start_again(tmp_path / "data")


def test_no_orphan_while_a_fork_of_the_parent_lives_on(runs: Runs, tmp_path: Path) -> None:
    process = runs("import os; fork = os.fork(); fork and print(fork, flush=True); time.sleep(600)")
    said(process)
    fork = said(process)
    process.kill()
    assert wait_for_end(tmp_path / "data") == []
    assert psutil.pid_exists(fork)


def test_a_kill_during_the_very_first_start(runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for delay in (0.9, 1.2, 1.5):
        process = runs()
        time.sleep(delay)
        process.kill()
        assert wait_for_end(folder) == []
        shutil.rmtree(folder / "postgres", ignore_errors=True)
    start_again(folder)


def test_a_second_stack_is_refused(tmp_path: Path) -> None:
    with Stack.start(tmp_path, broker=False) as stack:
        with pytest.raises(RefusedError, match=f"in use by process {os.getpid()}"):
            Stack.start(tmp_path)
        found = running(tmp_path)
        assert found is not None
        assert found.database_url == stack.database_url
    assert running(tmp_path) is None


def test_a_dead_owners_stack_is_waited_for(runs: Runs, tmp_path: Path) -> None:
    process = runs()
    said(process)
    process.kill()
    process.wait()
    start_again(tmp_path / "data")


def test_a_used_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 cannot be used"):
            Stack.start(tmp_path, broker_port=port)
    assert servers(tmp_path) == []


def test_a_port_asked_for_is_taken(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Stack.start(tmp_path, postgres=False, broker_port=port) as stack:
        assert stack.bootstrap == f"127.0.0.1:{port}"


def test_a_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 90) / ("e" * 90)
    with Stack.start(folder, broker=False) as stack:
        socket_folder = Path(stack.database_url.rpartition("host=")[2])
        assert folder not in socket_folder.parents
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT 1")
    assert not socket_folder.exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used: Not a directory"):
        Stack.start(tmp_path / "file" / "data")


def test_a_damaged_cluster_is_one_sentence(tmp_path: Path) -> None:
    with Stack.start(tmp_path, broker=False):
        pass
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(DependencyError, match=r"did not start: .*FATAL.*\(log: "):
        Stack.start(tmp_path, broker=False)
    assert servers(tmp_path) == []


def test_set_servers_that_do_not_answer(tmp_path: Path) -> None:
    nowhere = "postgresql://127.0.0.1:1/x"
    with pytest.raises(DependencyError, match=r"PostgreSQL at 127\.0\.0\.1 does not answer"):
        Stack.from_settings(load_settings(data_dir=tmp_path, database_url=nowhere))


def test_set_servers_are_used(stack: Stack, tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path / "unused",
        database_url=stack.database_url,
        kafka_bootstrap=stack.bootstrap,
    )
    with Stack.from_settings(settings) as used:
        assert (used.database_url, used.bootstrap) == (stack.database_url, stack.bootstrap)
    assert not (tmp_path / "unused").exists()


def fill(path: Path) -> None:
    """Leave no room on a disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(b"\0" * 65536):
            pass


def python_for(user: str) -> tuple[str, dict[str, str]]:
    """A Python of this version that a user may run, and the environment to find our packages."""
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with contextlib.suppress(OSError):
            probe = [python, "-c", "import rackmeter.stack"]
            environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths}
            if not subprocess.run(
                probe, user=user, env=environment, check=False, capture_output=True
            ).returncode:
                return python, environment
    pytest.skip(f"{user} may run no Python that has rackmeter")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@needs_root
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "t", tmp_path], check=False
    ).returncode:
        pytest.skip("no right to mount")
    try:
        with Stack.start(tmp_path, broker=False):
            pass
        fill(tmp_path / "filler")
        with pytest.raises(RackmeterError, match=r"disk of .* is full") as caught:
            Stack.start(tmp_path, broker=False)
        assert caught.value.exit_code == 4
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@needs_root
def test_root_starts_it_below_closed_folders_and_opens_none(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Stack.start(closed / "data") as stack:
        assert answers(stack.bootstrap, seconds=5)
        owners = {process.uids().effective for process in servers(closed / "data")}
        assert owners == {0, pwd.getpwuid((closed / "data" / "postgres").stat().st_uid).pw_uid}
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_an_ordinary_user_runs_it(runs: Runs) -> None:
    # Not in tmp_path: pytest closes the folder above to other users, again with each session.
    with tempfile.TemporaryDirectory(prefix="rackmeter-test-") as name:
        folder = Path(name)
        shutil.chown(folder, "nobody")
        process = runs(user="nobody", folder=folder)
        said(process)
        assert {server.username() for server in servers(folder)} == {"nobody"}
        os.killpg(process.pid, signal.SIGINT)
        assert wait_for_end(folder) == []
