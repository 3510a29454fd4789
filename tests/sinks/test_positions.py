"""Which topic feeds the ledger: entered once, refused when another one silently took its place."""

from dataclasses import replace
from uuid import uuid4

import pytest

from schemas.errors import RefusedError
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from sinks.positions import (
    TOPIC_BITS,
    Position,
    TopicIdentity,
    check_log_start,
    log_too_short,
    mark_drained,
    positions,
    register_topic,
)
from tests.sinks.metering import chunks, play, register, the_log


def topic(partitions: int = 4, name: str = "usage.reports") -> TopicIdentity:
    return TopicIdentity(uuid4(), "cluster-1", name, partitions, "LogAppendTime")


def registered(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute("SELECT topic_id, name, partitions FROM ingest_topic").fetchall()


def test_a_topic_is_entered_once_with_all_its_partitions(billing: Connection) -> None:
    one = topic()
    register_topic(billing, one, accept_new=False)
    register_topic(billing, one, accept_new=False)
    assert positions(billing) == tuple(Position(one.topic_id, p, 0, 0, {}) for p in range(4))
    assert registered(billing) == [(one.topic_id, "usage.reports", 4)]


def test_entering_again_keeps_the_positions(billing: Connection) -> None:
    one = topic(1)
    register_topic(billing, one, accept_new=False)
    billing.execute(
        "UPDATE ingest_offset SET next_offset = 7, append_ms = 8, counts = '{\"x\": 9}'"
    )
    register_topic(billing, one, accept_new=False)
    assert positions(billing, [one.topic_id]) == (Position(one.topic_id, 0, 7, 8, {"x": 9}),)


def test_a_topic_that_was_made_again_is_refused(billing: Connection) -> None:
    """Its offsets mean other messages: going on would skip or repeat reports without a word."""
    one = topic()
    register_topic(billing, one, accept_new=False)
    again = topic()
    with pytest.raises(RefusedError, match=f"{again.topic_id}, the ledger knows {one.topic_id}"):
        register_topic(billing, again, accept_new=False)
    assert len(registered(billing)) == 1
    assert RefusedError.exit_code == 5


def test_a_topic_that_was_made_again_is_taken_when_it_is_meant(billing: Connection) -> None:
    one, again = topic(2), topic(2)
    register_topic(billing, one, accept_new=False)
    billing.execute("UPDATE ingest_offset SET next_offset = 7")
    register_topic(billing, again, accept_new=True)
    assert [p.next_offset for p in positions(billing, [one.topic_id])] == [7, 7]
    assert [p.next_offset for p in positions(billing, [again.topic_id])] == [0, 0]
    register_topic(billing, again, accept_new=False)


@pytest.mark.parametrize("accept_new", [False, True])
def test_another_partition_count_is_refused(billing: Connection, accept_new: bool) -> None:
    one = topic(4)
    register_topic(billing, one, accept_new=False)
    with pytest.raises(RefusedError, match="has 8 partitions and the ledger was fed from 4"):
        register_topic(billing, replace(one, partitions=8), accept_new=accept_new)
    with pytest.raises(RefusedError, match="has 8 partitions"):
        register_topic(billing, topic(8), accept_new=True)


def test_another_partition_count_under_another_name_is_refused_too(billing: Connection) -> None:
    """Heads lie by partition: a server that moved would be unknown there and be counted anew."""
    register_topic(billing, topic(4), accept_new=False)
    with pytest.raises(RefusedError, match=r"Make a topic with 4 partitions"):
        register_topic(billing, topic(8, "usage.reports.2"), accept_new=False)
    register_topic(billing, topic(4, "usage.reports.2"), accept_new=False)


def test_rows_say_from_which_topic_they_came(billing: Connection, billing_url: str) -> None:
    """The second topic begins at offset 0 again: its rows still lie above all of the first's."""
    register_topic(billing, topic(1, "usage.older"), accept_new=False)
    register(billing)
    worker = Checkpointer(billing_url)
    play(worker, chunks())
    worker.close()
    rows = billing.execute(
        "SELECT DISTINCT ckpt_offset >> %(bits)s, ckpt_offset & ((1::bigint << %(bits)s) - 1)"
        " <= %(end)s FROM (SELECT ckpt_offset FROM usage_window UNION ALL"
        " SELECT ckpt_offset FROM usage_late) r",
        {"bits": TOPIC_BITS, "end": len(the_log())},
    ).fetchall()
    assert rows == [(1, True)]


def test_a_drained_topic_is_marked_until_it_is_metered_again(billing: Connection) -> None:
    one = topic(1)
    register_topic(billing, one, accept_new=False)
    with pytest.raises(RefusedError, match="goes on to offset 9, the ledger has it up to 0"):
        mark_drained(billing, one.name, "op@host", {0: 9})
    assert mark_drained(billing, one.name, "op@host", {0: 0}) == (one.topic_id,)
    assert mark_drained(billing, one.name, "op@host") == ()
    with pytest.raises(RefusedError, match=r"never fed from a topic usage\.none\."):
        mark_drained(billing, "usage.none", "op@host")
    register_topic(billing, one, accept_new=False)
    assert billing.execute("SELECT drained_at, drained_by FROM ingest_topic").fetchone() == (
        None, None,
    )  # fmt: skip


def test_the_log_must_hold_what_comes_next() -> None:
    check_log_start(0, 5, 5)
    check_log_start(0, 5, 0)
    with pytest.raises(RefusedError, match="continues at offset 5, the log begins at 6"):
        check_log_start(0, 5, 6)


def test_a_log_that_ends_before_the_ledger() -> None:
    assert "Partition 2: the ledger continues at offset 9" in str(log_too_short(2, 9))
