"""Writing a file so that nobody finds half of it under its name."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from rackmeter.errors import ConfigError, DependencyError

_FULL: Final = (28, 122)  # ENOSPC, EDQUOT


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its name when the block ends well; else it is removed.

    What is no ordinary file (a pipe, ``/dev/stdout``) is written to as it is.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as special:
                yield special
            return
        with _beside(path) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise IsADirectoryError(21, os.strerror(21), str(path))
    final = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # mkstemp closes it to others; a result is as open as any other file its owner makes.
            os.fchmod(descriptor, 0o666 & ~_umask())
            yield file
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    """Reading it means setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> ConfigError | DependencyError:
    if error.errno in _FULL:
        return DependencyError(
            f"The disk is full: cannot write {path}; make room, then repeat the command."
        )
    return ConfigError(f"{path} cannot be written: {error.strerror or error}.")
