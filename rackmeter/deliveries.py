"""What leaves the house: alerts that were entered, and dead letters for their topic.

A thread and a connection of its own, and threads for the requests: a slow receiver holds up neither
rating nor other receivers.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from rackmeter import metrics
from rackmeter.loops import ConnectedThread, paused
from sinks.deadletters import Letter, mark_published, unpublished, unrelayed
from sinks.deliver import Courier, Outcome, Ways
from sinks.outbox import waiting

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
"""How often is looked for retries that fall due, what others entered, and letters."""
COUNT_S: Final = 15.0
"""How often is counted what waits for delivery: as often as Prometheus usually looks."""


class Deliveries:
    """Sends what was entered, relays dead letters."""

    def __init__(self, url: str, ways: Ways) -> None:
        self._thread = ConnectedThread(url, "notifier")
        self._courier = Courier(ways, lambda: datetime.now(UTC), self.wake)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._relay_at = self._count_at = 0.0
        self.send_letter: Callable[[Letter], Awaitable[None]] | None = None

    def wake(self) -> None:
        """There is something to send, or a try has ended. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def deliver_waiting(self) -> None:
        """Send what is due; wait for the next crossing, or for a retry to fall due."""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), LOOK_S)
        self._wake.clear()
        try:
            await self._deliver()
            await self._relay()
            await self._count()
            metrics.LOOP.labels("delivery").set_to_current_time()
        except Exception as error:
            metrics.failed("delivery", error)
            paused("delivery paused", error)
            await asyncio.sleep(LOOK_S)

    async def _deliver(self) -> None:
        for sent in await self._thread.run(self._courier.turn):
            metrics.WEBHOOKS.labels(sent.channel.value, sent.outcome.value).inc()
            level = log.info if sent.outcome is Outcome.DELIVERED else log.warning
            level(sent.channel.value, id=sent.alert_id, outcome=sent.outcome.value, why=sent.why)

    async def _relay(self) -> None:
        if time.monotonic() - self._relay_at < LOOK_S:
            return
        self._relay_at = time.monotonic()
        letters = await self._thread.run(unpublished)
        if letters and self.send_letter is not None:
            for letter in letters:
                await self.send_letter(letter)
            await self._thread.run(mark_published, letters)

    async def _count(self) -> None:
        """What waits: of the whole installation, so every worker says the same."""
        if time.monotonic() - self._count_at < COUNT_S:
            return
        self._count_at = time.monotonic()
        count, due = await self._thread.run(waiting)
        now = datetime.now(UTC)
        metrics.OUTBOX.set(count)
        metrics.OUTBOX_DUE.set(min(due or now, now).timestamp())
        metrics.LETTERS.set(await self._thread.run(unrelayed))

    def close(self) -> None:
        self._thread.close()
        self._courier.close()
