"""Ten minutes without a broker, and clocks that are 40 days off, on an injected clock."""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError

from agents import clock, loop, publish
from agents.clock import Now
from agents.config import Settings
from agents.publish import Publisher, Target
from agents.sample import Reading
from agents.spool import Spool
from agents.state import Store
from schemas.envelope import Key
from sinks.database import Connection
from sinks.keys import register
from tests.agents.broker import TARGET, Broker, Clock
from tests.agents.words import nic, reading
from tests.fix_agents import SECRET
from tests.fix_worker import Scene, offsets, wait_for, worker
from tests.kafka.server import Kafka
from tests.vault import VAULT

MINUTE_MS = 60_000
DAY_MS = 86_400_000


def test_ten_minutes_without_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading arrives, in order, dated to the millisecond; one at a time while it is live,
    together in catching up.
    """
    time, broker, store = Clock(1_000_000), Broker(), Store(tmp_path)
    monkeypatch.setattr(publish, "Producer", broker.client)
    monkeypatch.setattr(clock, "boot_id", lambda _: "boot-1")
    monkeypatch.setattr(loop, "read_all", lambda *_: look(time))
    spool = Spool(tmp_path / "spool", 2**20, 2_000)
    publisher = Publisher(TARGET, time, spool, "boot-1")
    agent = loop.begin(Settings("s1", root=tmp_path), publisher, store)
    for second in range(1, 901):
        away = 120 <= second < 720
        broker.error = KafkaError(KafkaError._MSG_TIMED_OUT) if away else None
        time.up_ms += 1_000
        if second % 10 == 0:
            agent.report(look(time))
        publisher.pump()
        if second == 719:
            assert publisher.unsent == 60
            assert publisher.refused
    publisher.flush(2**40, lambda: False)
    assert [body["seq"] for body in broker.arrived] == [*range(1, 92)]
    for body in broker.arrived:
        assert body["value"] == [body["at_up_ms"] - 1_000_000], "the counter is the time"
    ages_ms = [body["sent_up_ms"] - body["at_up_ms"] for body in broker.arrived]
    assert max(ages_ms) <= 600_000 + 2 * publish.RETRY_MS_MAX
    assert max(ages_ms[:12] + ages_ms[-10:]) <= 1_000, "live is at once"
    assert not [*spool.folder.iterdir()]


def look(time: Clock) -> Reading:
    return reading(time.up_ms, nic(time.up_ms))


@dataclass
class Wrong:
    """A wall clock that is off, above a boot-time clock that nobody sets."""

    off_ms: int

    def __call__(self) -> Now:
        real = clock.now()
        return replace(real, at_ms=real.at_ms + self.off_ms)


@pytest.mark.parametrize("days", [-40, 40])
def test_a_clock_that_is_off(
    kafka: Kafka, billing_url: str, billing: Connection, tmp_path: Path, days: int
) -> None:
    """Apache Kafka dates what it appends: the usage lies in the windows of now, all of it."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    scene = Scene.new(kafka.bootstrap, billing_url, tmp_path / "worker")
    register(billing, VAULT, [Key("k1", "s1", SECRET)])
    target = Target(
        scene.reports, "dev", Key("k1", "s1", SECRET), {"bootstrap.servers": kafka.bootstrap}
    )
    now = Wrong(days * DAY_MS)
    spool = Spool(tmp_path / "spool", 2**20, 2_000)
    publisher = Publisher(target, now, spool, clock.boot_id(Path("/")))
    store, root = Store(tmp_path), tmp_path / uuid4().hex
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text(clock.boot_id(Path("/")))
    agent = loop.begin(Settings("s1", root=root), publisher, store)
    used = 0
    for _ in range(5):
        used += chance.randrange(10**6)
        at = now()
        agent.report(Reading(at.at_ms, at.up_ms, (nic(used),), frozenset({"net.rx_bytes"}), 2))
        assert publisher.flush(clock.up_ms() + 10_000, lambda: False)
    publisher.close()
    assert publisher.clock_ahead_ms is not None
    assert abs(publisher.clock_ahead_ms - days * DAY_MS) < 10_000
    with worker(scene):
        wait_for(lambda: sum(offsets(billing)) >= 5, "reports metered")
        wait_for(lambda: _metered(billing)[0] == used, "the truth in the ledger")
    for window_ms in _metered(billing)[1:]:
        assert abs(window_ms - clock.now().at_ms) < 10 * MINUTE_MS


def _metered(conn: Connection) -> tuple[int, int, int]:
    """All of it, its first window and its last."""
    row = conn.execute(
        "SELECT coalesce(sum(quantity), 0)::bigint,"
        " coalesce(extract(epoch FROM min(window_start)), 0)::bigint * 1000,"
        " coalesce(extract(epoch FROM max(window_start)), 0)::bigint * 1000 FROM usage"
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
