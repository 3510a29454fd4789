"""Rows that a real PostgreSQL refuses: whose they are is found, and the others go on, exactly."""

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from psycopg import errors

from pipeline.lanes import Lane
from pipeline.records import Chunk
from rackmeter.quarantine import TRIES_MAX, Quarantine
from sinks import quarantine
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from sinks.quarantine import refuses
from tests.pipeline.test_lanes import NOW, TOPIC, message
from tests.sinks.metering import (
    FLUSH_EVERY,
    TOPIC_ID,
    chunks,
    in_memory,
    known,
    register,
    the_log,
    usage_in_ledger,
    usage_in_memory,
)

LOG = chunks()
TRUTH = in_memory(LOG)
END = len(the_log())
REFUSING = """
CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.server_id IN ({servers}) THEN
        RAISE EXCEPTION 'no room for it' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $$;
"""
TRIGGER = "CREATE TRIGGER no BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_row()"
DEFERRED = (
    "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION refuse_row()"
)


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing)
    return billing


@pytest.fixture
def worker(billing_url: str) -> Iterator[Checkpointer]:
    made = Checkpointer(billing_url)
    yield made
    made.close()


class Desk:
    """What a worker does with a log when checkpoints are refused."""

    def __init__(self, worker: Checkpointer) -> None:
        self.worker = worker
        self.quarantine = Quarantine(worker)
        self.claims = 0

    def play(self, log: Sequence[Chunk]) -> None:
        while not self._once(log):
            pass

    def _once(self, log: Sequence[Chunk]) -> bool:
        self.claims += 1
        lane = self.worker.claim(TOPIC_ID, 0)
        lane.aside = self.quarantine.of(0)
        for n, chunk in enumerate(log, 1):
            while chunk.next_offset > lane.expect:
                lane.take(chunk, known(), NOW)
                due = n % FLUSH_EVERY == 0 or lane.expect == lane.aside.end
                if due and not self._write(lane):
                    return False
        return lane.expect == lane.base or self._write(lane)

    def _write(self, lane: Lane) -> bool:
        sealed = lane.seal(self.worker.output())
        try:
            self.worker.write([sealed])
        except psycopg.Error as error:
            if not refuses(error) or not self.quarantine.widen(sealed, str(error)):
                raise
            return False
        lane.committed(sealed)
        return True


def refuse(
    conn: Connection, table: str, *servers: str, code: str = "23514", trigger: str = TRIGGER
) -> None:
    named = ", ".join(f"'{server}'" for server in servers)
    conn.execute(REFUSING.format(servers=named, code=code))
    conn.execute(trigger.format(table=table))
    conn.commit()


def letters(conn: Connection, reason: str) -> list[tuple[int, str, str]]:
    rows = conn.execute(
        "SELECT \"offset\", convert_from(key, 'UTF8'), detail FROM dead_letter WHERE reason = %s"
        " ORDER BY 1",
        (reason,),
    ).fetchall()
    conn.rollback()
    return rows


def assert_sound(conn: Connection, bad: set[str]) -> None:
    """Others to the unit, the law of conservation, and every report has one verdict."""
    truth = usage_in_memory(TRUTH)
    assert {key: q for key, q in usage_in_ledger(conn).items() if key[0] not in bad} == {
        key: q for key, q in truth.items() if key[0] not in bad
    }
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    position, counts = conn.execute("SELECT next_offset, counts FROM ingest_offset").fetchone() or (
        0, {},
    )  # fmt: skip
    assert position == END
    assert sum(counts.values()) == END
    aside = letters(conn, "quarantined")
    assert {server for _, server, _ in aside} == bad
    assert counts["quarantined"] == len(aside)
    dead = conn.execute("SELECT count(*) FROM dead_letter").fetchone()
    harmless = ("accepted", "duplicate", "late")
    assert dead == (END - sum(counts.get(name, 0) for name in harmless),)


@pytest.mark.parametrize(
    ("table", "servers", "code"),
    [
        ("server_state", ("s2",), "23514"),
        ("server_state", ("s1", "s4"), "22003"),
        ("usage_window", ("s1",), "23514"),
        ("usage_window", ("s1", "s2", "s3", "s4"), "23514"),
        ("usage_late", ("s4",), "22P02"),
        ("reading_anchor", ("s3",), "23502"),
        ("server_origin", ("s4",), "23514"),
    ],
)
def test_others_go_on(
    conn: Connection, worker: Checkpointer, table: str, servers: tuple[str, ...], code: str
) -> None:
    refuse(conn, table, *servers, code=code)
    desk = Desk(worker)
    desk.play(LOG)
    assert_sound(conn, set(servers))
    assert all("no room for it" in detail for _, _, detail in letters(conn, "quarantined"))
    flagged = conn.execute("SELECT server_id, flagged FROM server_state").fetchall()
    assert {s for s, why in flagged if why == "quarantined"} <= set(servers)
    assert desk.claims < 2 * len(LOG)


def test_a_constraint_that_waits_for_the_commit(conn: Connection, worker: Checkpointer) -> None:
    refuse(conn, "usage_window", "s1", trigger=DEFERRED)
    Desk(worker).play(LOG)
    assert_sound(conn, {"s1"})


def test_the_next_report_makes_up_for_all(conn: Connection, worker: Checkpointer) -> None:
    """Once what the database refused is mended."""
    refuse(conn, "server_state", "s2")
    desk = Desk(worker)
    desk.play(LOG)
    conn.execute("DROP FUNCTION refuse_row CASCADE")
    conn.commit()
    value = 25**2 * 1000
    record = message(END, 25, server="s2", minute=90 * 25, value=value)
    desk.play([*LOG, Chunk(TOPIC, 0, [record])])
    total = conn.execute("SELECT sum(quantity) FROM usage WHERE server_id = 's2'").fetchone()
    assert total == (value,)
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


def test_a_flag_is_set_where_the_database_takes_it(conn: Connection, worker: Checkpointer) -> None:
    Desk(worker).play(LOG[:4])
    refuse(conn, "usage_window", "s1")
    Desk(worker).play(LOG[:8])
    assert conn.execute(
        "SELECT server_id FROM server_state WHERE flagged = 'quarantined'"
    ).fetchall() == [("s1",)]


# -- what is no server's matter --------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE dead_letter ADD CHECK (reason <> 'malformed')",
        "ALTER TABLE ingest_offset ADD CHECK (next_offset < 40)",
        "ALTER TABLE usage_window ADD CHECK (false)",
    ],
)
def test_it_stops_with_the_words_of_the_database(
    conn: Connection,
    worker: Checkpointer,
    statement: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last one refuses everyone: more than there are probes for."""
    monkeypatch.setattr(quarantine, "PROBES_MAX", 5)
    conn.execute(statement)
    conn.commit()
    with pytest.raises(errors.CheckViolation):
        Desk(worker).play(LOG)
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    assert letters(conn, "quarantined") == []


def test_what_is_refused_only_together(conn: Connection, worker: Checkpointer) -> None:
    conn.execute(
        "CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF (SELECT count(*) FROM server_state) > 2 THEN RAISE integrity_constraint_violation;"
        " END IF; RETURN NULL; END $$"
    )
    conn.execute("CREATE TRIGGER few AFTER INSERT ON server_state EXECUTE FUNCTION few()")
    conn.commit()
    with pytest.raises(errors.IntegrityConstraintViolation):
        Desk(worker).play(LOG)
    assert letters(conn, "quarantined") == []


def test_a_duplicate_window_is_a_bug_and_stops(conn: Connection, worker: Checkpointer) -> None:
    """Somebody else's row where ours is to go: it must not be counted around."""
    Desk(worker).play(LOG[:2])
    later = in_memory(LOG)
    rows = [(b.server[0], int(b.win_ms[-1])) for b in later.out.finished]
    server, win_ms = max(rows, key=lambda row: row[1])
    conn.execute(
        "INSERT INTO usage_window SELECT %s, to_timestamp(%s / 1000), set_id, '{1}', 0, 0, 0"
        " FROM series_set LIMIT 1",
        (server, win_ms),
    )
    conn.commit()
    with pytest.raises(errors.UniqueViolation):
        Desk(worker).play(LOG)
    assert letters(conn, "quarantined") == []


def test_setting_aside_that_does_not_help_ends(conn: Connection, worker: Checkpointer) -> None:
    """A refusal that follows no server: each time another one is named, and the ledger stands."""
    refuse(conn, "server_state", "s1")
    made = Quarantine(worker)
    lane = worker.claim(TOPIC_ID, 0)
    lane.take(LOG[0], known(), NOW)
    sealed = lane.seal(worker.output())
    assert [made.widen(sealed, "no") for _ in range(TRIES_MAX + 1)] == [True] * TRIES_MAX + [False]


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (errors.CheckViolation(), True),
        (errors.NumericValueOutOfRange(), True),
        (psycopg.DataError("text fields cannot contain NUL"), True),
        (errors.UniqueViolation(), False),
        (errors.ForeignKeyViolation(), False),
        (errors.SerializationFailure(), False),
        (errors.DiskFull(), False),
        (errors.UndefinedTable(), False),
        (psycopg.OperationalError("gone"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_are_about_what_a_row_holds(error: Exception, refused: bool) -> None:
    assert refuses(error) is refused
