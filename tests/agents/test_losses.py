"""What the spool lost is reported: from the first loss on, and never falling."""

from pathlib import Path

import pytest

from agents import clock, loop, publish
from agents.config import Settings
from agents.losses import DROPPED, LOST
from agents.state import Store
from pipeline.catalog import load
from schemas.errors import ConfigError
from tests.agents.broker import Broker, publisher_in
from tests.agents.words import nic, reading
from tests.pipeline.test_catalog import NAME, changed


def test_losses_are_counted_on_through_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    monkeypatch.setattr(publish, "Producer", broker.client)
    monkeypatch.setattr(clock, "boot_id", lambda _: "boot-1")
    up_ms = 0
    for dropped, lost in ((0, 0), (3, 0), (0, 0), (5, 700), (2, 100)):
        up_ms += 1_000
        first = reading(up_ms, nic(up_ms))
        monkeypatch.setattr(loop, "read_all", lambda *_, first=first: first)
        publisher = publisher_in(tmp_path)
        agent = loop.begin(Settings("s1", root=tmp_path), publisher, Store(tmp_path))
        publisher.spool.thinned, publisher.spool.lost = dropped, lost
        up_ms += 1_000
        agent.report(reading(up_ms, nic(up_ms)))
        agent.publisher.flush(2**40, lambda: False)
    last = {body["seq"]: body for body in broker.arrived}
    shown = [dict(zip(last[seq]["meter"], last[seq]["value"], strict=True)) for seq in sorted(last)]
    assert [(one.get(DROPPED), one.get(LOST)) for one in shown] == [
        *((None, None), (None, None)),
        *((None, None), (3, None)),
        *((3, None), (3, None)),
        *((3, None), (8, 700)),
        *((8, 700), (10, 800)),
    ]


@pytest.mark.parametrize("meter", [DROPPED, LOST])
def test_no_catalogue_bills_them(meter: str) -> None:
    text = changed(('sum = ["net.tx_bytes"]', f'sum = ["{meter}"]'))
    with pytest.raises(ConfigError, match="never billed"):
        load(text, NAME)
