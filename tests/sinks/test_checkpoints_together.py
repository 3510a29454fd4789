"""Lanes of one worker written together: all of them or none, and each exactly as if alone."""

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.lanes import Lane
from sinks.checkpoint import Checkpointer, FencedError
from sinks.database import Connection
from sinks.ledger import load_heads
from sinks.series import SeriesSets
from tests.pipeline.test_counters import memory
from tests.pipeline.test_lanes import NOW
from tests.sinks.metering import (
    FLUSH_EVERY,
    FLUSH_STEPS,
    SERVERS,
    TOPIC_ID,
    CrashError,
    chunks,
    crash,
    crash_at,
    in_memory,
    known,
    lose_next_answer,
    register,
    terminate,
    usage_in_ledger,
    usage_in_memory,
)

FLEETS = (SERVERS, ("t1", "t2", "t3", "t4"))
"""Of the partitions 0 and 1, which have logs alike but for the names."""
LOGS = tuple(map(chunks, FLEETS))
TRUTHS = tuple(in_memory(log, fleet) for log, fleet in zip(LOGS, FLEETS, strict=True))


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing, partitions=2)
    return billing


@pytest.fixture
def worker(billing_url: str, conn: Connection) -> Iterator[Checkpointer]:
    made = Checkpointer(billing_url)
    yield made
    made.close()


def claim(checkpointer: Checkpointer) -> list[Lane]:
    return [checkpointer.claim(TOPIC_ID, part) for part in (0, 1)]


def take(lane: Lane, n: int) -> None:
    """The nth chunk of its log, unless it is in the ledger."""
    lane.take(LOGS[lane.part][n], known(FLEETS[lane.part]), NOW)


def write(checkpointer: Checkpointer, lanes: list[Lane]) -> None:
    behind = [lane for lane in lanes if lane.expect > lane.base]
    if behind:
        sealed = [lane.seal(checkpointer.output()) for lane in behind]
        checkpointer.write(sealed)
        for lane, one in zip(behind, sealed, strict=True):
            lane.committed(one)


def play(checkpointer: Checkpointer) -> None:
    """Both logs; partition 1 begins two chunks later, so that some checkpoints are of one lane."""
    lanes = claim(checkpointer)
    for n in range(len(LOGS[0]) + 2):
        if n < len(LOGS[0]):
            take(lanes[0], n)
        if n >= 2:
            take(lanes[1], n - 2)
        if n % FLUSH_EVERY == 0:
            write(checkpointer, lanes)
    write(checkpointer, lanes)


def assert_equals_each_alone(conn: Connection) -> None:
    expected = {**usage_in_memory(TRUTHS[0]), **usage_in_memory(TRUTHS[1])}
    assert usage_in_ledger(conn) == expected
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    rows = conn.execute(
        "SELECT next_offset, append_ms, counts FROM ingest_offset ORDER BY part"
    ).fetchall()
    assert rows == [(t.expect, t.append_ms, dict(t.out.counts)) for t in TRUTHS]
    dead = conn.execute('SELECT part, "offset", payload FROM dead_letter ORDER BY 1, 2').fetchall()
    assert dead == [
        (part, letter.offset, letter.payload)
        for part, truth in enumerate(TRUTHS)
        for letter in sorted(truth.out.dead, key=lambda letter: letter.offset)
    ]
    placed = conn.execute(
        "SELECT DISTINCT part, left(server_id, 1) FROM usage_window"
        " UNION SELECT DISTINCT part, left(server_id, 1) FROM usage_late"
        " UNION SELECT DISTINCT part, left(server_id, 1) FROM reading_anchor"
        " UNION SELECT DISTINCT part, left(server_id, 1) FROM server_origin ORDER BY 1"
    ).fetchall()
    assert placed == [(0, "s"), (1, "t")]
    for part, truth in enumerate(TRUTHS):
        loaded = load_heads(conn, part, SeriesSets())
        assert {s: memory(h) for s, h in loaded.items()} == {
            s: memory(h) for s, h in truth.heads.items()
        }


def test_an_uninterrupted_run(conn: Connection, worker: Checkpointer) -> None:
    play(worker)
    assert_equals_each_alone(conn)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("step", FLUSH_STEPS)
def test_a_crash(
    conn: Connection, billing_url: str, worker: Checkpointer, step: str, nth: int
) -> None:
    crashing = Checkpointer(billing_url, failpoint=crash_at(step, nth, crash))
    with pytest.raises(CrashError):
        play(crashing)
    crashing.close()
    positions = conn.execute("SELECT next_offset FROM ingest_offset ORDER BY part").fetchall()
    written = nth - (step != "flush:committed")
    assert (positions != [(0,), (0,)]) == (written > 0)
    play(worker)
    assert_equals_each_alone(conn)


@pytest.mark.parametrize("taken_part", [0, 1])
def test_where_one_is_fenced_nothing_of_the_others_is_written(
    conn: Connection, billing_url: str, worker: Checkpointer, taken_part: int
) -> None:
    other = Checkpointer(billing_url)
    lanes = claim(worker)
    for lane in lanes:
        take(lane, 0)
    other.claim(TOPIC_ID, taken_part)
    other.close()
    sealed = [lane.seal(worker.output()) for lane in lanes]
    with pytest.raises(FencedError, match=f"Partition {taken_part} is owned by another worker"):
        worker.write(sealed)
    assert conn.execute("SELECT count(*) FROM server_state").fetchone() == (0,)
    worker.write([sealed[1 - taken_part]])
    rows = conn.execute("SELECT part FROM ingest_offset WHERE next_offset > 0").fetchall()
    assert rows == [(1 - taken_part,)]
    play(worker)
    assert_equals_each_alone(conn)


def test_a_commit_that_was_made_is_not_repeated(conn: Connection, billing_url: str) -> None:
    """The answer to COMMIT was lost: what is true of one lane is true of all."""
    losing = Checkpointer(
        billing_url, failpoint=crash_at("flush:written", 3, lambda: lose_next_answer(conn, losing))
    )
    play(losing)
    losing.close()
    assert_equals_each_alone(conn)


def test_a_commit_that_was_not_made_is_an_error(conn: Connection, billing_url: str) -> None:
    losing = Checkpointer(
        billing_url, failpoint=crash_at("flush:written", 2, lambda: terminate(conn, losing))
    )
    with pytest.raises(psycopg.OperationalError):
        play(losing)
    play(losing)
    losing.close()
    assert_equals_each_alone(conn)
