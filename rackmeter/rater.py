"""The rater: the second Faust processor, from hints to crossings.

Hints say that a scope's usage has changed; they may be lost or repeated, the truth is the ledger.
While scopes are being rated further hints gather, each scope once; what has gathered is rated
together. Hints have a thread with a connection, rating a process with one: neither waits for the
other, and what a rating takes is not taken from metering.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import structlog

from pipeline.records import Chunk
from rackmeter import metrics
from rackmeter.apart import ConnectedProcess
from rackmeter.loops import ConnectedThread, paused
from rackmeter.rate_batch import rate_and_look
from schemas.events import Changed, decode_changed
from sinks.accruals import HINT_HORIZON, due_scopes
from sinks.outbox import Alert
from sinks.scopes import scopes_of_servers
from sinks.wallet_watch import look as look_at_wallets
from sinks.watch import due_accounts, look

log = structlog.get_logger(__name__)

SWEEP_S: Final = 5.0
"""How late a price that time alone changes is noticed."""
WALLETS_S: Final = 60.0
"""How late a prepaid balance that is low is noticed."""
BATCH_SCOPES: Final = 256
"""Rated in one snapshot: about a quarter of a second of work."""
REST_S: Final = 0.1
REST_FACTOR: Final = 5
"""A scope rests five times as long as its share of the rating took: a large pool is not summed all
the time."""
OLD_S: Final = 60.0
OLD_REST_S: Final = 5.0
"""While a backlog is caught up every alert is late already, and rating is kept cheap."""
FAILED_REST_S: Final = 60.0
"""Until a scope that cannot be rated is tried again."""
PAUSE_S: Final = 2.0
"""Between attempts while the database is away."""
AHEAD_MS_MAX: Final = 3_600_000
"""A reading from further ahead is no hint: clocks are corrected before it is written."""
NOTED_MAX: Final = 100_000
"""Some seconds of hints; one that is forgotten is rated twice."""
SendHints = Callable[[Sequence[Changed]], Awaitable[None]]


class Rater:
    """Rates scopes that changed; ``crossed`` is called when there is something to be told."""

    def __init__(self, url: str, crossed: Callable[[], None] = lambda: None) -> None:
        self._hints = ConnectedThread(url, "hints")
        self._rating = ConnectedProcess(url, "rater")
        self._crossed = crossed
        self._waiting: dict[str, int] = {}
        """Scope → newest reading time that a hint told."""
        self._since_ms: dict[str, int] = {}
        """Scope → arrival of the oldest report since its last rating; not before our own start."""
        self._began_ms = time.time_ns() // 1_000_000
        self._wake = asyncio.Event()
        self._rest_until: dict[str, float] = {}
        self._sweep_at = 0.0
        self._wallets_at = 0.0
        self._noted: dict[Changed, None] = {}
        """Our own hints that have not come back from the topic."""
        self.owns: Callable[[str], bool] = lambda _scope: False
        """Whether hints of a scope come to this worker."""
        self.send_hints: SendHints | None = None

    # -- hints ------------------------------------------------------------------------------------

    async def announce(self, touched: dict[str, int], append_ms: int) -> None:
        """After a checkpoint: one hint for each scope that these servers serve.

        Those of our own scopes are noted at once; they go to the topic as well, for whoever comes
        after us, and are passed over when they come back.
        """
        since = datetime.now(UTC) - HINT_HORIZON
        found = await self._hints.run(scopes_of_servers, list(touched), since)
        newest: dict[str, int] = {}
        for server, scopes in found.items():
            for scope in scopes:
                newest[scope] = max(newest.get(scope, 0), touched[server])
        hints = [Changed(scope, append_ms, at_ms) for scope, at_ms in newest.items()]
        for hint in hints:
            if self.owns(hint.scope):
                self._note(hint)
                self._noted[hint] = None
        while len(self._noted) > NOTED_MAX:
            del self._noted[next(iter(self._noted))]
        self._wake.set()
        if self.send_hints is not None:
            await self.send_hints(hints)

    async def take(self, chunk: Chunk) -> None:
        """Hints from the topic: note their scopes. Never raises."""
        for record in chunk.records:
            for hint in decode_changed(record.value or b""):
                if self._noted.pop(hint, hint) is hint:
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
            batch = self._batch()
            if batch:
                await self._rate(batch)
            metrics.RATING_WAITING.set(len(self._waiting))
            metrics.LOOP.labels("rating").set_to_current_time()
            if not batch and self._waiting:
                await asyncio.sleep(REST_S / 5)
        except Exception as error:
            # Whatever it is, it must not end the process: metering goes on beside it.
            metrics.failed("rating", error)
            paused("rating paused", error)
            await asyncio.sleep(PAUSE_S)

    def _batch(self) -> dict[str, int]:
        """Those that have waited longest, of those that have rested."""
        now = time.monotonic()
        rested = (scope for scope in self._waiting if self._rest_until.get(scope, 0.0) <= now)
        return {scope: self._waiting[scope] for scope in islice(rested, BATCH_SCOPES)}

    async def _sweep(self) -> None:
        if time.monotonic() - self._sweep_at < SWEEP_S:
            return
        self._sweep_at = time.monotonic()
        now = datetime.now(UTC)
        for scope in await self._rating.run(due_scopes, now, 1000):
            self._waiting.setdefault(scope, int(now.timestamp() * 1000))
        for account in await self._rating.run(due_accounts, now):
            self._told(account, await self._rating.run(look, account, now, now))
        if time.monotonic() - self._wallets_at >= WALLETS_S:
            self._wallets_at = time.monotonic()
            for alert in await self._rating.run(look_at_wallets, now):
                self._told(alert.account, (alert,))

    async def _rate(self, batch: dict[str, int]) -> None:
        """What comes while it is rated waits for the next one; what fails is not forgotten."""
        for scope in batch:
            del self._waiting[scope]
        since_ms = {scope: self._since_ms.pop(scope) for scope in batch if scope in self._since_ms}
        began = time.monotonic()
        try:
            done = await self._rating.run(rate_and_look, batch)
        except Exception:
            for scope, at_ms in batch.items():
                self._waiting[scope] = max(self._waiting.get(scope, 0), at_ms)
            self._since_ms = since_ms | self._since_ms
            raise
        ended = time.monotonic()
        metrics.RATINGS.inc(done.periods)
        metrics.RATING.observe(ended - began)
        for where, entered in done.entered:
            self._told(where, entered)
        self._rest(batch, since_ms, ended, (ended - began) / len(batch))
        for scope, error in done.failed.items():
            metrics.failed("rating", error)
            paused("scope not rated", error, scope=scope)
            self._rest_until[scope] = ended + FAILED_REST_S
            self._waiting.setdefault(scope, batch[scope])

    def _rest(
        self, batch: Iterable[str], since_ms: Mapping[str, int], ended: float, share_s: float
    ) -> None:
        now_s = time.time()
        for scope in batch:
            delay_s = max(0.0, now_s - since_ms.get(scope, now_s * 1000) / 1000)
            if scope in since_ms:
                metrics.RATING_DELAY.observe(delay_s)
            rest_s = OLD_REST_S if delay_s > OLD_S else REST_S
            self._rest_until[scope] = ended + max(rest_s, REST_FACTOR * share_s)

    def _told(self, where: str, entered: tuple[Alert, ...]) -> None:
        """Of a scope or an account."""
        metrics.entered(entered)
        if entered:
            log.info("threshold crossed", where=where, events=len(entered))
            self._crossed()

    def close(self) -> None:
        self._hints.close()
        self._rating.close()
