"""Says on stderr how far a long command is."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final, TypeVar

from rackmeter.cli.output import note

T = TypeVar("T")
EVERY_S: Final = 2.0
_STEP: Final = 1_000


class Progress:
    """Called with how many more; speaks now and then, a short run not at all."""

    def __init__(self, verb: str) -> None:
        self._verb, self._count = verb, 0
        self._began = self._said = monotonic()

    def __call__(self, more: int) -> None:
        self._count += more
        now = monotonic()
        if now - self._said >= EVERY_S:
            self._said = now
            rate = round(self._count / (now - self._began))
            with suppress(BrokenPipeError):
                note(f"{self._verb} {self._count:,} messages, {rate:,} a second")

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, counted as they pass."""
        for at, item in enumerate(items, 1):
            if at % _STEP == 0:
                self(_STEP)
            yield item
