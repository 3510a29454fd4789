"""The checkpoint on a real PostgreSQL: whatever happens at whatever step, everything counts once.

Each test crashes a run somewhere and lets another one go on; the ledger must then equal the run
that nothing happened to.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from pipeline.lanes import Lane, Sealed, Taken
from pipeline.records import Chunk, Names
from schemas.errors import DependencyError, RackmeterError
from sinks import checkpoint, series
from sinks.checkpoint import Checkpointer, FencedError, Flushed
from sinks.database import Connection
from sinks.ledger import load_heads, load_tail
from sinks.series import SeriesSets
from tests.pipeline.test_counters import chain_memory, memory
from tests.pipeline.test_lanes import NOW, TOPIC
from tests.sinks.metering import (
    CHUNK,
    FLUSH_EVERY,
    FLUSH_STEPS,
    TOPIC_ID,
    CrashError,
    chunks,
    crash,
    crash_at,
    in_memory,
    known,
    lose_next_answer,
    play,
    register,
    terminate,
    the_log,
    usage_in_ledger,
    usage_in_memory,
)

STEPS = ("claim:taken", "claim:committed", *FLUSH_STEPS)
LOG = chunks()
TRUTH = in_memory(LOG)
END = len(the_log())


@pytest.fixture
def url(billing_url: str) -> str:
    return billing_url


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing)
    return billing


@pytest.fixture
def worker(url: str, conn: Connection) -> Iterator[Checkpointer]:
    made = Checkpointer(url)
    yield made
    made.close()


def assert_equals_the_uninterrupted_run(conn: Connection) -> None:
    assert usage_in_ledger(conn) == usage_in_memory(TRUTH)
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    row = conn.execute("SELECT next_offset, append_ms, counts FROM ingest_offset").fetchone()
    assert row == (END, TRUTH.append_ms, dict(TRUTH.out.counts))
    dead = conn.execute('SELECT "offset", reason, payload FROM dead_letter ORDER BY 1').fetchall()
    assert dead == [
        (d.offset, d.reason.value, d.payload)
        for d in sorted(TRUTH.out.dead, key=lambda letter: letter.offset)
    ]
    kept = conn.execute("SELECT server_id, kind, seq, value FROM reading_anchor").fetchall()
    assert sorted(kept) == sorted(
        (a.server, a.kind, a.seq, a.value.tolist()) for a in TRUTH.out.anchors
    )
    loaded = load_heads(conn, 0, SeriesSets())
    assert {s: memory(h) for s, h in loaded.items()} == {
        s: memory(h) for s, h in TRUTH.heads.items()
    }
    for (server, origin), expected in TRUTH.out.tails.items():
        tail = load_tail(conn, server, origin, SeriesSets())
        assert tail is not None
        assert chain_memory(tail) == chain_memory(expected)


def test_the_log_holds_what_it_is_meant_to() -> None:
    """A test of the tests: every kind of row is written, and by more than one checkpoint."""
    out = TRUTH.out
    assert set(out.counts) >= {"accepted", "duplicate", "late", "implausible", "conflict"}
    assert out.finished
    assert {row.reason for row in out.late} == {"tail", "late"}
    assert out.dead
    assert {a.kind for a in out.anchors} == {"opening", "daily"}
    assert any(head.chains.absent for head in TRUTH.heads.values())
    assert ("s4", "o1") in TRUTH.out.tails
    assert len(LOG) > 3 * FLUSH_EVERY


def test_an_uninterrupted_run(conn: Connection, worker: Checkpointer) -> None:
    lane = play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)
    assert worker.flush(lane) is Flushed.NOTHING


def test_a_flush_for_each_message(conn: Connection, worker: Checkpointer) -> None:
    lane = worker.claim(TOPIC_ID, 0)
    for record in the_log():
        lane.take(Chunk(TOPIC, 0, [record]), known(), NOW)
        assert worker.flush(lane) is Flushed.COMMITTED
    assert_equals_the_uninterrupted_run(conn)


def test_memory_after_a_claim_is_memory_before_it(conn: Connection, worker: Checkpointer) -> None:
    """Heads, tails, absent series and the ring of seen ids, at every checkpoint."""
    lane = worker.claim(TOPIC_ID, 0)
    for chunk in LOG:
        lane.take(chunk, known(), NOW)
        worker.flush(lane)
        again = worker.claim(TOPIC_ID, 0)
        assert {s: memory(h) for s, h in again.heads.items()} == {
            s: memory(h) for s, h in lane.heads.items()
        }
        assert (again.base, again.append_ms, again.counts) == (
            lane.base, lane.append_ms, lane.counts,
        )  # fmt: skip
        lane = again
    assert_equals_the_uninterrupted_run(conn)


def test_the_whole_log_three_times(conn: Connection, worker: Checkpointer) -> None:
    """A lane knows where it is: what is offered again is old, not even a duplicate."""
    play(worker, LOG)
    lane = play(worker, LOG)
    assert all(lane.take(chunk, known(), NOW) is Taken.OLD for chunk in LOG)
    worker.flush(lane)
    assert_equals_the_uninterrupted_run(conn)


# -- a crash at every step -------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_crash(conn: Connection, url: str, worker: Checkpointer, step: str) -> None:
    """The process is gone, and its connection with it: in the second claim or checkpoint."""
    crashing = Checkpointer(url, failpoint=crash_at(step, 2, crash))
    with pytest.raises(CrashError):
        _play_twice(crashing)
    crashing.close()
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)


def _play_twice(checkpointer: Checkpointer) -> None:
    for _ in range(2):
        play(checkpointer, LOG)


@pytest.mark.parametrize("step", STEPS)
def test_a_lost_connection(conn: Connection, url: str, step: str) -> None:
    """The process goes on: it drops the lane, claims it again and reads the log again."""
    losing: Checkpointer

    def lose() -> None:
        terminate(conn, losing)

    losing = Checkpointer(url, failpoint=crash_at(step, 2, lose))
    for _ in range(3):
        try:
            play(losing, LOG)
        except psycopg.OperationalError:
            continue
    losing.close()
    assert_equals_the_uninterrupted_run(conn)


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_process(conn: Connection, url: str, worker: Checkpointer, step: str) -> None:
    nth = 1 if step.startswith("claim") else 2
    killed = subprocess.run(
        [sys.executable, "-m", "tests.sinks.metering", url, step, str(nth), "kill"], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)


# -- the answer to COMMIT is lost ------------------------------------------------------------------


def test_a_commit_that_was_made_is_not_repeated(conn: Connection, url: str) -> None:
    """The server committed, then the connection broke: the row says ours at expect."""
    losing = Checkpointer(
        url, failpoint=crash_at("flush:written", 2, lambda: lose_next_answer(conn, losing))
    )
    play(losing, LOG)
    losing.close()
    assert_equals_the_uninterrupted_run(conn)


def test_a_commit_that_was_not_made_is_an_error(conn: Connection, url: str) -> None:
    losing = Checkpointer(
        url, failpoint=crash_at("flush:written", 2, lambda: terminate(conn, losing))
    )
    with pytest.raises(psycopg.OperationalError):
        play(losing, LOG)
    row = conn.execute("SELECT next_offset FROM ingest_offset").fetchone()
    assert row == (CHUNK * FLUSH_EVERY,)
    losing.close()


def test_a_commit_whose_fate_cannot_be_read_is_an_error(conn: Connection, url: str) -> None:
    """The database is away altogether: the lane is thrown away, the next claim reads the row."""
    losing: Checkpointer

    def lose_everything() -> None:
        terminate(conn, losing)
        losing._link._url = "postgresql://nobody@127.0.0.1:1/nothing"

    losing = Checkpointer(url, failpoint=crash_at("flush:written", 1, lose_everything))
    with pytest.raises(psycopg.OperationalError) as caught:
        play(losing, LOG)
    assert not isinstance(caught.value, DependencyError)
    losing._link._url = url
    play(losing, LOG)
    losing.close()
    assert_equals_the_uninterrupted_run(conn)


def test_a_row_of_another_owner_is_not_ours(conn: Connection, url: str) -> None:
    """Lost before the commit, and somebody claimed before we could look."""
    losing, other = Checkpointer(url), Checkpointer(url)

    def lose_to_another() -> None:
        terminate(conn, losing)
        other.claim(TOPIC_ID, 0)

    losing._failpoint = crash_at("flush:written", 1, lose_to_another)
    with pytest.raises(psycopg.OperationalError):
        play(losing, LOG)
    play(other, LOG)
    losing.close()
    other.close()
    assert_equals_the_uninterrupted_run(conn)


# -- two owners ------------------------------------------------------------------------------------


def rows_written(conn: Connection) -> list[int]:
    tables = (
        "server_state", "server_origin", "usage_window", "usage_late", "reading_anchor",
        "dead_letter",
    )  # fmt: skip
    found = [conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    return [row[0] for row in found if row is not None]


def taken(lane: Lane, log: list[Chunk]) -> Lane:
    for chunk in log:
        lane.take(chunk, known(), NOW)
    return lane


def test_the_fenced_owner_writes_nothing(conn: Connection, url: str, worker: Checkpointer) -> None:
    """A zombie: it metered everything, and somebody else has the partition now."""
    zombie = Checkpointer(url)
    old = taken(zombie.claim(TOPIC_ID, 0), LOG)
    new = taken(worker.claim(TOPIC_ID, 0), LOG[:2])
    sealed = old.seal(zombie.output())
    with pytest.raises(FencedError, match="Partition 0 is owned by another worker"):
        zombie.write([sealed])
    assert rows_written(conn) == [0] * 6
    worker.flush(new)
    with pytest.raises(FencedError):
        zombie.write([sealed])
    zombie.mark_idle(zombie.claim(TOPIC_ID, 0), 5)
    zombie.close()
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)


def test_the_same_owner_at_another_position_writes_nothing(
    conn: Connection, worker: Checkpointer
) -> None:
    """What an epoch alone would let pass: our own checkpoint, a second time."""
    lane = taken(worker.claim(TOPIC_ID, 0), LOG[:2])
    worker.flush(lane)
    written = rows_written(conn)
    taken(lane, LOG[2:4])
    lane.base = lane.sealed = 0
    with pytest.raises(FencedError):
        worker.flush(lane)
    assert rows_written(conn) == written


def test_a_claim_waits_for_a_flush_in_flight(
    conn: Connection, url: str, worker: Checkpointer
) -> None:
    """It begins where that one ends."""
    holding, going = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert going.wait(10)

    first = Checkpointer(url, failpoint=crash_at("flush:written", 1, hold))
    lane = taken(first.claim(TOPIC_ID, 0), LOG[:2])
    flushing = threading.Thread(target=first.flush, args=(lane,))
    flushing.start()
    assert holding.wait(10)
    threading.Timer(0.3, going.set).start()
    second = worker.claim(TOPIC_ID, 0)
    flushing.join()
    first.close()
    assert second.base == lane.base == LOG[1].next_offset
    assert set(second.heads) == set(lane.heads)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "CLAIM_LOCK_MS", 300)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("step", ["flush:swapped", "flush:written", "copy"])
def test_a_stopped_owner_is_ended(
    conn: Connection, url: str, worker: Checkpointer, step: str
) -> None:
    """Stopped in mid-transaction, even inside a COPY, it would hold the row for ever."""
    stopped = subprocess.Popen(
        [sys.executable, "-m", "tests.sinks.metering", url, step, "2", "stop"],
        stderr=subprocess.PIPE,
    )
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)
    os.kill(stopped.pid, signal.SIGCONT)
    _, said = stopped.communicate(timeout=20)
    assert b"terminating connection due to administrator command" in said
    assert stopped.returncode == 1
    assert_equals_the_uninterrupted_run(conn)


@pytest.mark.usefixtures("hasty")
def test_an_owner_that_reconnected_and_stopped_is_ended(conn: Connection, url: str) -> None:
    """The row must name the backend that holds it, not the one that once claimed it."""
    stopped, other = Checkpointer(url), Checkpointer(url)
    lane = taken(stopped.claim(TOPIC_ID, 0), LOG[:2])
    terminate(conn, stopped)
    with pytest.raises(psycopg.OperationalError):
        stopped.connection().execute("SELECT 1")
    stopped._failpoint = crash_at("flush:swapped", 1, crash)
    with pytest.raises(CrashError):
        stopped.flush(lane)
    play(other, LOG)
    stopped.close()
    other.close()
    assert_equals_the_uninterrupted_run(conn)


@pytest.mark.usefixtures("hasty")
def test_nobody_else_is_ended(conn: Connection, url: str, worker: Checkpointer) -> None:
    """A process id is used again: the start of the session must fit as well."""
    worker.claim(TOPIC_ID, 0)
    with psycopg.connect(url) as innocent, psycopg.connect(url) as holder:
        innocent.execute("SELECT 1")
        pid = innocent.info.backend_pid
        conn.execute("UPDATE ingest_offset SET backend_pid = %s", (pid,))
        holder.execute("SELECT * FROM ingest_offset FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(errors.LockNotAvailable):
            worker.claim(TOPIC_ID, 0)
        assert time.monotonic() - began < 5
        assert innocent.execute("SELECT 1").fetchone() == (1,)
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)


# -- the rest --------------------------------------------------------------------------------------


def test_a_partition_that_is_not_in_the_ledger(conn: Connection, worker: Checkpointer) -> None:
    with pytest.raises(RackmeterError, match=r"Partition 9 of topic .* is not in the ledger"):
        worker.claim(TOPIC_ID, 9)
    with pytest.raises(RackmeterError):
        worker.claim(uuid4(), 0)
    play(worker, LOG)
    assert_equals_the_uninterrupted_run(conn)


def test_an_idle_lane_is_complete_up_to_now(conn: Connection, worker: Checkpointer) -> None:
    lane = play(worker, LOG)
    worker.mark_idle(lane, NOW + 5)
    assert lane.append_ms == NOW + 5
    worker.mark_idle(lane, NOW + 1)
    assert _append_ms(conn) == lane.append_ms == NOW + 5


def test_a_lane_with_something_to_write_is_not_idle(conn: Connection, worker: Checkpointer) -> None:
    lane = taken(worker.claim(TOPIC_ID, 0), LOG[:1])
    worker.mark_idle(lane, NOW + 5)
    assert _append_ms(conn) == 0


def test_a_zombie_cannot_say_that_it_is_idle(
    conn: Connection, url: str, worker: Checkpointer
) -> None:
    zombie = Checkpointer(url)
    lane = zombie.claim(TOPIC_ID, 0)
    worker.claim(TOPIC_ID, 0)
    with pytest.raises(FencedError):
        zombie.mark_idle(lane, NOW)
    zombie.close()
    assert _append_ms(conn) == 0


def test_an_idle_lane_learns_that_its_last_commits_are_gone(
    conn: Connection, worker: Checkpointer
) -> None:
    """A crash of the database takes back what was not on its disk; no report may follow."""
    lane = play(worker, LOG)
    conn.execute("UPDATE ingest_offset SET next_offset = %s", (LOG[2].next_offset,))
    with pytest.raises(FencedError):
        worker.mark_idle(lane, NOW)
    assert worker.claim(TOPIC_ID, 0).base == LOG[2].next_offset


def _append_ms(conn: Connection) -> int:
    row = conn.execute("SELECT append_ms FROM ingest_offset").fetchone()
    assert row is not None
    return int(row[0])


def test_a_window_that_is_there_already_stops_everything(
    conn: Connection, worker: Checkpointer
) -> None:
    """A duplicate is a bug, never an update: nothing of the checkpoint is written."""
    lane = taken(worker.claim(TOPIC_ID, 0), LOG)
    block = lane.out.finished[0]
    conn.execute("INSERT INTO series_set (digest, meter, resource) VALUES ('x', '{m}', '{r}')")
    conn.execute(
        "INSERT INTO usage_window SELECT %s, to_timestamp(%s / 1000.0), set_id, '{1}', 0, 0, 0"
        " FROM series_set",
        (block.server[0], int(block.win_ms[0])),
    )
    with pytest.raises(errors.UniqueViolation):
        worker.flush(lane)
    assert rows_written(conn) == [0, 0, 1, 0, 0, 0]
    assert conn.execute("SELECT next_offset FROM ingest_offset").fetchone() == (0,)


def test_a_set_of_series_that_was_not_committed_is_not_remembered(
    conn: Connection, url: str
) -> None:
    """An id that a lost connection rolled back must not be referred to."""
    losing = Checkpointer(url)
    insert = series._insert

    def insert_and_lose(own: Connection, new: Collection[Names]) -> dict[Names, int]:
        ids = insert(own, new)
        terminate(conn, losing)
        return ids

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sinks.series._insert", insert_and_lose)
        with pytest.raises(psycopg.OperationalError):
            play(losing, LOG)
    play(losing, LOG)
    losing.close()
    assert_equals_the_uninterrupted_run(conn)


def test_a_set_of_series_is_on_the_disk_before_it_is_referred_to(
    conn: Connection, worker: Checkpointer
) -> None:
    """What nobody waited for, a crash of the database takes back; an id may then be another's."""
    conn.execute("CREATE TABLE waited (how text)")
    conn.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO waited VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$"
    )
    conn.execute("CREATE TRIGGER noting AFTER INSERT ON series_set EXECUTE FUNCTION note()")
    play(worker, LOG)
    assert set(conn.execute("SELECT how FROM waited").fetchall()) == {("on",)}


def test_another_connection_may_lead_to_a_ledger_with_other_ids(conn: Connection, url: str) -> None:
    """One that was restored while the worker waited for it: an id means other series there."""
    checkpointer = Checkpointer(url)
    play(checkpointer, LOG)
    checkpointer.claim(TOPIC_ID, 0)  # which remembers what ids mean
    conn.execute("UPDATE series_set SET resource = array_replace(resource, 'eth0', 'eth9')")
    terminate(conn, checkpointer)
    with pytest.raises(psycopg.OperationalError):
        checkpointer.claim(TOPIC_ID, 0)
    lane = checkpointer.claim(TOPIC_ID, 0)
    checkpointer.close()
    found = {name for head in lane.heads.values() for name in head.chains.names.resource}
    assert "eth9" in found
    assert "eth0" not in found


def test_two_partitions_do_not_disturb_each_other(url: str, billing: Connection) -> None:
    register(billing, partitions=2)
    one, two = Checkpointer(url), Checkpointer(url)
    first = taken(one.claim(TOPIC_ID, 0), LOG)
    second = two.claim(TOPIC_ID, 1)
    assert second.heads == {}
    one.flush(first)
    two.mark_idle(second, 9)
    rows = billing.execute("SELECT part, next_offset FROM ingest_offset ORDER BY 1").fetchall()
    assert rows == [(0, END), (1, 0)]
    one.close()
    two.close()


def test_ids_are_uuids_of_their_own(worker: Checkpointer, conn: Connection) -> None:
    owners = {worker.claim(TOPIC_ID, 0).owner for _ in range(3)}
    row = conn.execute("SELECT epoch, owner FROM ingest_offset").fetchone()
    assert row is not None
    assert row[0] == len(owners) == 3
    assert isinstance(row[1], UUID)


# -- metering goes on while a checkpoint is on its way ---------------------------------------------


def test_metering_on_behind_a_checkpoint_changes_nothing(conn: Connection, url: str) -> None:
    """Each checkpoint is written only after everything of the next one was metered; late tails of
    origins that ended in between are found in what is on its way.
    """
    worker = Checkpointer(url)
    lane = worker.claim(TOPIC_ID, 0)
    sealed: Sealed | None = None
    for n in range(0, len(LOG), FLUSH_EVERY):
        taken(lane, LOG[n : n + FLUSH_EVERY])
        if sealed is not None:
            worker.write([sealed])
            lane.committed(sealed)
        sealed = lane.seal(worker.output())
    assert sealed is not None
    worker.write([sealed])
    worker.close()
    assert_equals_the_uninterrupted_run(conn)
