"""A process of its own with a connection, beside a worker: what computes there takes no turns with
the worker's interpreter. It ends with its worker, however that ends.
"""

import asyncio
import ctypes
import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from traceback import format_exception
from typing import Any, Final, TypeVar

from schemas.errors import DependencyError
from sinks.database import Connection, connect

T = TypeVar("T")
GC_OBJECTS: Final = 50_000
"""As in the worker: new objects before the garbage collector looks for cycles."""
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_conn: Connection | None = None
"""Of this process, when it is the one apart."""


class ConnectedProcess:
    """One process with one connection; each is made anew when it was lost."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Calls a function of a module, with the connection first. What goes there and comes back
        is pickled. DependencyError: the process has died, and what it was doing may be done."""
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
            )
        try:
            return await loop.run_in_executor(
                self._pool, _call, self._url, self._name, call, *arguments
            )
        except BrokenProcessPool as error:
            self._pool = None
            raise DependencyError(f"The process of the {self._name} died; another follows.") from (
                error
            )

    def close(self) -> None:
        """Waits for what it is doing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def portable(error: Exception) -> Exception:
    """The same error, with its traceback as a note, or one that says the same and can travel."""
    error.add_note("".join(format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _begin(owner: int) -> None:
    """Signals to a group are for the worker, which ends this process in order; a worker that is
    killed takes it along. A transaction in the middle is taken back, as with a thread."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner:
        sys.exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.set_threshold(GC_OBJECTS)


def _call(url: str, name: str, call: Callable[..., T], *arguments: Any) -> T:
    global _conn  # noqa: PLW0603 - the one thing a process of a pool can hold
    if _conn is None or _conn.closed or _conn.broken:
        _conn = connect(url, autocommit=True, application_name=f"rackmeter {name}")
    try:
        return call(_conn, *arguments)
    except Exception as error:
        raise portable(error) from None
