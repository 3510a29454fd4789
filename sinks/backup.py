"""A whole copy of the ledger in a folder: a dump by pg_dump and a manifest, from one snapshot.

1. Lock the folder above; remove what a killed backup left there. A crash: the next one does.
2. Open a snapshot and export it; see that there is room. A crash: nothing.
3. pg_dump writes from that snapshot into a folder with a temporary name, several tables at once;
   then the figures of the manifest are read in it. A crash: the folder of step 1.
4. Digest every file, write the manifest, all of it to the disk. A crash: as 3.
5. Give the folder its name. From here on it is a backup. A crash: it is one.
6. Remove older ones. A crash: one more is kept.

Workers go on meanwhile. Logins, settings of the server and the master key are not in it.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError, DependencyError, RackmeterError, RefusedError
from sinks import backup_figures, secrets
from sinks.backup_manifest import (
    DUMP,
    FORMAT,
    NAME,
    SECRETS,
    File,
    Manifest,
    list_files,
    read_manifest,
    write_manifest,
)
from sinks.backup_tools import find_program, run_program
from sinks.database import Connection, connect, require_schema, schema_revision
from sinks.disk import sync
from sinks.rebuild import SCHEMA as REBUILD

PREFIX: Final = "rackmeter-"
_PART: Final = ".part"
_LOCK: Final = ".lock"
MIB: Final = 1024 * 1024
ROOM_BYTES: Final = 64 * MIB
"""Beside the data itself: manifest, table of contents, rounding."""
LOCK_WAIT: Final = "60s"
"""A migration that holds a table is waited for so long."""

Progress = Callable[[str, int], None]
"""Called with what is being done, and how many bytes of it are done."""
Failpoint = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """A folder with a manifest."""

    folder: Path
    manifest: Manifest


def take_backup(
    url: str,
    to: Path,
    *,
    version: str,
    jobs: int = 2,
    keep: int | None = None,
    programs: Sequence[Path] = (),
    progress: Progress = lambda _what, _bytes: None,
    failpoint: Failpoint = lambda _step: None,
) -> tuple[Backup, list[Path]]:
    """The new backup, and the older ones that were removed for it.

    ``programs`` are folders to look for pg_dump in. Raises DependencyError without room.
    """
    with _only_one(to) as lock:
        for left in to.glob(f".{PREFIX}*{_PART}"):
            shutil.rmtree(left)
        with _snapshot(url) as (conn, snapshot):
            manifest = _about(conn, version)
            _check_room(conn, to)
            name = f"{PREFIX}{manifest.taken_at:%Y%m%dT%H%M%S}.{manifest.taken_at:%f}"[:-3] + "Z"
            part = to / f".{name}{_PART}"
            part.mkdir(mode=0o700)
            failpoint("backup:begun")
            dump = find_program("pg_dump", manifest.server_major, programs)
            run_program(
                dump,
                _arguments(part / DUMP, jobs, snapshot),
                url,
                keep=[lock],
                poll=lambda: progress("dumped", _size(part)),
            )
            failpoint("backup:dumped")
            counted = tuple(backup_figures.figures(conn, backup_figures.tables(conn)))
        manifest = replace(
            manifest, pg_dump=dump.major, tables=counted, files=_digested(part, progress)
        )
        write_manifest(part, manifest)
        failpoint("backup:written")
        part.rename(to / name)
        sync(to)
        failpoint("backup:named")
        return Backup(to / name, manifest), _prune(to, keep)


def backups(to: Path) -> list[Backup]:
    """The whole ones in a folder, the oldest first."""
    found = []
    for path in to.glob(f"{PREFIX}*/{NAME}"):
        with contextlib.suppress(RackmeterError):  # a damaged one is for `db verify` to say
            found.append(Backup(path.parent, read_manifest(path.parent)))
    return sorted(found, key=lambda one: one.manifest.taken_at)


@contextmanager
def _only_one(to: Path) -> Iterator[int]:
    """The lock of a folder of backups; what it starts holds it too."""
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(to / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written to: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise RefusedError(f"Another backup into {to} is running: wait for it.") from None
    finally:
        os.close(lock)


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[Connection, str]]:
    """A transaction that sees one moment, and the name under which pg_dump sees the same."""
    with connect(url, application_name="rackmeter backup", statement_timeout_ms=0) as conn:
        conn.execute("SET idle_in_transaction_session_timeout = 0")
        conn.commit()
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        require_schema(conn)
        row = conn.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        yield conn, row[0]


def _about(conn: Connection, version: str) -> Manifest:
    """Everything of the manifest that is known before the dump."""
    row = conn.execute(
        "SELECT ledger_id::text, store_backend(),"
        " split_part(current_setting('server_version'), ' ', 1) FROM ledger_identity"
    ).fetchone()
    assert row is not None
    ledger_id, backend, server = row
    return Manifest(
        format=FORMAT,
        rackmeter=version,
        revision=str(schema_revision(conn)),
        ledger_id=ledger_id,
        taken_at=datetime.now(UTC),
        backend=backend,
        server=server,
        pg_dump=0,
        extensions=backup_figures.extensions(conn),
        positions=backup_figures.positions(conn),
        tables=(),
        numbers=backup_figures.high_marks(conn),
        secrets=SECRETS,
        master_keys=tuple(secrets.in_use(conn)),
        files=(),
    )


def _check_room(conn: Connection, to: Path) -> None:
    """Compressed it takes less than the tables; more than the last one by half is not expected."""
    wanted = backup_figures.data_bytes(conn)
    if before := backups(to):
        wanted = min(wanted, before[-1].manifest.size * 3 // 2)
    wanted += ROOM_BYTES
    free = shutil.disk_usage(to).free
    if free < wanted:
        raise DependencyError(
            f"{free // MIB:,} MiB are free in {to} and the backup may take {wanted // MIB:,}:"
            " make room, or name another folder."
        )


def _arguments(folder: Path, jobs: int, snapshot: str) -> list[str]:
    return [
        "--format=directory", f"--file={folder}", f"--jobs={jobs}", f"--snapshot={snapshot}",
        "--compress=gzip:1",  # level 6, the default: 5 times the CPU for 6 % less
        "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_WAIT}",
        f"--exclude-schema={REBUILD}",
        *(f"--exclude-table-data=public.{table}" for table in backup_figures.WITHOUT),
    ]  # fmt: skip


def _digested(part: Path, progress: Progress) -> tuple[File, ...]:
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress("digested", done)

    return tuple(list_files(part, more))


def _prune(to: Path, keep: int | None) -> list[Path]:
    """Renames first: a folder that is half removed is no backup."""
    gone = [] if keep is None else [one.folder for one in backups(to)[:-keep]]
    for folder in gone:
        dying = to / f".{folder.name}{_PART}"
        folder.rename(dying)
        shutil.rmtree(dying)
    return gone


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
