"""A connection that is opened anew when it was lost. For one thread."""

import contextlib
from collections.abc import Callable

import psycopg

from sinks.database import Connection, connect


def _nothing(_conn: Connection) -> None:
    """A connection needs no preparation."""


class Link:
    """One connection to one database, prepared each time it is opened."""

    def __init__(
        self, url: str, name: str, prepare: Callable[[Connection], None] = _nothing
    ) -> None:
        self._url, self._name, self._prepare = url, name, prepare
        self._conn: Connection | None = None

    def connection(self) -> Connection:
        """The open connection, outside a transaction."""
        if self._conn is not None and self.alive():
            self._conn.rollback()
            return self._conn
        self.close()
        conn = connect(self._url, application_name=self._name)
        self._prepare(conn)
        self._conn = conn
        return conn

    def alive(self) -> bool:
        return self._conn is not None and not self._conn.closed and not self._conn.broken

    def close(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                self._conn.close()
            self._conn = None
