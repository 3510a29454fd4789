"""How far hours are stored, and the lock that lets the mark move.

A transaction that adds or changes windows holds the lock shared and names the hours it touches
below ``closing``; whoever moves the mark holds it alone for a moment. So each such transaction
either ends before the mark has moved, and what it wrote is stored then, or names its hours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import errors

from schemas.errors import RefusedError
from sinks.database import Connection

LOCK_KEY: Final = 0x7261_636B_6D61_726D  # "rackmarm"; store_closing() takes it shared
LOCK_MS: Final = 5_000
"""Checkpoints wait behind whoever waits for the lock; each takes less than a second."""
_ALONE_KEY: Final = 0x7261_636B_6D61_696E  # "rackmain": one maintenance at a time


@dataclass(frozen=True, slots=True)
class Marks:
    """None: before all time."""

    dropped: datetime | None
    stored: datetime | None
    closing: datetime | None


def marks(conn: Connection) -> Marks:
    row = conn.execute(
        "SELECT nullif(dropped, '-infinity'), nullif(stored, '-infinity'),"
        " nullif(closing, '-infinity') FROM store_mark"
    ).fetchone()
    assert row is not None
    return Marks(*row)


@contextmanager
def standing_still(conn: Connection) -> Iterator[None]:
    """A transaction in which nobody else adds or changes windows."""
    with conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_MS),))
        try:
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        except errors.LockNotAvailable:
            raise RefusedError(
                "A checkpoint holds the ledger for longer than"
                f" {LOCK_MS // 1000} s: run it again, and look at the workers if it says so again."
            ) from None
        yield


@contextmanager
def alone(conn: Connection) -> Iterator[None]:
    """No other maintenance or conversion of this database runs meanwhile."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (_ALONE_KEY,)).fetchone()
    if row is None or not row[0]:
        raise RefusedError("Another maintenance of this database is running: wait for it.")
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", (_ALONE_KEY,))
