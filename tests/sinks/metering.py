"""What checkpoint tests share: a topic's log with everything that happens to servers, and its play.

Runs as a program too, to be killed: ``python -m tests.sinks.metering URL STEP NTH HOW``.
"""

import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from pipeline.heads import Output
from pipeline.lanes import Intake, Lane, Taken
from pipeline.records import Chunk
from pipeline.shelves import Heads
from sinks import ledger
from sinks.binary import window_rows
from sinks.checkpoint import Checkpointer, Failpoint
from sinks.database import Connection
from sinks.positions import TopicIdentity, register_topic
from tests.pipeline.test_lanes import NOON, NOW, TOPIC, Rec, intake, message

TOPIC_ID = UUID(int=7)
IDENTITY = TopicIdentity(TOPIC_ID, "cluster", TOPIC, 1, "CreateTime")
SERVERS = ("s1", "s2", "s3", "s4")
CHUNK = 9
FLUSH_EVERY = 2
"""Chunks of a checkpoint."""
FLUSH_STEPS = (
    "flush:registered", "flush:copied", "flush:swapped", "flush:written", "flush:committed",
)  # fmt: skip


def known(servers: Sequence[str] = SERVERS) -> Intake:
    return replace(intake(*servers), registered_ms=dict.fromkeys(servers, NOON))


def the_log(servers: Sequence[str] = SERVERS) -> list[Rec]:
    """Two days of four servers: ordinary, with gaps, a reboot with a late tail, lies and junk."""
    s1, s2, s3, s4 = servers
    log: list[Rec] = []

    def put(seq: int, server: str, **changes: int | str) -> None:
        log.append(message(len(log), seq, server=server, **changes))  # type: ignore[arg-type]

    for k in range(1, 25):
        put(k, s1, minute=7 * k)
        put(k, s2, minute=90 * k, value=k * k * 1000)
        if k % 3:
            put(k, s3, minute=5 * k)
        if k % 5 == 0:
            put(k, s1, minute=7 * k)
            put(k - 1, s3, value=10**15)
            put(k, s2, minute=90 * k, value=1)
            put(900 + k, s2, minute=90 * k, value=2**60)
            log.append(Rec(len(log), b"junk \x00 %d" % k))
        origin = "o2" if k > 12 else "o1"
        meters = {"meter2": "net.rx_bytes"} if k % 4 == 0 and k < 24 else {}
        put(k, s4, origin=origin, minute=6 * k, since_minute=70 if k > 12 else 0, **meters)
        if k == 20:
            put(13, s4, origin="o1", minute=74, value=1500)
    return log


def chunks(servers: Sequence[str] = SERVERS) -> list[Chunk]:
    log = the_log(servers)
    return [Chunk(TOPIC, 0, log[i : i + CHUNK]) for i in range(0, len(log), CHUNK)]


def register(conn: Connection, partitions: int = 1) -> None:
    register_topic(conn, replace(IDENTITY, partitions=partitions), accept_new=False)


def play(checkpointer: Checkpointer, log: Sequence[Chunk]) -> Lane:
    """Claim, meter from where the ledger ends, checkpoint now and then and at the end."""
    lane = checkpointer.claim(TOPIC_ID, 0)
    rest = [chunk for chunk in log if chunk.next_offset > lane.expect]
    for n, chunk in enumerate(rest, 1):
        assert lane.take(chunk, known(), NOW) is Taken.METERED
        if n % FLUSH_EVERY == 0:
            checkpointer.flush(lane)
    checkpointer.flush(lane)
    return lane


def in_memory(log: Sequence[Chunk], servers: Sequence[str] = SERVERS) -> Lane:
    """The same without a database: what every other run must reach."""
    out = Output(lambda _server, _origin: None)
    lane = Lane(TOPIC_ID, 0, UUID(int=1), 0, 0, Counter(), Heads(), out)
    for chunk in log:
        lane.take(chunk, known(servers), NOW)
    return lane


Usage = dict[tuple[str, int, str, str], int]


def usage_in_memory(lane: Lane) -> Usage:
    sums: Usage = defaultdict(int)
    for block in lane.out.finished:
        rows = zip(block.server, block.win_ms, block.names, block.qty, strict=True)
        for server, win, names, qty in rows:
            for (m, r), q in zip(names.series, qty, strict=True):
                sums[server, int(win), m, r] += int(q)
    for late in lane.out.late:
        for (m, r), q in zip(late.names.series, late.qty, strict=True):
            sums[late.server, late.win_ms, m, r] += int(q)
    for head in lane.heads.values():
        for (m, r), q in zip(head.chains.names.series, head.open, strict=True):
            sums[head.server, head.win_ms, m, r] += int(q)
    return {key: q for key, q in sums.items() if q}


def usage_in_ledger(conn: Connection) -> Usage:
    rows = conn.execute(
        "SELECT server_id, (extract(epoch FROM window_start) * 1000)::bigint, meter, resource,"
        " quantity FROM usage WHERE quantity <> 0"
    ).fetchall()
    conn.rollback()
    return {(server, win, m, r): int(q) for server, win, m, r, q in rows}


class CrashError(Exception):
    """The process ends here."""


def crash() -> None:
    raise CrashError


def crash_at(step: str, nth: int, act: Callable[[], None]) -> Failpoint:
    """A failpoint that acts when a step is reached for the nth time."""
    seen = 0

    def failpoint(reached: str) -> None:
        nonlocal seen
        if reached == step:
            seen += 1
            if seen == nth:
                act()

    return failpoint


def terminate(conn: Connection, checkpointer: Checkpointer) -> None:
    """The database ends its connection."""
    assert checkpointer._link._conn is not None
    pid = checkpointer._link._conn.info.backend_pid
    conn.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def lose_next_answer(conn: Connection, checkpointer: Checkpointer) -> None:
    """Its next COMMIT is made, and the connection ends before that is told."""
    lost = checkpointer._link._conn
    assert lost is not None
    honestly = lost.commit

    def commit() -> None:
        honestly()
        terminate(conn, checkpointer)
        lost.execute("SELECT 'the answer'")

    lost.commit = commit  # type: ignore[method-assign]


def _stop_inside_copy(nth: int) -> None:
    """Stop ourselves between two pieces of the COPY of windows."""
    seen = 0

    def stopping(*arguments: object) -> bytes:
        nonlocal seen
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGSTOP)
        return window_rows(*arguments)  # type: ignore[arg-type]

    setattr(ledger, "window_rows", stopping)  # noqa: B010 - not exported, on purpose


def _main(url: str, step: str, nth: int, how: str) -> None:
    number = signal.SIGKILL if how == "kill" else signal.SIGSTOP
    if step == "copy":
        _stop_inside_copy(nth)
    checkpointer = Checkpointer(
        url, failpoint=crash_at(step, nth, lambda: os.kill(os.getpid(), number))
    )
    play(checkpointer, chunks())


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
