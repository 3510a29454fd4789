"""The rater: the second Faust processor and what follows it, crossings and their delivery.

Hints say that a scope's usage has changed; they may be lost or repeated, the truth is the ledger.
While scopes are being rated further hints gather, each scope once, so a burst costs one rating.
Rating and webhooks have a thread and a connection each: a slow receiver holds up nobody's meter.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import psycopg
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import NotReady

from pipeline.records import Chunk
from rackmeter import metrics
from schemas.errors import RackmeterError
from schemas.events import Changed, decode_changed
from sinks.accruals import HINT_HORIZON, due_scopes, rate_open
from sinks.database import Connection, connect
from sinks.deadletters import Letter, mark_published, unpublished, unrelayed
from sinks.deliver import Delivery, Outcome, Ways, deliver_due
from sinks.outbox import Alert, waiting
from sinks.scopes import scopes_of_servers
from sinks.watch import due_accounts, look

log = structlog.get_logger(__name__)
T = TypeVar("T")

SWEEP_S: Final = 5.0
"""How late a price that time alone changes is noticed."""
REST_S: Final = 0.5
REST_FACTOR: Final = 5
"""A scope rests five times as long as its rating took, so that catching up a month stays cheap."""
PAUSE_S: Final = 2.0
"""Between attempts while the database is away."""
COUNT_S: Final = 15.0
"""How often is counted what waits for delivery: as often as Prometheus usually looks."""
AHEAD_MS_MAX: Final = 3_600_000
"""A reading from further ahead is no hint: clocks are corrected before it is written."""
SendHint = Callable[[str, int, int], Awaitable[None]]
"""Scope, append time, reading time."""


class _Thread:
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


class Rater:
    """Rates scopes that changed, delivers what crossed, relays dead letters."""

    def __init__(self, url: str, ways: Ways) -> None:
        self._rating = _Thread(url, "rater")
        self._notify = _Thread(url, "notifier")
        self._ways = ways
        self._waiting: dict[str, int] = {}
        """Scope → newest reading time that a hint told."""
        self._since_ms: dict[str, int] = {}
        """Scope → arrival of the oldest report since its last rating; not before our own start."""
        self._began_ms = time.time_ns() // 1_000_000
        self._wake, self._crossed = asyncio.Event(), asyncio.Event()
        self._rest_until: dict[str, float] = {}
        self._sweep_at = self._count_at = 0.0
        self.send_hint: SendHint | None = None
        self.send_letter: Callable[[Letter], Awaitable[None]] | None = None

    # -- hints ------------------------------------------------------------------------------------

    async def announce(self, touched: dict[str, int], append_ms: int) -> None:
        """After a checkpoint: one hint for each scope that these servers serve."""
        since = datetime.now(UTC) - HINT_HORIZON
        found = await self._rating.run(scopes_of_servers, list(touched), since)
        newest: dict[str, int] = {}
        for server, scopes in found.items():
            for scope in scopes:
                newest[scope] = max(newest.get(scope, 0), touched[server])
        for scope, at_ms in newest.items():
            if self.send_hint is not None:
                await self.send_hint(scope, append_ms, at_ms)

    async def take(self, chunk: Chunk) -> None:
        """Hints from the topic: note their scopes. Never raises."""
        for record in chunk.records:
            hint = decode_changed(record.value or b"")
            if hint is not None:
                self._note(hint)
        self._wake.set()

    def _note(self, hint: Changed) -> None:
        """Unless a stranger wrote it: no scope of ours, or a time that has not come."""
        if "\0" in hint.scope or not 0 <= hint.at_ms <= time.time_ns() // 1_000_000 + AHEAD_MS_MAX:
            return
        self._waiting[hint.scope] = max(self._waiting.get(hint.scope, 0), hint.at_ms)
        # Hints are read from the beginning of their topic: old ones tell nothing about this rater.
        self._since_ms.setdefault(hint.scope, max(hint.append_ms, self._began_ms))

    # -- rating -----------------------------------------------------------------------------------

    async def rate_waiting(self) -> None:
        """Rate what is noted, and what time alone has changed; wait when there is nothing."""
        if not self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SWEEP_S)
        self._wake.clear()
        try:
            await self._sweep()
            rested = [s for s in self._waiting if self._rest_until.get(s, 0.0) <= time.monotonic()]
            for scope in rested:
                await self._rate(scope, self._waiting.pop(scope))
            metrics.RATING_WAITING.set(len(self._waiting))
            metrics.LOOP.labels("rating").set_to_current_time()
            if not rested and self._waiting:
                await asyncio.sleep(REST_S / 5)
        except Exception as error:
            # Whatever it is, it must not end the process: metering goes on beside it.
            metrics.failed("rating", error)
            _paused("rating paused", error)
            await asyncio.sleep(PAUSE_S)

    async def _sweep(self) -> None:
        if time.monotonic() - self._sweep_at < SWEEP_S:
            return
        self._sweep_at = time.monotonic()
        now = datetime.now(UTC)
        for scope in await self._rating.run(due_scopes, now, 1000):
            self._waiting.setdefault(scope, int(now.timestamp() * 1000))
        for account in await self._rating.run(due_accounts, now):
            self._told(account, await self._rating.run(look, account, now, now))

    async def _rate(self, scope: str, at_ms: int) -> None:
        sampled_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
        began = time.monotonic()
        accounts: set[str] = set()
        for rated in await self._rating.run(rate_open, scope, datetime.now(UTC), sampled_at):
            metrics.RATINGS.inc()
            self._told(scope, rated.entered)
            accounts.add(rated.scope.account)
        for account in accounts:
            now = datetime.now(UTC)
            self._told(account, await self._rating.run(look, account, now, sampled_at))
        ended = time.monotonic()
        metrics.RATING.observe(ended - began)
        if (since_ms := self._since_ms.pop(scope, None)) is not None:
            metrics.RATING_DELAY.observe(max(0.0, time.time() - since_ms / 1000))
        metrics.LOOP.labels("rating").set_to_current_time()
        self._rest_until[scope] = ended + max(REST_S, REST_FACTOR * (ended - began))

    def _told(self, where: str, entered: tuple[Alert, ...]) -> None:
        """Of a scope or an account."""
        metrics.entered(entered)
        if entered:
            log.info("threshold crossed", where=where, events=len(entered))
            self._crossed.set()

    # -- delivering -------------------------------------------------------------------------------

    async def deliver_waiting(self) -> None:
        """Send what is due; wait for the next crossing, or for a retry to fall due."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._crossed.wait(), PAUSE_S)
        self._crossed.clear()
        try:
            for sent in await self._notify.run(self._deliver):
                metrics.WEBHOOKS.labels(sent.channel.value, sent.outcome.value).inc()
                level = log.info if sent.outcome is Outcome.DELIVERED else log.warning
                level(
                    sent.channel.value, id=sent.alert_id, outcome=sent.outcome.value, why=sent.why
                )
            await self._relay()
            await self._count()
            metrics.LOOP.labels("delivery").set_to_current_time()
        except Exception as error:
            metrics.failed("delivery", error)
            _paused("delivery paused", error)
            await asyncio.sleep(PAUSE_S)

    def _deliver(self, conn: Connection) -> list[Delivery]:
        return deliver_due(conn, self._ways, lambda: datetime.now(UTC))

    async def _relay(self) -> None:
        letters = await self._notify.run(unpublished)
        if letters and self.send_letter is not None:
            for letter in letters:
                await self.send_letter(letter)
            await self._notify.run(mark_published, letters)

    async def _count(self) -> None:
        """What waits: of the whole installation, so every worker says the same."""
        if time.monotonic() - self._count_at < COUNT_S:
            return
        self._count_at = time.monotonic()
        count, due = await self._notify.run(waiting)
        now = datetime.now(UTC)
        metrics.OUTBOX.set(count)
        metrics.OUTBOX_DUE.set(min(due or now, now).timestamp())
        metrics.LETTERS.set(await self._notify.run(unrelayed))

    def close(self) -> None:
        self._rating.close()
        self._notify.close()


def _paused(what: str, error: Exception) -> None:
    """A failure of the database, or a producer that has stopped before us, is a line; anything else
    is a bug and shows where."""
    known = isinstance(error, (psycopg.Error, RackmeterError, KafkaError, NotReady))
    log.warning(what, why=str(error) or type(error).__name__, exc_info=None if known else error)
