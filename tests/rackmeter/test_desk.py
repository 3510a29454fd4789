"""The desk on a real PostgreSQL: what becomes of lanes that are written together when one fails.

The consumer is a stand-in that only remembers where it was sent; Kafka's part in this is tested
with whole workers (test_worker.py, tests/chaos).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from faust.types import TP

from pipeline.lanes import Lane, Taken
from pipeline.records import Chunk
from pipeline.transport import ChunkConsumer
from rackmeter import desk as desk_module
from rackmeter.desk import Desk
from rackmeter.settings import Settings
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from tests.pipeline.test_lanes import NOW, TOPIC
from tests.sinks.metering import (
    IDENTITY,
    TOPIC_ID,
    crash_at,
    known,
    register,
    terminate,
    usage_in_ledger,
    usage_in_memory,
)
from tests.sinks.test_checkpoints_together import FLEETS, LOGS, TRUTHS
from tests.vault import VAULT

PARTS = (0, 1)
ALL = [(part, truth.expect) for part, truth in enumerate(TRUTHS)]


class Reader:
    """Faust's consumer, as far as a desk looks at it."""

    def __init__(self) -> None:
        self.sought: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return {TP(TOPIC, part) for part in PARTS}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.sought |= offsets

    def log_end(self, _tp: TP) -> None:
        return None


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing, partitions=2)
    return billing


@pytest.fixture
def desk(
    conn: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Iterator[Desk]:
    assert not conn.closed
    monkeypatch.setattr(desk_module, "FENCED_S", 0.0)
    # What a desk does when nothing mends is to end its process.
    monkeypatch.setattr("os.kill", lambda _pid, _number: None)
    settings = Settings(flush_interval_ms=50, data_dir=tmp_path)
    made = Desk(settings, billing_url, replace(IDENTITY, partitions=2), VAULT)
    every = known((*FLEETS[0], *FLEETS[1]))

    def take(lane: Lane, chunk: Chunk) -> Taken:
        """As a partition of a topic with one: the names were not chosen to fall into two."""
        return lane.take(replace(chunk, part=0), every, NOW)

    monkeypatch.setattr(made, "_take_chunk", take)
    made.consumer = cast(ChunkConsumer, Reader())
    yield made
    assert made.failure is None


async def begin(desk: Desk) -> None:
    """Both partitions are assigned, and their first chunks come."""
    reader = cast(Reader, desk.consumer)
    reader.sought = await desk.seek({TP(TOPIC, part) for part in PARTS})
    assert set(reader.sought.values()) == {0}
    for part in PARTS:
        reader.sought[TP(TOPIC, part)] = LOGS[part][0].next_offset
        await desk.take(replace(LOGS[part][0], part=part))


async def go_on(desk: Desk) -> None:
    """The chunks that follow where the reader was sent last, some of each and a checkpoint."""
    reader = cast(Reader, desk.consumer)
    while any(reader.sought[TP(TOPIC, part)] < TRUTHS[part].expect for part in PARTS):
        for part in PARTS:
            at = reader.sought[TP(TOPIC, part)]
            chunk = next((c for c in LOGS[part] if c.next_offset > at), None)
            if chunk is not None:
                reader.sought[TP(TOPIC, part)] = chunk.next_offset
                await desk.take(replace(chunk, part=part))
        await tick(desk)


async def tick(desk: Desk) -> None:
    """Until what it sent on its way has arrived, and what failed was mended."""
    desk._sealed_at = 0.0
    await desk.tick()
    while writing := [task for task in desk._writing.values() if not task.done()]:
        await asyncio.gather(*writing)


def run(*steps: Callable[[], Awaitable[None]]) -> None:
    async def all_of_them() -> None:
        for step in steps:
            await step()

    asyncio.run(all_of_them())


def positions(conn: Connection) -> list[tuple[int, int]]:
    return conn.execute("SELECT part, next_offset FROM ingest_offset ORDER BY 1").fetchall()


def assert_whole(conn: Connection) -> None:
    assert positions(conn) == ALL
    assert usage_in_ledger(conn) == {**usage_in_memory(TRUTHS[0]), **usage_in_memory(TRUTHS[1])}
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


def commits(conn: Connection) -> int:
    """Transactions that left heads."""
    row = conn.execute("SELECT count(DISTINCT xmin::text) FROM server_state").fetchone()
    assert row is not None
    return int(row[0])


def test_lanes_that_are_due_are_written_together(desk: Desk, conn: Connection) -> None:
    async def see() -> None:
        assert positions(conn) == [(0, 0), (1, 0)], "little, and not due"

    run(lambda: begin(desk), see, lambda: tick(desk), desk.close)
    assert positions(conn) == [(part, LOGS[part][0].next_offset) for part in PARTS]
    assert commits(conn) == 1


def test_both_logs(desk: Desk, conn: Connection) -> None:
    run(lambda: begin(desk), lambda: go_on(desk), desk.close)
    assert_whole(conn)


def test_the_end_writes_what_was_not_due(desk: Desk, conn: Connection) -> None:
    async def rest_at_once() -> None:
        for part in PARTS:
            for chunk in LOGS[part][1:]:
                await desk.take(replace(chunk, part=part))

    run(lambda: begin(desk), rest_at_once, desk.close)
    assert_whole(conn)


@pytest.mark.parametrize("lost", PARTS)
def test_a_lane_that_another_worker_took_keeps_no_other_from_being_written(
    desk: Desk, conn: Connection, billing_url: str, lost: int
) -> None:
    other = Checkpointer(billing_url)

    async def lose_one() -> None:
        kept = desk._lanes[1 - lost]
        other.claim(TOPIC_ID, lost)
        await tick(desk)
        assert set(desk._lanes) == set(PARTS)
        assert desk._lanes[1 - lost] is kept
        assert dict(positions(conn)) == {1 - lost: LOGS[1 - lost][0].next_offset, lost: 0}

    run(lambda: begin(desk), lose_one, lambda: go_on(desk), desk.close)
    other.close()
    assert_whole(conn)


def test_a_full_lane_does_not_wait_for_one_that_is_being_mended(
    desk: Desk, conn: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "FENCED_S", 60.0)
    other = Checkpointer(billing_url)

    async def written(part: int) -> None:
        while not (task := desk._writing[part]).done():
            await task

    async def lose_one() -> None:
        other.claim(TOPIC_ID, 0)
        desk._sealed_at = 0.0
        await desk.tick()
        await written(1)
        monkeypatch.setattr(desk, "_full", lambda _lane: True)
        await asyncio.wait_for(desk.take(replace(LOGS[1][1], part=1)), 10)
        await written(1)
        mending = desk._writing[0]
        assert not mending.done()
        mending.cancel()

    run(lambda: begin(desk), lose_one, desk.close)
    other.close()
    assert positions(conn) == [(0, 0), (1, LOGS[1][1].next_offset)]


def test_rows_that_are_refused_set_aside_their_server_only(desk: Desk, conn: Connection) -> None:
    conn.execute(
        "CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.server_id = 't2' THEN RAISE EXCEPTION 'no room' USING ERRCODE = '23514'; END IF;"
        " RETURN NEW; END $$"
    )
    conn.execute(
        "CREATE TRIGGER no BEFORE INSERT ON server_state FOR EACH ROW EXECUTE FUNCTION refuse_row()"
    )
    run(lambda: begin(desk), lambda: go_on(desk), desk.close)
    assert positions(conn) == ALL
    aside = conn.execute(
        "SELECT DISTINCT convert_from(key, 'UTF8') FROM dead_letter WHERE reason = 'quarantined'"
    ).fetchall()
    assert aside == [("t2",)]
    expected = {**usage_in_memory(TRUTHS[0]), **usage_in_memory(TRUTHS[1])}
    assert usage_in_ledger(conn) == {key: q for key, q in expected.items() if key[0] != "t2"}


def test_a_lost_connection_costs_a_claim_of_each(desk: Desk, conn: Connection) -> None:
    def lose() -> None:
        terminate(conn, desk._checkpointer)

    async def lose_one_checkpoint() -> None:
        before = list(desk._lanes.values())
        desk._checkpointer._failpoint = crash_at("flush:swapped", 1, lose)
        await tick(desk)
        assert set(desk._lanes) == set(PARTS)
        assert not set(map(id, before)) & set(map(id, desk._lanes.values()))
        assert positions(conn) == [(0, 0), (1, 0)]

    run(lambda: begin(desk), lose_one_checkpoint, lambda: go_on(desk), desk.close)
    assert_whole(conn)
