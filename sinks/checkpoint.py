"""Claiming a partition and checkpointing it: what makes a reading count exactly once.

The position of a partition and everything metered up to it change in one transaction that begins
with a compare-and-swap on owner and position. Kafka's committed offset plays no part. Whoever fails
the swap has lost the partition and throws its lane away; nothing it did is in the ledger.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import chain
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg import Cursor, errors

from pipeline.heads import Output
from pipeline.lanes import Lane, Sealed
from schemas.errors import DependencyError, RackmeterError, RefusedError
from sinks import ledger
from sinks.database import Connection, hold_schema, require_schema
from sinks.link import Link
from sinks.lookups import Lookups
from sinks.positions import TOPIC_BITS
from sinks.quarantine import flag_refused, refused_servers, refuses
from sinks.series import SeriesSets
from sinks.store.touched import name_touched

CLAIM_LOCK_MS: Final = 2_000
"""A flush holds the row for less; who holds it longer was stopped in the middle."""
_TABLE: Final = "checkpoint_state"
_BACKEND: Final = (
    "backend_pid = pg_backend_pid(), backend_start ="
    " (SELECT a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid())"
)
"""A process id alone may be another session's by the time it is used."""
Failpoint = Callable[[str], None]


class FencedError(RefusedError):
    """Another worker owns the partition now. The lane is to be thrown away."""


class Flushed(Enum):
    COMMITTED = "committed"
    NOTHING = "nothing"


def _no_failpoint(_step: str) -> None:
    """Tests put a crash here."""


class Checkpointer:
    """Writes checkpoints and claims partitions, from one thread; ``lookups`` are for another one.

    Reconnects by itself; never repeats a step.
    """

    def __init__(self, url: str, *, failpoint: Failpoint = _no_failpoint) -> None:
        self.lookups = Lookups(url)
        self._link = Link(url, "rackmeter worker", self._prepare)
        self._sets = SeriesSets()
        self._named: dict[int, UUID] = {}
        """Partition → owner whose row names the open connection's backend."""
        self._failpoint = failpoint

    def close(self) -> None:
        self._link.close()
        self.lookups.close()

    def connection(self) -> Connection:
        """The open connection, outside a transaction; a new one when the last was lost."""
        return self._link.connection()

    def _prepare(self, conn: Connection) -> None:
        """What was remembered is of the connection before."""
        self._named, self._sets = {}, SeriesSets()
        _prepare(conn)

    # -- claiming ---------------------------------------------------------------------------------

    def claim(self, topic_id: UUID, part: int) -> Lane:
        """Take over a partition.

        1. End the backend of the last owner if it still holds the row: a worker that was stopped
           inside a transaction would hold it for ever and no time-out fires. A crash here: nothing.
        2. Write our name into the row and commit. A crash here: the partition is claimed by nobody
           alive; the next claim takes it over the same way.
        3. Load its heads. The former owner can no longer pass the swap, so they cannot change.
        """
        owner = uuid4()
        conn = self.connection()
        hold_schema(conn)
        row = self._take_row(conn, topic_id, part, owner)
        self._failpoint("claim:taken")
        conn.commit()
        self._named[part] = owner
        self._failpoint("claim:committed")
        heads = ledger.load_heads(conn, part, self._sets)
        conn.rollback()
        next_offset, append_ms, counts = row
        return Lane(
            topic_id, part, owner, next_offset, append_ms, Counter(counts), heads, self.output()
        )

    def _take_row(
        self, conn: Connection, topic_id: UUID, part: int, owner: UUID
    ) -> tuple[int, int, dict[str, int]]:
        for attempt in (1, 2):
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{CLAIM_LOCK_MS}ms",))
            try:
                row = conn.execute(
                    f"UPDATE ingest_offset SET owner = %s, epoch = epoch + 1, {_BACKEND}"  # noqa: S608
                    " WHERE topic_id = %s AND part = %s RETURNING next_offset, append_ms, counts",
                    (owner, topic_id, part),
                ).fetchone()
            except errors.LockNotAvailable:
                conn.rollback()
                if attempt == 2:
                    raise
                _end_backend(conn, topic_id, part)
                continue
            if row is None:
                raise RackmeterError(f"Partition {part} of topic {topic_id} is not in the ledger.")
            return row[0], row[1], row[2]
        raise AssertionError("the loop returns or raises")

    def output(self) -> Output:
        """An empty collection."""
        return self.lookups.output()

    # -- flushing ---------------------------------------------------------------------------------

    def flush(self, lane: Lane) -> Flushed:
        """Seal a lane and write it, while it waits."""
        if lane.expect == lane.base:
            return Flushed.NOTHING
        sealed = lane.seal(self.output())
        self.write([sealed])
        lane.committed(sealed)
        return Flushed.COMMITTED

    def write(self, sealed: Sequence[Sealed]) -> None:
        """Write what lanes metered from base to expect, once: all of them, or none.

        Raises FencedError when a partition is another's, psycopg errors when the outcome is
        certain to be "not written". Whoever wrote several may write each alone to see whose fault
        it was; the lane of one must be thrown away and claimed anew.
        """
        try:
            self._write(sealed)
        except psycopg.OperationalError as error:
            if self._link.alive() or not self._was_written(sealed[0], error):
                raise

    def _write(self, sealed: Sequence[Sealed]) -> None:
        """The checkpoint transaction.

        1. Register series sets, in their own transactions. A crash here: unused ids. After a
           reconnect also name the backend that whoever claims after us may have to end.
        2. Binary COPY of dirty heads into a temporary table; no shared lock is held while a client
           could be stopped in the middle. A crash here: nothing.
        3. Keep migrations out, or stop where one has brought the tables of another version. Swap
           the positions, from base to expect, where the row is still ours. No row: another owner.
           A crash here: the server rolls back; the next owner starts at base.
        4. Heads, former origins, windows, late entries, anchors, dead letters. As 3.
        5. COMMIT. A crash before the answer: the row tells which it was (``_was_written``).
        """
        conn = self.connection()
        self._stage(conn, sealed)
        self._failpoint("flush:written")
        conn.commit()
        self._failpoint("flush:committed")

    def _stage(self, conn: Connection, sealed: Sequence[Sealed]) -> None:
        """Steps 1 to 4."""
        for one in sealed:
            self._name_backend(conn, one)
        self._sets.register(conn, chain.from_iterable(map(ledger.names_in, sealed)))
        id_of = self._sets.id_of
        self._failpoint("flush:registered")
        with conn.cursor() as cur:
            ledger.copy_states(cur, sealed, id_of, _TABLE)
            self._failpoint("flush:copied")
            hold_schema(conn)
            positions = _swap(cur, sealed)
            self._failpoint("flush:swapped")
            ledger.upsert_states(cur, _TABLE)
            ledger.upsert_tails(cur, sealed, id_of)
            if finished := [block for one in sealed for block in one.out.finished]:
                name_touched(cur, finished)
                ledger.copy_windows(cur, sealed, id_of, positions)
            ledger.insert_late(cur, sealed, id_of, positions)
            ledger.insert_anchors(cur, sealed, id_of)
            ledger.insert_dead(cur, sealed)

    def _name_backend(self, conn: Connection, sealed: Sealed) -> None:
        if self._named.get(sealed.part) != sealed.owner:
            conn.execute(
                f"UPDATE ingest_offset SET {_BACKEND}"  # noqa: S608 - a constant
                " WHERE topic_id = %s AND part = %s AND owner = %s",
                (sealed.topic_id, sealed.part, sealed.owner),
            )
            conn.commit()
            self._named[sealed.part] = sealed.owner

    def _was_written(self, sealed: Sealed, error: psycopg.OperationalError) -> bool:
        """The answer to COMMIT was lost: ours at expect is written, ours at base is not."""
        try:
            row = (
                self.connection()
                .execute(
                    "SELECT owner, next_offset FROM ingest_offset"
                    " WHERE topic_id = %s AND part = %s",
                    (sealed.topic_id, sealed.part),
                )
                .fetchone()
            )
        except (psycopg.Error, DependencyError):
            raise error from None
        return row is not None and row[0] == sealed.owner and row[1] == sealed.expect

    # -- what the database refuses ----------------------------------------------------------------

    def refused(self, sealed: Sealed) -> dict[str, str]:
        """Server → the database's words, of each whose rows it refuses; those are flagged.

        Everything that is tried is taken back.
        """
        found = refused_servers(sealed, self._probe)
        flag_refused(self.connection(), sealed.part, found)
        return found

    def _probe(self, sealed: Sealed) -> psycopg.Error | None:
        conn = self.connection()
        try:
            self._stage(conn, [sealed])
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if refuses(error):
                return error
            raise
        finally:
            if not conn.closed:
                conn.rollback()
        return None

    # -- standing still ---------------------------------------------------------------------------

    def check_schema(self) -> None:
        """The tables are still those of this version; raises what to stop with."""
        conn = self.connection()
        require_schema(conn)
        conn.rollback()

    def mark_idle(self, lane: Lane, drained_at_ms: int) -> None:
        """The lane had read to the end of the log at that time: the ledger is complete up to it.

        Raises FencedError when the ledger is elsewhere: the partition is another's, or a crash of
        the database took the last commits back, and no report may come that would tell.
        """
        if lane.expect != lane.base:
            return
        conn = self.connection()
        hold_schema(conn)
        marked = conn.execute(
            "UPDATE ingest_offset SET append_ms = greatest(append_ms, %s)"
            " WHERE topic_id = %s AND part = %s AND owner = %s AND next_offset = %s",
            (drained_at_ms, lane.topic_id, lane.part, lane.owner, lane.base),
        )
        conn.commit()
        if marked.rowcount != 1:
            raise FencedError(f"Partition {lane.part} is not where this worker left it.")
        lane.append_ms = max(lane.append_ms, drained_at_ms)


def _swap(cur: Cursor[Any], sealed: Sequence[Sealed]) -> list[int]:
    """Moves the positions on; the new ones with their topic in them (sinks.positions)."""
    columns = zip(
        *(
            (s.topic_id, s.part, s.owner, s.base, s.expect, s.append_ms, json.dumps(s.counts))
            for s in sealed
        ),
        strict=True,
    )
    cur.execute(
        "UPDATE ingest_offset o SET next_offset = s.expect, append_ms = s.append_ms,"
        " counts = s.counts::jsonb FROM unnest(%s::uuid[], %s::int[], %s::uuid[], %s::bigint[],"
        " %s::bigint[], %s::bigint[], %s::text[])"
        " s (topic_id, part, owner, base, expect, append_ms, counts)"
        " WHERE o.topic_id = s.topic_id AND o.part = s.part AND o.owner = s.owner"
        " AND o.next_offset = s.base"
        " RETURNING o.part, (SELECT number FROM ingest_topic t WHERE t.topic_id = o.topic_id)",
        tuple(map(list, columns)),
    )
    topics: dict[int, int] = dict(cur.fetchall())
    if lost := sorted({one.part for one in sealed} - topics.keys()):
        cur.connection.rollback()
        said = ", ".join(map(str, lost))
        raise FencedError(f"Partition {said} is owned by another worker.")
    return [(topics[one.part] << TOPIC_BITS) + one.expect for one in sealed]


def _prepare(conn: Connection) -> None:
    conn.execute(f"CREATE TEMPORARY TABLE {_TABLE} (LIKE server_state) ON COMMIT DELETE ROWS")
    # The log replays and the swap tells, so a lost tail of commits costs work, not usage.
    conn.execute("SET synchronous_commit = off")
    # A window may come for a chunk that is compressed by now; plain PostgreSQL ignores the name.
    conn.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    conn.commit()


def _end_backend(conn: Connection, topic_id: UUID, part: int) -> None:
    """End the session that holds the row; only exactly the one that was written into it."""
    conn.execute(
        "SELECT pg_terminate_backend(a.pid) FROM ingest_offset o JOIN pg_stat_activity a"
        " ON a.pid = o.backend_pid AND a.backend_start = o.backend_start"
        " WHERE o.topic_id = %s AND o.part = %s AND a.pid <> pg_backend_pid()",
        (topic_id, part),
    )
    conn.commit()
