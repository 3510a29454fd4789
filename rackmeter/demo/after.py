"""What is said afterwards: why it broke off, or how to go on."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rackmeter.errors import DependencyError


def explained(error: Exception, data_dir: Path) -> DependencyError:
    """A server that went away, with the reason that most often stands behind it."""
    log = data_dir / "log" / "postgres.log"
    with suppress(OSError):
        if "No space left on device" in log.read_text(encoding="utf-8", errors="replace"):
            return DependencyError(
                f"The disk of {data_dir} is full: make room, or use another one."
            )
    if isinstance(error, DependencyError):
        return error
    return DependencyError(f"The database went away: {str(error).splitlines()[0]} (log: {log}).")


def next_commands(data_dir: Path, pdf: str, line: str | None) -> tuple[str, ...]:
    program = _program()
    commands = [f"xdg-open {pdf}"] if pdf else []
    if line is not None:
        commands.append(f"{program} invoice explain {line} --data-dir {data_dir}")
    if pdf:
        commands.append(f"{program} invoice verify {pdf.removesuffix('.pdf')}.json")
    return tuple(commands)


def _program() -> str:
    """How to call rackmeter again from here: by name where it is found, else by its path."""
    called = Path(sys.argv[0]).absolute()
    found = shutil.which("rackmeter")
    if found is not None and Path(found).resolve() == called.resolve():
        return "rackmeter"
    if called.name == "__main__.py":
        return f"{sys.executable} -m rackmeter"
    return os.path.relpath(called)
