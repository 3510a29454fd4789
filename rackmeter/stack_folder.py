"""The data folder of an embedded stack: made, checked, and locked against a second stack.

postgres/    the database cluster          log/         one file a server, anew at each start
run/         the database's unix socket    stack.json   who runs it, and at which addresses
master.key   what the secrets in the database are encrypted with
stack.lock   held by the guard and every server, so it is free only when the last one is gone
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from rackmeter.errors import ConfigError, DependencyError, RefusedError

MIB = 1024 * 1024
# initdb writes 40 MiB and its first WAL segment 16; the rest is room for a demonstration's month.
FREE_BYTES_NEW = 256 * MIB
FREE_BYTES_AGAIN = 32 * MIB
# A stack whose owner died needs this long at most to stop; see stack_guard.STOP_SECONDS.
LOCK_SECONDS = 20.0
# sockaddr_un.sun_path holds 108 bytes with its NUL.
SOCKET_PATH_BYTES = 107
SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Running:
    """A stack that runs: its owner and its addresses."""

    pid: int
    database_url: str | None = None
    bootstrap: str | None = None


class DataFolder:
    """A locked data folder; the lock ends with the last process that inherited it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.pgdata = self.path / "postgres"
        self.logs = self.path / "log"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            self.lock_fd = _lock(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            self._check_room()
        except BaseException:
            os.close(self.lock_fd)
            raise

    def release(self) -> None:
        """Close our copy of the lock; whoever inherited it still holds it."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def log(self, name: str) -> Path:
        """Where a server's output goes; the previous start's is kept beside it."""
        path = self.logs / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(".log.old"))
        return path

    def socket_folder(self) -> tuple[Path, bool]:
        """A folder for the unix socket, and whether it lies outside because ours is too deep."""
        inside = self.path / "run"
        if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
            inside.mkdir(mode=0o700, exist_ok=True)
            return inside, False
        return Path(tempfile.mkdtemp(prefix="rackmeter-")), True

    def announce(self, running: Running) -> None:
        """Let other commands find the addresses."""
        text = json.dumps(asdict(running))
        fresh = self.path / "stack.json.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path / "stack.json")

    def _check_room(self) -> None:
        needed = FREE_BYTES_AGAIN if self.pgdata.exists() else FREE_BYTES_NEW
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise DependencyError(
                f"The disk of {self.path} is full: {free // MIB} MiB are free, "
                f"{needed // MIB} MiB are needed; make room or choose another RACKMETER_DATA_DIR."
            )


def running(data_dir: Path) -> Running | None:
    """The stack that runs on this folder, if one does."""
    try:
        with (data_dir / "stack.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        pass
    else:
        return None
    try:
        return Running(**json.loads((data_dir / "stack.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # it is starting or stopping


def _lock(folder: Path) -> int:
    """Take the lock, or say who has it. A dead owner's servers are given time to stop."""
    fd = os.open(folder / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(fd, 64, 0).decode("ascii", "replace").strip()
            if _alive(owner) or time.monotonic() > deadline:
                os.close(fd)
                raise RefusedError(
                    f"The data folder {folder} is in use by process {owner or 'unknown'}: stop it, "
                    "or choose another RACKMETER_DATA_DIR."
                ) from None
            time.sleep(0.05)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    (folder / "stack.json").unlink(missing_ok=True)
    return fd


def _alive(owner: str) -> bool:
    """Whether the owner still runs; a zombie does not."""
    try:
        return psutil.Process(int(owner)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def _unusable(path: Path, error: OSError) -> Exception:
    reason = error.strerror or str(error)
    message = f"The data folder {path} cannot be used: {reason}; choose another RACKMETER_DATA_DIR."
    return DependencyError(message) if error.errno in (28, 122) else ConfigError(message)
