"""The Kafka client, without what its package loads and only its asyncio clients use: 3 MB.

The stand-in is there while the package is imported, and is the real module at its first use.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


@contextmanager
def later(name: str) -> Iterator[None]:
    """What is imported meanwhile gets this module when it uses it. Does nothing where the module is
    loaded already.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        del sys.modules[name]


with later("asyncio"):
    from confluent_kafka import (
        TIMESTAMP_LOG_APPEND_TIME,
        KafkaError,
        KafkaException,
        Message,
        Producer,
    )

__all__ = ["TIMESTAMP_LOG_APPEND_TIME", "KafkaError", "KafkaException", "Message", "Producer"]
