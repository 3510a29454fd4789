"""Our end of the guard: start a server through it, ask after it, stop it, or let go of all.

Knows nothing of PostgreSQL or brokers. The guard starts the children because only a process that
outlives us can end them after a `kill -9`.
"""

import contextlib
import json
import os
import pwd
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rackmeter import stack_guard
from rackmeter.errors import DependencyError

# The guard gives each child up to three signals of STOP_SECONDS.
_CLOSE_SECONDS = 4 * stack_guard.STOP_SECONDS
# What the servers run as when rackmeter is root: PostgreSQL refuses to be root.
_SERVER_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Runner:
    """Whom a server runs as: None is ourselves; with override it may pass closed folders."""

    uid: int | None = None
    override: bool = False


@dataclass(frozen=True)
class Child:
    """One server to be run."""

    name: str
    argv: Sequence[str]
    log: Path
    stop: tuple[int, ...]  # signals, the politest first; the first is also sent if the guard dies
    runner: Runner = field(default_factory=Runner)
    remove: tuple[Path, ...] = ()  # folders outside the data folder that end with it


class Children:
    """A guard and what it runs. Its answers come in the order of the questions."""

    def __init__(self, lock_fd: int, log: Path) -> None:
        self._turn = threading.Lock()
        # By its path and isolated: independent of the working folder and of PYTHONPATH.
        argv = [sys.executable, "-I", stack_guard.__file__, str(os.getpid()), str(lock_fd)]
        with log.open("ab") as stderr:
            self._guard = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=(lock_fd,),
                start_new_session=True,
            )

    @property
    def guard_pid(self) -> int:
        """The guard's process id."""
        return self._guard.pid

    def start(self, child: Child) -> int:
        """Start a child and return its process id; whether it is ready is not known here."""
        answer = self._ask(
            {
                "do": "start",
                "name": child.name,
                "argv": [str(part) for part in child.argv],
                "log": str(child.log),
                "env": _environment(),
                "uid": child.runner.uid,
                "override": child.runner.override,
                "stop": list(child.stop),
                "remove": [str(folder) for folder in child.remove],
            }
        )
        return int(answer["pid"])

    def exit_code(self, name: str) -> int | None:
        """None while it runs."""
        code = self._ask({"do": "look", "name": name})["code"]
        return None if code is None else int(code)

    def stop(self, name: str) -> None:
        """Stop one child and return when it is gone."""
        self._ask({"do": "stop", "name": name})

    def close(self) -> None:
        """Stop every child; return when guard and children are gone. May be repeated."""
        stdin = self._guard.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()
        self._guard.wait(_CLOSE_SECONDS)
        if self._guard.stdout is not None:
            self._guard.stdout.close()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._guard.stdin, self._guard.stdout
        assert stdin is not None
        assert stdout is not None
        with self._turn:
            try:
                stdin.write(json.dumps(command).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except (OSError, ValueError):
                line = b""
        if not line:
            raise DependencyError("The embedded servers are gone: the process that ran them ended.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DependencyError(f"{command['name']} could not be started: {answer['error']}.")
        return answer


def runner_for(folders: Sequence[Path], owned: Path) -> Runner:
    """Ourselves, unless we are root: then the owner of `owned`, or a user without rights."""
    if os.geteuid() != 0:
        return Runner()
    user = _user_of(owned)
    blocked = any(not _reaches(user, part) for path in folders for part in (path, *path.parents))
    return Runner(uid=user.pw_uid, override=blocked)


def _user_of(folder: Path) -> pwd.struct_passwd:
    with contextlib.suppress(OSError, KeyError):
        if (uid := folder.stat().st_uid) != 0:
            return pwd.getpwuid(uid)
    for name in _SERVER_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise DependencyError(
        "PostgreSQL refuses to run as root, and this machine has no user "
        f"{' or '.join(_SERVER_USERS)}: run rackmeter as an ordinary user."
    )


def _reaches(user: pwd.struct_passwd, folder: Path) -> bool:
    """Whether that user may pass through a folder."""
    found = folder.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)


def _environment() -> dict[str, str]:
    """What a server sees: nothing that would change it from machine to machine."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
