"""The metering desk: lanes, claims and checkpoints behind the first Faust processor.

Metering happens in one thread, claims and checkpoints in another; the event loop only waits. While
a lane's checkpoint is on its way to the ledger the lane meters on, until the next one is due by its
size: then it waits, and with it the fetching. No exception leaves what Faust calls: it would
acknowledge the chunk and go on, or leave a partition that nobody meters. A failure is one of two:
the lane is thrown away and claimed anew, or the worker stops with a sentence.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import psycopg
import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from pipeline.lanes import Lane, Sealed, Taken
from pipeline.records import Chunk
from pipeline.refusals import Refusals
from pipeline.transport import ChunkConsumer
from rackmeter import metrics
from rackmeter.failures import first_line, is_mendable
from rackmeter.hints import Hints
from rackmeter.intake import Intakes
from rackmeter.quarantine import Quarantine
from rackmeter.settings import Settings
from schemas.errors import DependencyError, RackmeterError, RefusedError
from sinks.checkpoint import Checkpointer, FencedError
from sinks.database import NewerSchemaError
from sinks.positions import TopicIdentity, check_log_start, log_too_short
from sinks.quarantine import refuses
from sinks.vault import Vault

log = structlog.get_logger(__name__)
T = TypeVar("T")
Flight = tuple[Lane, Sealed]
"""A lane with what of it is on its way to the ledger."""

RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""A database that is away for a minute is waited for; then the worker stops and says so."""
IDLE_S: Final = 2.0
"""How often a lane that has nothing to do says up to when it is complete."""
FETCH_WAIT_MS: Final = 2_000
"""A broker's answer is about a moment at most this long before it arrived (Faust asks for 1.5 s).
"""
SHORT_S: Final = 10.0
"""A log that ends before the ledger for longer than an election of leaders takes."""
FENCED_S: Final = 3.0
"""A worker that was asleep learns in this time that the group went on without it."""


class Desk:
    """One worker's lanes. ``consumer`` is set once Faust has made it."""

    def __init__(self, settings: Settings, url: str, topic: TopicIdentity, vault: Vault) -> None:
        self._settings, self._topic = settings, topic
        self._checkpointer = Checkpointer(url)
        self._quarantine = Quarantine(self._checkpointer)
        self._meter = ThreadPoolExecutor(1, thread_name_prefix="meter")
        self._ledger = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._lanes: dict[int, Lane] = {}
        self._intakes = Intakes(
            settings, vault, topic.partitions, self._checkpointer.lookups.connection
        )
        self._idle_at = 0.0
        self._sealed_at = time.monotonic()
        self._writing: dict[int, asyncio.Task[None]] = {}
        """Partition → its checkpoint on the way."""
        self._refusals: dict[int, Refusals] = {}
        self._short_since: dict[int, float] = {}
        self._claiming = asyncio.Lock()
        self.consumer: ChunkConsumer | None = None
        self.hints = Hints()
        self.failure: BaseException | None = None
        self._sealing = asyncio.Lock()
        self._closing = False

    # -- called by Faust --------------------------------------------------------------------------

    async def seek(self, assigned: set[TP]) -> dict[TP, int]:
        """Claim every assigned partition of the reports topic; where each is to be read from."""
        mine = sorted(tp for tp in assigned if tp.topic == self._topic.name)
        metrics.assigned({tp.partition for tp in mine})
        for part in self._lanes.keys() - {tp.partition for tp in mine}:
            del self._lanes[part]
        try:
            return {tp: await self._claim(tp) for tp in mine}
        except Exception as error:
            self._stop(error)
            return {}

    async def take(self, chunk: Chunk) -> None:
        """Meter a chunk, checkpoint when there is much. Never raises."""
        lane = self._lanes.get(chunk.part)
        if lane is None or self.failure is not None:
            return
        try:
            await self._take(lane, chunk)
        except Exception as error:
            await self._mend(lane, error)

    async def _take(self, lane: Lane, chunk: Chunk) -> None:
        expected = lane.expect
        taken = await self._run(self._meter, self._take_chunk, lane, chunk)
        if taken is Taken.OVER_GAP:
            log.warning(
                "offsets without reports",
                part=chunk.part, begin=expected, end=chunk.first_offset,
            )  # fmt: skip
        if taken in (Taken.METERED, Taken.OVER_GAP) and self._full(lane):
            await self._checkpoint_full(lane)
        mine = self._lanes.get(lane.part) is lane
        if mine and lane.expect < chunk.next_offset and self.consumer is not None:
            await self.consumer.seek_wait({TP(chunk.topic, chunk.part): lane.expect})

    async def tick(self) -> None:
        """Checkpoint what has waited long enough; say how far idle lanes are complete."""
        if (time.monotonic() - self._sealed_at) * 1000 >= self._settings.flush_interval_ms:
            try:
                if await self._checkpoint(list(self._lanes.values())):
                    self._sealed_at = time.monotonic()
            except Exception as error:
                self._stop(error)
        if time.monotonic() - self._idle_at > IDLE_S:
            self._idle_at = time.monotonic()
            try:
                await self._say_idle()
                metrics.LOOP.labels("metering").set_to_current_time()
            except Exception as error:
                # A rebalance may take the partition away between two looks at it.
                log.warning("idle mark failed", why=first_line(error))

    async def close(self) -> None:
        """Last checkpoint of every lane that is still ours."""
        self._closing = True
        try:
            while left := [lane for lane in self._lanes.values() if lane.expect > lane.base]:
                await self._checkpoint(left)
                await asyncio.wait({self._writing[lane.part] for lane in left})
        except Exception as error:
            log.warning("not flushed at shutdown", why=first_line(error))
        self._lanes = {}
        await self.hints.close()
        await self._run(self._ledger, self._checkpointer.close)

    # -- in the threads ---------------------------------------------------------------------------

    async def _run(self, thread: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, call, *arguments)

    def _take_chunk(self, lane: Lane, chunk: Chunk) -> Taken:
        began = time.perf_counter()
        taken = lane.take(chunk, self._intakes.current(), time.time_ns() // 1_000_000)
        metrics.METERING.inc(time.perf_counter() - began)
        return taken

    # -- claiming and flushing --------------------------------------------------------------------

    async def _claim(self, tp: TP) -> int:
        assert self.consumer is not None
        async with self._claiming:
            self._lanes.pop(tp.partition, None)
            lane = await self._claim_patiently(tp.partition)
            first = (await self.consumer.earliest_offsets(tp))[tp]
            check_log_start(tp.partition, lane.base, first)
            lane.aside = self._quarantine.of(tp.partition)
            self._lanes[tp.partition] = lane
            self._refusals[tp.partition] = self._watch(tp.partition)
        metrics.CLAIMS.inc()
        log.info("partition claimed", part=tp.partition, offset=lane.base, servers=len(lane.heads))
        return lane.base

    async def _claim_patiently(self, part: int) -> Lane:
        claim, topic_id = self._checkpointer.claim, self._topic.topic_id
        for wait_s in RETRY_S:
            try:
                return await self._run(self._ledger, claim, topic_id, part)
            except (psycopg.OperationalError, DependencyError) as error:
                metrics.failed("claim", error)
                log.warning("claim failed, trying again", part=part, why=first_line(error))
                await asyncio.sleep(wait_s)
        try:
            return await self._run(self._ledger, claim, topic_id, part)
        except psycopg.OperationalError as error:
            raise DependencyError(f"The database does not answer: {first_line(error)}") from error

    def _watch(self, part: int) -> Refusals:
        settings = self._settings
        return Refusals(
            part, settings.dead_letter_ratio_max, settings.dead_letter_reports_min,
            settings.dead_letter_window_ms,
        )  # fmt: skip

    def _full(self, lane: Lane) -> bool:
        settings = self._settings
        return (
            lane.heads.dirty_count() >= settings.flush_servers
            or lane.pending_bytes >= settings.flush_bytes
            or lane.expect == lane.aside.end
        )

    async def _checkpoint_full(self, lane: Lane) -> None:
        """Send its checkpoint on its way, when the one before has arrived."""
        writing = self._writing.get(lane.part)
        if writing is not None and not writing.done():
            await asyncio.wait({writing})
        await self._checkpoint([lane])

    async def _checkpoint(self, lanes: Sequence[Lane]) -> bool:
        """Send one checkpoint of these lanes on its way, without those that have one under way;
        whether there was anything to send."""
        async with self._sealing:
            ready = [
                lane
                for lane in lanes
                if self._lanes.get(lane.part) is lane and lane.base == lane.sealed < lane.expect
            ]
            if not ready:
                return False
            sealed = await self._run(self._meter, self._seal, ready)
            writing = asyncio.create_task(self._write(sealed))
            self._writing.update((lane.part, writing) for lane in ready)
            return True

    def _seal(self, lanes: Sequence[Lane]) -> list[Flight]:
        return [(lane, lane.seal(self._checkpointer.output())) for lane in lanes]

    async def _write(self, flights: Sequence[Flight]) -> None:
        """Of several that were not written together each is written alone, or its lane dropped."""
        try:
            with metrics.CHECKPOINT.time():
                sealed = [one for _, one in flights]
                await self._run(self._ledger, self._checkpointer.write, sealed)
        except Exception as error:
            if len(flights) == 1 or isinstance(error, psycopg.OperationalError | DependencyError):
                await asyncio.gather(*(self._mend(lane, error, one) for lane, one in flights))
                return
            for lane, one in flights:
                self._writing[lane.part] = asyncio.create_task(self._write([(lane, one)]))
            return
        touched: dict[str, int] = {}
        for lane, one in flights:
            lane.committed(one)
            metrics.committed(one)
            touched.update(one.touched)
        self.hints.tell_later(touched, max(one.append_ms for one in sealed))
        if why := await self._run(self._meter, self._too_many_refused, flights):
            self._stop(RefusedError(why))

    def _too_many_refused(self, flights: Sequence[Flight]) -> str | None:
        looks = [self._refusals[lane.part].look(one, lane.heads) for lane, one in flights]
        return next(filter(None, looks), None)

    async def _say_idle(self) -> None:
        """A lane that had everything when the broker last answered is complete up to then.

        A worker without lanes looks too whether the tables still are those of its version.
        """
        try:
            await self._run(self._ledger, self._checkpointer.check_schema)
        except NewerSchemaError as error:
            self._stop(error)
            return
        for lane in list(self._lanes.values()):
            tp = TP(self._topic.name, lane.part)
            seen = self.consumer.log_end(tp) if self.consumer is not None else None
            if seen is not None:
                metrics.position(lane, seen[0], self._refusals[lane.part].lost)
                self._watch_end(lane, seen[0])
            if seen is None or seen[0] != lane.expect or lane.expect != lane.base:
                continue
            try:
                await self._run(
                    self._ledger, self._checkpointer.mark_idle, lane, seen[1] - FETCH_WAIT_MS
                )
            except FencedError as error:
                await self._mend(lane, error)

    def _watch_end(self, lane: Lane, end: int) -> None:
        """Not every broker refuses a position past its end; some wait for it to be reached."""
        if end >= lane.expect:
            self._short_since.pop(lane.part, None)
            return
        now = time.monotonic()
        if now - self._short_since.setdefault(lane.part, now) > SHORT_S:
            self._stop(log_too_short(lane.part, lane.expect))

    def out_of_range(self, tp: TP) -> None:
        """The broker has no such offset: the log is shorter than what was metered."""
        lane = self._lanes.get(tp.partition)
        self._stop(log_too_short(tp.partition, lane.expect if lane else None))

    def failed(self, error: RackmeterError) -> None:
        """Reading the log ran into what no repeating mends."""
        self._stop(error)

    # -- failures ---------------------------------------------------------------------------------

    async def _mend(self, lane: Lane, error: Exception, sealed: Sealed | None = None) -> None:
        """Throw the lane away and claim it again, or stop. ``sealed`` is what was not written."""
        if self._lanes.get(lane.part) is not lane:
            return
        del self._lanes[lane.part]
        metrics.failed("checkpoint", error)
        if self._closing:
            log.warning("not flushed at shutdown", part=lane.part, why=first_line(error))
            return
        if not await self._mended(error, sealed):
            self._stop(error)
            return
        metrics.LANES_DROPPED.inc()
        log.warning("lane dropped", part=lane.part, why=first_line(error))
        tp = TP(self._topic.name, lane.part)
        if isinstance(error, FencedError):
            await asyncio.sleep(FENCED_S)
        try:
            await self._reclaim(tp)
        except Exception as failure:
            self._stop(failure)

    async def _mended(self, error: Exception, sealed: Sealed | None) -> bool:
        """Whether a claim made anew will do better."""
        if sealed is None or not refuses(error):
            return is_mendable(error)
        try:
            return await self._run(self._ledger, self._quarantine.widen, sealed, first_line(error))
        except Exception as failure:
            log.warning("refused rows were not found", part=sealed.part, why=first_line(failure))
            return is_mendable(failure)

    async def _reclaim(self, tp: TP) -> None:
        """Unless a rebalance has claimed it in the meantime, or taken it away."""
        if tp.partition in self._lanes or not self._assigned(tp):
            return
        assert self.consumer is not None
        base = await self._claim(tp)
        try:
            await self.consumer.seek_wait({tp: base})
        except KafkaError:
            if self._assigned(tp):
                raise
            self._lanes.pop(tp.partition, None)

    def _assigned(self, tp: TP) -> bool:
        return self.consumer is not None and tp in self.consumer.assignment()

    def _stop(self, error: BaseException) -> None:
        """Leave through the front door: what is committed stays, the rest is read again."""
        if self.failure is None:
            self.failure = error
            metrics.stopped(error)
            log.error("worker stops", why=first_line(error))
            os.kill(os.getpid(), signal.SIGTERM)
