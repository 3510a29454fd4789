"""Rebuilding a ledger, on the real broker and PostgreSQL: equal to the row; damage found, healed.

One topic with everything that goes wrong is metered once, by a real worker in two lives; each test
has a copy of that ledger, and the log is the same for all.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import conninfo_to_dict

from pipeline.partition import partition_of
from rackmeter import tape
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import Place as Address
from rackmeter.kafka import Cluster
from rackmeter.rebuild import pieces
from rackmeter.rebuild_steps import build, compare, put_in_place, take_snapshot
from rackmeter.stack import Stack
from schemas.errors import RefusedError
from sinks import rebuild
from sinks.accruals import due_scopes
from sinks.audit import Wanted, newest
from sinks.database import Connection, connect
from sinks.keys import register
from sinks.positions import register_topic
from sinks.rebuild_compare import OBSERVED
from sinks.rebuild_swap import SealedError
from sinks.snapshots import Snapshot, prune, snapshots
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    ENVIRONMENT,
    PARTITIONS,
    START_MS,
    Fleet,
    Scene,
    assert_exact,
    metered,
    offsets,
    wait_for,
    worker,
)
from tests.kafka.server import Kafka
from tests.pipeline.test_lanes import Rec
from tests.rackmeter.rebuilding import TABLES, assert_same, place_of, rows
from tests.vault import VAULT

HOUR_MS = 3_600_000
WHY = "a test damaged it"


@dataclass(frozen=True)
class Told:
    """A metered topic; ``early`` is the snapshot taken when a fifth of it was."""

    scene: Scene
    early: int


@pytest.fixture(scope="module")
def told(
    stack: Stack,
    make_database: MakeDatabase,
    billing_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Told:
    folder = tmp_path_factory.mktemp("rebuild")
    prefix = f"r{uuid4().hex[:8]}."
    scene = Scene(stack.bootstrap, make_database(billing_template), prefix, folder)
    scene.make_topics()
    plan = FleetPlan(1, ALL_AT_ONCE, START_MS, START_MS + 4 * HOUR_MS, mishaps=3, adversities=ALL)
    log = simulate(plan, Address(ENVIRONMENT, scene.reports), by_broker=False)
    early, where = len(log.messages) // 5, Cluster(scene.bootstrap)
    with connect(scene.url, autocommit=True) as conn:
        register(conn, VAULT, log.keys)
        with worker(scene) as running:
            tape.replay(log.messages[:early], where, scene.reports)
            wait_for(lambda: sum(offsets(conn)) == early, "a part metered")
            with place_of(scene) as at:
                taken = take_snapshot(at, 7)[0].snapshot_id
            tape.replay(log.messages[early:], where, scene.reports)
            wait_for(lambda: sum(offsets(conn)) == len(log.messages), "all metered", seconds=120)
            assert running.stop() == 0
    return Told(scene, taken)


@pytest.fixture
def scene(told: Told, make_database: MakeDatabase) -> Scene:
    """The metered topic with a copy of its ledger."""
    template = str(conninfo_to_dict(told.scene.url)["dbname"])
    return replace(told.scene, url=make_database(template))


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


def ledger_rows(conn: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: rows(conn, table) for table in TABLES}


# -- equal -----------------------------------------------------------------------------------------


def test_from_the_log_it_is_the_ledger_to_the_row(scene: Scene, conn: Connection) -> None:
    with place_of(scene) as at:
        build(at, start=0)
        assert_same(conn)
        found = compare(at)
    assert found.equal
    assert not found.quantities
    assert all(found.rows.values()), "there was something of everything"


def test_from_a_snapshot_it_is_what_came_after_it(
    told: Told, scene: Scene, conn: Connection
) -> None:
    with place_of(scene) as at:
        made = build(at, start=told.early)
        found = compare(at)
        assert found.equal
        assert made.low == at.live() | made.low, "of every partition"
    for table in ("server_state", "server_origin"):
        assert rows(conn, table, rebuild.SCHEMA) == rows(conn, table)
    ours, all_of_it = rows(conn, "usage_window", rebuild.SCHEMA), rows(conn, "usage_window")
    assert set(map(str, ours)) < set(map(str, all_of_it))
    after = conn.execute(
        "SELECT count(*) FROM usage_window w JOIN snapshot_offset o USING (part)"
        " WHERE o.snapshot_id = %s AND w.ckpt_offset > o.next_offset",
        (told.early,),
    ).fetchone()
    assert after == (len(ours),)


@pytest.mark.slow
def test_nothing_is_sent(scene: Scene) -> None:
    def sent() -> list[int]:
        where = Cluster(scene.bootstrap)
        return [sum(1 for _ in tape.capture(where, t)) for t in (scene.dead, scene.changed)]

    before = sent()
    with place_of(scene) as at:
        build(at)
        twin = connect(rebuild.address(scene.url), autocommit=True)
        with twin:
            assert twin.execute("SELECT count(*) FROM dead_letter WHERE published").fetchone() == (
                0,
            )
            assert twin.execute("SELECT count(*) FROM alert_outbox").fetchone() == (0,)
    assert sent() == before


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "nth"), [("claim:committed", 1), ("flush:swapped", 3)])
def test_a_build_that_is_killed_goes_on(
    scene: Scene, conn: Connection, step: str, nth: int
) -> None:
    command = [sys.executable, "-m", "tests.rackmeter.rebuilding", step, str(nth)]
    killed = subprocess.run(command, env=scene.environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    found = rebuild.current(conn)
    assert found is not None
    assert sum(found.positions.values()) < sum(offsets(conn))
    assert (sum(found.positions.values()) > 0) is (nth > 1)
    with place_of(scene) as at:
        with pytest.raises(RefusedError, match="not at its goal"):
            compare(at)
        assert build(at).goal_snapshot == found.goal_snapshot
        assert_same(conn)
        assert compare(at).equal


# -- damaged ---------------------------------------------------------------------------------------

LATER = "usage_window w JOIN snapshot_offset o USING (part) WHERE w.ckpt_offset > o.next_offset"
"""Windows after the snapshot; each damage has one of its own."""


def window(nth: int) -> str:
    return (
        "(server_id, window_start) = (SELECT server_id, window_start"
        f" FROM {LATER} AND w.qty[1] > 0 ORDER BY window_start, server_id OFFSET {nth} LIMIT 1)"
    )


LATE = "server_id, window_start, set_id, qty, part, ckpt_offset, reason"
COPIED = "set_id, qty, covered_ms, part, ckpt_offset"
DAMAGES = [
    ("window", "changed", f"UPDATE usage_window SET qty[1] = qty[1] + 1 WHERE {window(0)}"),
    ("window", "changed", f"UPDATE usage_window SET covered_ms = 1 WHERE {window(10)}"),
    ("window", "missing", f"DELETE FROM usage_window WHERE {window(20)}"),
    (
        "window",
        "missing",
        f"UPDATE usage_window SET ckpt_offset = ckpt_offset + 1000000 WHERE {window(30)}",
    ),
    (
        "window",
        "extra",
        (
            "INSERT INTO usage_window SELECT server_id, window_start - interval '1 year',"
            f" {COPIED} FROM usage_window WHERE {window(40)}"
        ),
    ),
    (
        "late",
        "extra",
        (
            f"INSERT INTO usage_late ({LATE}) SELECT {LATE}"
            " FROM usage_late ORDER BY id DESC OFFSET 1 LIMIT 1"
        ),
    ),
    ("late", "missing", "DELETE FROM usage_late WHERE id = (SELECT max(id) - 1 FROM usage_late)"),
    (
        "state",
        "changed",
        (
            "UPDATE server_state SET open[1] = open[1] + 5"
            " WHERE server_id = (SELECT min(server_id) FROM server_state)"
        ),
    ),
    (
        "state",
        "missing",
        "DELETE FROM server_state WHERE server_id = (SELECT max(server_id) FROM server_state)",
    ),
    (
        "origin",
        "changed",
        (
            "UPDATE server_origin SET last[1] = last[1] - 1 WHERE (server_id, origin) ="
            " (SELECT server_id, origin FROM server_origin WHERE last[1] > 0 ORDER BY 1, 2 LIMIT 1)"
        ),
    ),
    (
        "anchor",
        "missing",
        (
            'DELETE FROM reading_anchor WHERE (part, "offset") = (SELECT part, a."offset"'
            " FROM reading_anchor a JOIN snapshot_offset o USING (part)"
            ' WHERE a."offset" >= o.next_offset ORDER BY 2 LIMIT 1)'
        ),
    ),
    (
        "dead letter",
        "changed",
        (
            """UPDATE dead_letter SET payload = 'x' WHERE (part, "offset") ="""
            ' (SELECT part, "offset" FROM dead_letter ORDER BY 2 DESC LIMIT 1)'
        ),
    ),
    (
        "counts",
        "changed",
        "UPDATE ingest_offset SET counts = counts || '{\"accepted\": 0}' WHERE part = 1",
    ),
]


@pytest.mark.parametrize("from_snapshot", [False, True], ids=["log", "snapshot"])
def test_damage_is_found_and_healed(
    told: Told, scene: Scene, conn: Connection, from_snapshot: bool
) -> None:
    sound = ledger_rows(conn)
    changes: dict[str, dict[str, int]] = {}
    for kind, what, statement in DAMAGES:
        assert conn.execute(statement).rowcount == 1, statement
        of_kind = changes.setdefault(kind, {})
        of_kind[what] = of_kind.get(what, 0) + 1
    with place_of(scene) as at:
        build(at, start=told.early if from_snapshot else 0)
        assert compare(at).changes == changes
        put_in_place(at, "tester", WHY, dry_run=True)
        assert compare(at).changes == changes, "a dry run changes nothing"
        done = put_in_place(at, "tester", WHY)
        assert done.changes == changes
        assert rebuild.current(conn) is None
        assert ledger_rows(conn) == sound
        kept = [each.snapshot_id for each in snapshots(conn)]
        assert kept == ([told.early] if from_snapshot else []), "later heads may be damaged too"
        build(at, start=told.early if from_snapshot else 0)
        assert compare(at).equal
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    entered = conn.execute("SELECT who, why, changes FROM ledger_swap").fetchall()
    assert entered == [("tester", WHY, changes)]


@pytest.mark.parametrize(
    ("change", "owed"), [("qty[1] = qty[1] + 3", -3), ("covered_ms = covered_ms - 2", 2)]
)
def test_sums_of_a_window_that_differ_are_told(
    scene: Scene, conn: Connection, change: str, owed: int
) -> None:
    changed = conn.execute(
        f"UPDATE usage_window w SET {change} FROM series_set s WHERE s.set_id = w.set_id"
        f" AND {window(5)} RETURNING server_id, window_start, s.meter[1]"
    ).fetchone()
    assert changed is not None
    with place_of(scene) as at:
        build(at)
        (found,) = compare(at).quantities
    meter = OBSERVED if "covered" in change else changed[2]
    assert (found.server, found.window, found.meter) == (changed[0], changed[1], meter)
    assert found.rebuilt - found.live == owed


def test_healed_rows_are_on_their_side_of_what_an_invoice_saw(
    told: Told, scene: Scene, conn: Connection
) -> None:
    """The invoice was cut where the snapshot was taken; the snapshot itself is gone."""
    conn.execute("INSERT INTO account VALUES ('a', 'A', '{}', 'DE', '', 'EUR', 'UTC')")
    conn.execute(
        "INSERT INTO invoice VALUES (gen_random_uuid(), '1', 'invoice', 'e', 'a', now(), now(),"
        " 'EUR', 0, 0, 0, now(), '{}', '')"
    )
    conn.execute(
        "INSERT INTO invoice_cut SELECT invoice_id, topic_id, part, next_offset"
        " FROM invoice, snapshot_offset"
    )
    conn.execute("DELETE FROM ledger_snapshot")
    cut: dict[int, int] = dict(conn.execute("SELECT part, next_offset FROM invoice_cut").fetchall())
    columns = "server_id, window_start, part, ckpt_offset"
    before = conn.execute(f"SELECT {columns} FROM usage_window").fetchall()
    conn.execute("DELETE FROM usage_window")
    with place_of(scene) as at:
        build(at)
        assert put_in_place(at, "tester", WHY).changes == {"window": {"missing": len(before)}}
    healed = conn.execute(f"SELECT {columns} FROM usage_window").fetchall()

    def seen(found: list[tuple[Any, ...]]) -> dict[tuple[str, datetime], bool]:
        return {(server, window): at <= cut[part] for server, window, part, at in found}

    assert seen(healed) == seen(before)
    assert set(seen(before).values()) == {False, True}


def test_scopes_of_healed_servers_are_rated_anew(scene: Scene, conn: Connection) -> None:
    conn.execute("INSERT INTO account VALUES ('a', 'A', '{}', 'DE', '', 'EUR', 'UTC')")
    row = conn.execute(f"DELETE FROM usage_window WHERE {window(3)} RETURNING server_id").fetchone()
    assert row is not None
    for scope, server in (("hit", row[0]), ("other", "nobody")):
        conn.execute("INSERT INTO rating_scope VALUES (%s, 'a')", (scope,))
        conn.execute("INSERT INTO item VALUES (%s, %s, 't', 'p', '[2026-01-01,)')", (scope, scope))
        conn.execute(
            "INSERT INTO assignment VALUES (%s, %s, '[2026-01-01,)', now())", (server, scope)
        )
        conn.execute(
            "INSERT INTO accrual VALUES (%s, '2026-01-01', now() + '1 day', now(), '{}')", (scope,)
        )
    with place_of(scene) as at:
        build(at)
        put_in_place(at, "tester", WHY)
    assert due_scopes(conn, datetime.now(UTC), 10) == ["hit"]


def test_names_of_series_that_were_changed_are_found_first(scene: Scene, conn: Connection) -> None:
    conn.execute("UPDATE series_set SET resource[1] = 'eth9' WHERE set_id = 1")
    with place_of(scene) as at:
        build(at)
        found = compare(at)
        assert found.damaged_sets == [1]
        assert not found.equal
        with pytest.raises(RefusedError, match="Series set 1 does not hold the names"):
            put_in_place(at, "tester", WHY)


def test_what_is_sealed_is_not_rewritten(scene: Scene, conn: Connection) -> None:
    row = conn.execute(
        "SELECT server_id, window_start FROM usage_window WHERE qty[1] > 0"
        " AND window_start >= '2026-03-01' ORDER BY ckpt_offset DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    server, at_window = row
    conn.execute("INSERT INTO account VALUES ('a', 'A', '{}', 'DE', '', 'EUR', 'UTC')")
    conn.execute("INSERT INTO rating_scope VALUES ('s', 'a')")
    conn.execute("INSERT INTO item VALUES ('i', 's', 't', 'p', '[2026-01-01,)')")
    conn.execute(
        "INSERT INTO assignment VALUES (%s, 'i', '[2026-01-01,)', '2026-01-01')", (server,)
    )
    conn.execute("INSERT INTO scope_seal VALUES ('s', '2026-03-01', '2026-04-01', now(), 'd')")
    conn.execute(
        "UPDATE usage_window SET qty[1] = qty[1] - 1 WHERE (server_id, window_start) = (%s, %s)",
        (server, at_window),
    )
    conn.execute("UPDATE usage_window SET qty[1] = qty[1] + 2 WHERE server_id <> %s", (server,))
    damaged = ledger_rows(conn)
    with place_of(scene) as at:
        build(at)
        (found,) = compare(at, 1).quantities
        assert (found.server, found.window, found.sealed) == (server, at_window, True)
        assert found.rebuilt == found.live + 1
        with pytest.raises(SealedError) as refused:
            put_in_place(at, "tester", WHY)
        assert refused.value.quantities == (found,)
    assert ledger_rows(conn) == damaged
    assert conn.execute("SELECT * FROM ledger_swap").fetchall() == []


# -- while a worker meters -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_meters_on_through_build_and_swap(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """A head is damaged while no worker runs; the next one carries that into a window, and keeps
    what is wrong in its memory until the swap takes it away.
    """
    prefix = f"r{uuid4().hex[:8]}."
    scene = Scene(stack.bootstrap, make_database(billing_template), prefix, tmp_path)
    scene.make_topics()
    servers = [f"s{i}" for i in range(8)]
    with connect(scene.url, autocommit=True) as conn:
        fleet = Fleet(scene, conn)
        fleet.enrol(*servers)
        fleet.report(*servers, times=20)
        with worker(scene) as first:
            wait_for(lambda: metered(conn) == fleet.truth, "truth")
            first.stop()
        conn.execute(
            "UPDATE server_state SET open[1] = open[1] + 7, origins = 5 WHERE server_id = 's3'"
        )
        finished = windows_of(conn, "s3")
        with worker(scene) as running, reporting(fleet, servers):
            wait_for(lambda: windows_of(conn, "s3") > finished, "the end of the damaged window")
            with place_of(scene) as at:
                build(at)
                found = compare(at)
                assert [q.rebuilt - q.live for q in found.quantities] == [-7]
                assert found.changes == {"window": {"changed": 1}, "state": {"changed": 1}}
                before = sum(offsets(conn))
                put_in_place(at, "tester", WHY)
                wait_for(lambda: sum(offsets(conn)) > before + 50, "metering after the swap")
            assert running.process.poll() is None
            wait_for(lambda: "lane dropped" in running.said(), "the loss of its heads")
            assert snapshots(conn) == []
            stop_reporting.set()
            wait_for(lambda: metered(conn) == fleet.truth, "truth")
        assert_exact(conn, fleet)
        origins = conn.execute("SELECT DISTINCT origins FROM server_state").fetchall()
        assert origins == [(1,)]


def windows_of(conn: Connection, server: str) -> int:
    query = "SELECT count(*) FROM usage_window WHERE server_id = %s"
    return int(conn.execute(query, (server,)).fetchall()[0][0])


stop_reporting = threading.Event()


def reporting(fleet: Fleet, servers: list[str]) -> "_Reporting":
    return _Reporting(fleet, servers)


class _Reporting:
    """Reports without end, until told."""

    def __init__(self, fleet: Fleet, servers: list[str]) -> None:
        self._fleet, self._servers = fleet, servers
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        stop_reporting.clear()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        stop_reporting.set()
        self._thread.join()

    def _run(self) -> None:
        while not stop_reporting.wait(0.05):
            self._fleet.report(*self._servers)


# -- snapshots and refusals ------------------------------------------------------------------------


def test_snapshots_are_bounded_and_those_in_use_stay(told: Told, scene: Scene) -> None:
    with place_of(scene) as at:
        made = build(at, start=told.early)
        taken = [take_snapshot(at, 2) for _ in range(3)]
        newest, gone = taken[-1]
        assert gone == [newest.snapshot_id - 2]
        kept = [each.snapshot_id for each in snapshots(at.conn)]
        assert kept == sorted({*made.snapshots, newest.snapshot_id - 1, newest.snapshot_id})
        assert prune(at.conn, 1)
        (only,) = snapshots(at.conn)
        assert only == newest
        assert only.positions == at.live()
        assert only.servers == len(rows(at.conn, "server_state"))


@pytest.mark.parametrize(
    ("starts", "missing"),
    [
        ({0: 0, 1: 0}, {}),
        ({0: 10, 1: 20}, {}),
        ({0: 11, 1: 20}, {0: 1}),
        ({0: 15, 1: 21}, {0: 5, 1: 1}),
    ],
)
def test_a_snapshot_is_usable_while_the_log_has_what_came_after(
    told: Told, starts: dict[int, int], missing: dict[int, int]
) -> None:
    with connect(told.scene.url, autocommit=True) as conn:
        one = snapshots(conn, told.early)[0]
    assert replace(one, positions={0: 10, 1: 20}).missing(starts) == missing
    assert isinstance(one, Snapshot)


def test_a_build_that_began_elsewhere_is_not_mixed_with(told: Told, scene: Scene) -> None:
    with place_of(scene) as at:
        with pytest.raises(RefusedError, match="Nothing was rebuilt yet"):
            compare(at)
        build(at, start=told.early)
        with pytest.raises(RefusedError, match=f"began with snapshot {told.early} is"):
            build(at, start=0)
        assert build(at, start=0, anew=True).from_snapshot is None
        with pytest.raises(RefusedError, match="There is no snapshot 999"):
            build(at, start=999, anew=True)
        with place_of(scene) as other, pytest.raises(RefusedError, match="Another rebuild"):
            compare(other)


def test_a_log_that_has_lost_its_beginning_is_no_beginning(
    kafka: Kafka, billing_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """The embedded broker deletes nothing, so this is asked of Apache Kafka alone."""
    scene = Scene(kafka.bootstrap, billing_url, topic_prefix, tmp_path)
    scene.make_topics()
    with place_of(scene) as at, connect(billing_url, autocommit=True) as conn:
        with pytest.raises(RefusedError, match=r"Nothing of topic .* was metered yet"):
            take_snapshot(at, 7)
        fleet = Fleet(scene, conn)
        fleet.enrol("s1")
        fleet.report("s1", times=10)
        part = partition_of(b"s1", PARTITIONS)
        register_topic(conn, at.unchecked, accept_new=False)
        conn.execute("UPDATE ingest_offset SET next_offset = 10 WHERE part = %s", (part,))
        usable, _ = take_snapshot(at, 7)
        where = TopicPartition(scene.reports, part, 7)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.delete_records([where])[where].result(15)
        assert usable.missing(at.log_starts()) == {}
        with pytest.raises(RefusedError, match=f"Partition {part} would be read from offset 0"):
            build(at, start=0)
        assert rebuild.current(conn) is None
        assert build(at, start=usable.snapshot_id).positions[part] == 10


@pytest.mark.parametrize(
    ("stops", "found"),
    [
        ([4], [[0, 1, 3]]),
        ([2, 4], [[0, 1], [3]]),
        ([3, 9], [[0, 1], [3, 4, 8]]),
        ([1, 5, 100], [[0], [1, 3, 4], [8]]),
        ([0], []),
    ],
)
def test_records_are_cut_at_stops(stops: list[int], found: list[list[int]]) -> None:
    log = [Rec(offset, b"") for offset in (0, 1, 3, 4, 8)]
    assert [[r.offset for r in piece] for piece in pieces(log, stops)] == found


# -- as a command ----------------------------------------------------------------------------------


def rackmeter(scene: Scene, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rackmeter", "ledger", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
        env=scene.environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)  # ten commands, on a machine that may be busy
def test_the_commands_from_snapshot_to_swap(told: Told, scene: Scene, conn: Connection) -> None:
    assert "snapshot 2" in rackmeter(scene, "snapshot").stderr
    conn.execute(DAMAGES[0][2])
    assert rackmeter(scene, "rebuild", "--from", told.early).returncode == 0
    shown = json.loads(rackmeter(scene, "status", "--json").stdout)
    assert shown["rebuild"]["from_snapshot"] == told.early
    assert [each["offsets_gone"] for each in shown["snapshots"]] == [{}] * 3
    said = rackmeter(scene, "compare")
    assert said.returncode == 3
    assert "1 rows of the ledger are not what the log says" in said.stderr
    found = json.loads(rackmeter(scene, "compare", "--json").stdout)
    assert found["rows"] == {"window": {"changed": 1}}
    assert found["quantities"][0]["live"] == found["quantities"][0]["rebuilt"] + 1
    (total,) = found["sums"]
    assert (total["windows"], total["rebuilt"] - total["live"]) == (1, -1)
    assert rackmeter(scene, "swap", "--why", WHY).returncode == 2, "nobody there to ask"
    assert rackmeter(scene, "swap", "--why", WHY, "--yes").returncode == 0
    row = newest(conn, Wanted(action="ledger.swap"), 1)[0]
    assert row.said is not None
    assert row.said.reason == WHY
    assert rackmeter(scene, "rebuild").returncode == 0
    assert rackmeter(scene, "compare").returncode == 0
    assert "discarded" in rackmeter(scene, "discard").stderr
