"""Writing a file so that nobody finds half of it under its name."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from rackmeter.errors import ConfigError, DependencyError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_FULL: Final = (28, 122)  # ENOSPC, EDQUOT


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its name when the block ends well; else it is removed.

    What is no ordinary file (a pipe, ``/dev/stdout``) is written to as it is.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with _file(path, _opened(path)) as special:
            yield special
        return
    final = path.resolve()
    descriptor, part = _beside(path, final)
    try:
        with _file(path, descriptor) as file:
            yield file
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)


class _Named(io.FileIO):
    """A file whose failures name it, whoever's block they end."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def _file(path: Path, descriptor: int) -> BinaryIO:
    return io.BufferedWriter(_Named(path, descriptor), 2**16)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _beside(path: Path, final: Path) -> tuple[int, Path]:
    try:
        if path.is_dir():
            raise IsADirectoryError(21, os.strerror(21))
        descriptor, part = tempfile.mkstemp(
            dir=final.parent, prefix=f".{final.name}.", suffix=".part"
        )
        # mkstemp closes it to others; a result is as open as any other file its owner makes.
        os.fchmod(descriptor, 0o666 & ~_umask())
    except OSError as error:
        raise _cannot_write(path, error) from error
    return descriptor, Path(part)


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
