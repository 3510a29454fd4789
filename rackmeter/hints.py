"""Telling the rater whose usage changed, beside the metering.

Nobody's meter waits for a rating or a send. A hint that is lost costs time only: the servers' next
reports bring more, and the truth is the ledger.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from rackmeter.failures import first_line

log = structlog.get_logger(__name__)

LAST_S: Final = 1.0

Committed = Callable[[dict[str, int], int], Awaitable[None]]
"""Told after commits: server → newest reading time, and the append time."""


class Hints:
    """What was committed and not told yet; one telling at a time, the newest reading of each."""

    def __init__(self) -> None:
        self.on_commit: Committed | None = None
        self._changed: dict[str, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell_later(self, touched: Mapping[str, int], append_ms: int) -> None:
        """Returns at once."""
        again = {
            server: max(self._changed[server], touched[server])
            for server in self._changed.keys() & touched.keys()
        }
        self._changed = {**self._changed, **touched, **again}
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(append_ms))

    async def close(self) -> None:
        """Give the last ones a moment."""
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=LAST_S)

    async def _tell(self, append_ms: int) -> None:
        while self._changed and self.on_commit is not None:
            changed, self._changed = self._changed, {}
            try:
                await self.on_commit(changed, append_ms)
            except Exception as error:
                log.warning("hints lost", why=first_line(error))
