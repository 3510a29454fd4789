"""PostgreSQL's own programs: which of those installed fits a server, and running one.

A dump is written by the program of the server's own version where there is one, else by the next
newer: an older one refuses, and a much newer one may write what the server does not understand.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemas.errors import ConfigError, DependencyError

DEBIAN: Final = "/usr/lib/postgresql"
"""Debian and Ubuntu keep each version's programs below it, and only wrappers on the PATH."""
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Program:
    """An installed program and its version."""

    path: Path
    major: int


def find_program(name: str, server_major: int, folders: Sequence[Path] = ()) -> Program:
    """The one that fits a server best; ``folders`` are looked through before the PATH."""
    found = list(_installed(name, folders))
    fitting = sorted((one for one in found if one.major >= server_major), key=lambda o: o.major)
    if fitting:
        return fitting[0]
    there = f"{name} is {max(one.major for one in found)}" if found else f"there is no {name}"
    raise ConfigError(
        f"The server is PostgreSQL {server_major} and {there} here: install postgresql-client of"
        f" version {server_major} or newer."
    )


def run_program(
    program: Program,
    arguments: Sequence[str],
    url: str,
    *,
    keep: Sequence[int] = (),
    poll: Callable[[], None] = lambda: None,
) -> None:
    """Runs it on a database; raises its last words. ``keep`` are files that it holds open, locks
    for one: should we be killed they are released when it ends too.

    The password goes through the environment: arguments are for everybody to read.
    """
    known = conninfo_to_dict(url)
    password = known.pop("password", None)
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
    if password:
        environment["PGPASSWORD"] = str(password)
    process = subprocess.Popen(
        [program.path, f"--dbname={make_conninfo('', **known)}", "--no-password", *arguments],
        env=environment,
        pass_fds=tuple(keep),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = _wait(process, poll)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise DependencyError(f"{program.path.name} failed: {said or process.returncode}.")


def _wait(process: "subprocess.Popen[str]", poll: Callable[[], None]) -> str:
    """Its last error once it has ended."""
    while True:
        try:
            _, said = process.communicate(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            poll()
            continue
        lines = said.splitlines()
        first = next((line for line in lines if "error: " in line), lines[-1] if lines else "")
        return first.rpartition("error: ")[2].rstrip(".")


def _installed(name: str, folders: Sequence[Path]) -> Iterator[Program]:
    on_path = shutil.which(name)
    places = [folder / name for folder in (*folders, *sorted(Path(DEBIAN).glob("*/bin")))]
    for path in [*places, *([Path(on_path)] if on_path else [])]:
        if path.is_file() and (major := _major(path)):
            yield Program(path, major)


def _major(path: Path) -> int | None:
    """None where it is a wrapper without a program behind it."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else None
