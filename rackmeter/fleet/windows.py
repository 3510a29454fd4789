"""Windows of five minutes, and how a quantity is shared out over them. Pure."""

from collections.abc import Iterator
from typing import Final

WINDOW_MS: Final = 300_000
WindowKey = tuple[str, str, str, int]
"""Server, meter, resource, start of the window."""


def shares(quantity: int, since_ms: int, at_ms: int) -> Iterator[tuple[int, int]]:
    """The part of each window: cumulative floors, so that they sum exactly.

    Where no time has passed, or less than none, everything is in the window that ends there.
    """
    if at_ms <= since_ms:
        since_ms = at_ms - 1
    done = 0
    for start in range(since_ms - since_ms % WINDOW_MS, at_ms, WINDOW_MS):
        until = quantity * (min(start + WINDOW_MS, at_ms) - since_ms) // (at_ms - since_ms)
        yield start, until - done
        done = until
