"""The ledger's rows and views on a real PostgreSQL: what goes in comes out, and sums tell lies."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.heads import Anchor, LateRow, Output
from pipeline.lanes import Lane
from schemas.verdict import DeadLetter, Verdict
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from sinks.ledger import load_heads, load_tail, names_in
from sinks.series import SeriesSets
from tests.pipeline.test_counters import memory
from tests.pipeline.test_lanes import NOON, NOW, chunk, intake, message
from tests.pipeline.world import names
from tests.sinks.metering import TOPIC_ID, chunks, known, play, register

TX = names(("net.tx_bytes", "eth0"))


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing)
    return billing


@pytest.fixture
def lane(conn: Connection, billing_url: str) -> Iterator[Lane]:
    worker = Checkpointer(billing_url)
    yield worker.claim(TOPIC_ID, 0)
    worker.close()


def flush(url: str, lane: Lane) -> None:
    worker = Checkpointer(url)
    lane.owner = worker.claim(TOPIC_ID, 0).owner
    lane.expect = lane.base + 1
    worker.flush(lane)
    worker.close()


# -- foreign text and numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "lone \ud800", "木 🜁", ""])
def test_dead_letters_keep_what_postgresql_cannot(
    conn: Connection, billing_url: str, lane: Lane, text: str
) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    lane.out.dead = [
        DeadLetter(4, Verdict.MALFORMED, text, raw, raw, ((text, raw), (text, raw)), 2**53)
    ]
    flush(billing_url, lane)
    row = conn.execute("SELECT detail, key, payload, headers FROM dead_letter").fetchone()
    assert row is not None
    assert row[1:3] == (raw, raw)
    assert len(row[3]) == 2
    assert row[0] == text.replace("\0", "�").replace("\ud800", "?")


def test_the_widest_rows_there_can_be(conn: Connection, billing_url: str, lane: Lane) -> None:
    most = np.array([2**63 - 17])
    late = LateRow("s" * 256, -300_000, TX, -most, "tail")
    lane.out.late = [late, replace(late, qty=most), replace(late, win_ms=8_000_000_000_100_000)]
    lane.out.anchors = [Anchor("s", "o", 253_402_300_799_999, "daily", 2**62, TX, most, 2**62)]
    flush(billing_url, lane)
    rows = conn.execute(
        "SELECT extract(epoch FROM window_start)::bigint * 1000, qty FROM usage_late ORDER BY id"
    ).fetchall()
    assert rows == [
        (-300_000, [-(2**63) + 17]),
        (-300_000, [2**63 - 17]),
        (8_000_000_000_100_000, [-(2**63) + 17]),
    ]
    row = conn.execute(
        'SELECT extract(epoch FROM at) * 1000, seq, value, "offset" FROM reading_anchor'
    ).fetchone()
    assert row is not None
    assert [int(row[0]), *row[1:]] == [253_402_300_799_999, 2**62, [2**63 - 17], 2**62]


# -- views -----------------------------------------------------------------------------------------


@pytest.fixture
def metered(conn: Connection, billing_url: str) -> Connection:
    worker = Checkpointer(billing_url)
    play(worker, chunks())
    worker.close()
    return conn


LIES = {
    "a finished window": """
        UPDATE usage_window SET qty[1] = qty[1] + 1
        WHERE ctid = (SELECT min(ctid) FROM usage_window)
    """,
    "a lost window": """
        DELETE FROM usage_window
        WHERE ctid = (SELECT max(ctid) FROM usage_window WHERE qty[1] > 0)
    """,
    "a lost late entry": """
        DELETE FROM usage_late WHERE id = (SELECT min(id) FROM usage_late WHERE 0 < ANY(qty))
    """,
    "a reading": "UPDATE server_state SET last[1] = last[1] - 1 WHERE server_id = 's1'",
    "an open window": "UPDATE server_state SET open[1] = open[1] + 1 WHERE server_id = 's1'",
    "a lost origin": "DELETE FROM server_origin",
    "an invented server": """
        INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)
        SELECT 'nobody', now(), min(set_id), '{1}', 0, 0, 'x' FROM series_set
    """,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_unit_too_much_or_too_little_is_seen(metered: Connection, lie: str) -> None:
    assert metered.execute("SELECT * FROM conservation_violation").fetchall() == []
    assert metered.execute(lie).rowcount > 0
    assert metered.execute("SELECT * FROM conservation_violation").fetchall()


def test_usage_sums_finished_late_and_open(conn: Connection, billing_url: str) -> None:
    worker = Checkpointer(billing_url)
    lane = worker.claim(TOPIC_ID, 0)
    lane.take(chunk(message(0, 1, minute=5), message(1, 2, minute=8, value=160)), intake(), NOW)
    worker.flush(lane)
    rows = "SELECT window_start, quantity FROM usage ORDER BY 1"
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert datetime.fromtimestamp(NOON / 1000, UTC) == noon
    assert conn.execute(rows).fetchall() == [(noon, 100), (noon.replace(minute=5), 60)]
    assert conn.execute("SELECT count(*) FROM usage_window").fetchone() == (1,)
    lane.take(chunk(message(2, 3, minute=12, value=1160)), intake(), NOW)
    worker.flush(lane)
    worker.close()
    assert [q for _, q in conn.execute(rows).fetchall()] == [100, 560, 500]
    covered = conn.execute("SELECT covered_ms FROM usage_window ORDER BY window_start").fetchall()
    assert covered == [(0,), (300_000,)]


def test_sums_do_not_overflow(conn: Connection, billing_url: str, lane: Lane) -> None:
    most = LateRow("s", 0, TX, np.array([2**63 - 17]), "tail")
    lane.out.late = [most] * 3
    flush(billing_url, lane)
    assert conn.execute("SELECT quantity FROM usage").fetchone() == (3 * (2**63 - 17),)


# -- loading ---------------------------------------------------------------------------------------


def test_loading_another_partition_finds_nothing(metered: Connection) -> None:
    assert load_heads(metered, 1, SeriesSets()) == {}
    assert load_tail(metered, "nobody", "o1", SeriesSets()) is None


def test_heads_of_equal_series_share_their_names(metered: Connection) -> None:
    """Names are compared by identity on the hot path."""
    heads = load_heads(metered, 0, SeriesSets())
    assert heads["s1"].chains.names is heads["s2"].chains.names


def test_loaded_sets_are_not_registered_again(metered: Connection) -> None:
    sets = SeriesSets()
    heads = load_heads(metered, 0, sets)
    metered.execute("TRUNCATE series_set CASCADE")
    for head in heads.values():
        sets.register(metered, [head.chains.names])
        assert sets.id_of(head.chains.names) > 0


def test_a_loaded_head_is_its_own(metered: Connection) -> None:
    one, two = (load_heads(metered, 0, SeriesSets()) for _ in range(2))
    head = one["s1"]
    head.seen[3], head.open[0] = 7, 9
    one["s1"] = head
    assert memory(one["s1"]) != memory(two["s1"])


def test_every_set_that_is_referred_to_is_registered(lane: Lane) -> None:
    for part in chunks():
        lane.take(part, known(), NOW)
    sealed = lane.seal(Output(lambda _server, _origin: None))
    sets = {n.series for n in names_in(sealed)}
    out = sealed.out
    assert out.finished
    assert {names.series for block in out.finished for names in block.names} <= sets
    assert out.late
    assert {row.names.series for row in out.late} <= sets
    assert out.anchors
    assert {row.names.series for row in out.anchors} <= sets
    assert {head.chains.names.series for head in lane.heads.values()} <= sets
