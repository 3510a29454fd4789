"""What a failure calls for: waiting, repeating, or stopping with a sentence."""

from typing import Final

import psycopg
from aiokafka.errors import KafkaError

from schemas.errors import DependencyError
from sinks.checkpoint import FencedError

_TRANSIENT: Final = ("40", "53", "55", "57", "08")
"""SQLSTATE classes that repeating can mend; 22 and 23 cannot be."""


def is_mendable(error: Exception) -> bool:
    """Whether a claim made anew may do better."""
    if isinstance(error, (FencedError, DependencyError, KafkaError, TimeoutError)):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is not None:
        return error.sqlstate[:2] in _TRANSIENT
    # Raised by the client: a lost connection, or a value that no repeating makes fit.
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))


def first_line(error: BaseException) -> str:
    """What a log line says of it."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
