"""The law that metering offline is metering live: the same core, fed in one chunk with nothing to
write, or by worker after worker, each of which claims what the last one left in the ledger.
"""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.heads import Reading
from pipeline.lanes import Lane
from pipeline.meter import meter
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from sinks.ledger import load_tail
from sinks.series import SeriesSets
from tests.pipeline.logs import Log, logs
from tests.pipeline.test_counters import chain_memory, memory
from tests.pipeline.test_meter_laws import cut
from tests.pipeline.world import RULES, World, batch_of
from tests.sinks.metering import TOPIC_ID, register, usage_in_ledger

METERED = (
    "server_state", "server_origin", "usage_window", "usage_late", "reading_anchor", "dead_letter",
)  # fmt: skip


@pytest.fixture
def ledger(billing: Connection) -> Connection:
    register(billing)
    return billing


@pytest.fixture
def worker(ledger: Connection, billing_url: str) -> Iterator[Checkpointer]:
    made = Checkpointer(billing_url)
    yield made
    made.close()


def take(lane: Lane, part: Sequence[Reading]) -> None:
    """What ``Lane.take`` does once the reports are decoded."""
    batch, arrival = batch_of(part)
    meter(batch, arrival, lane.heads, lane.out, RULES)
    lane.expect += len(part)


def emptied(conn: Connection) -> None:
    conn.execute(f"TRUNCATE {', '.join(METERED)}")
    conn.execute("UPDATE ingest_offset SET next_offset = 0, counts = '{}'")
    conn.commit()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(log=logs(), at=st.lists(st.integers(1, 30), max_size=6))
def test_a_log_in_one_chunk_or_by_many_workers(
    ledger: Connection, worker: Checkpointer, log: Log, at: list[int]
) -> None:
    offline = World()
    offline.chunk(log)
    emptied(ledger)
    for part in cut(log, at):
        lane = worker.claim(TOPIC_ID, 0)
        take(lane, part)
        worker.flush(lane)
    lane = worker.claim(TOPIC_ID, 0)
    assert usage_in_ledger(ledger) == offline.windows()
    assert {s: memory(h) for s, h in lane.heads.items()} == {
        s: memory(h) for s, h in offline.heads.items()
    }
    for server, tails in offline.former.items():
        for origin, chains in tails.items():
            stored = load_tail(ledger, server, origin, SeriesSets())
            assert stored is not None
            assert chain_memory(stored) == chain_memory(chains)
    assert lane.counts == offline.out.counts
    assert cover_in(ledger) == offline.cover()
    assert ledger.execute("SELECT * FROM conservation_violation").fetchall() == []
    ledger.rollback()


def cover_in(conn: Connection) -> dict[tuple[str, int], int]:
    """(server, window) → observed milliseconds, of finished and open windows."""
    rows = conn.execute(
        "SELECT server_id, (extract(epoch FROM window_start) * 1000)::bigint, covered_ms"
        " FROM usage_row WHERE covered_ms > 0"
    ).fetchall()
    return {(server, win): int(ms) for server, win, ms in rows}
