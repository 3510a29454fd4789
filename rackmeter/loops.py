"""What the worker's loops share: a thread with a connection, and a word about a failure."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import NotReady

from schemas.errors import RackmeterError
from sinks.database import Connection, connect

log = structlog.get_logger(__name__)
T = TypeVar("T")


class ConnectedThread:
    """One thread with one connection, opened anew when it was lost."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._conn: Connection | None = None

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._call, call, *arguments)

    def _call(self, call: Callable[..., T], *arguments: Any) -> T:
        if self._conn is None or self._conn.closed or self._conn.broken:
            name = f"rackmeter {self._name}"
            self._conn = connect(self._url, autocommit=True, application_name=name)
        return call(self._conn, *arguments)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._conn is not None:
            self._conn.close()


def paused(what: str, error: Exception, **about: str) -> None:
    """A failure of the database, or a producer that has stopped before us, is a line; anything else
    is a bug and shows where."""
    known = isinstance(error, (psycopg.Error, RackmeterError, KafkaError, NotReady))
    why = str(error) or type(error).__name__
    log.warning(what, why=why, exc_info=None if known else error, **about)
