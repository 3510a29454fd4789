"""The simulator's flood, nine poisoned messages to a true one for an hour, stops no partition."""

from collections import Counter
from uuid import UUID

import pytest

from pipeline import refusals
from pipeline.heads import Chains, Output, Tails
from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Lane
from pipeline.names import NamesCache
from pipeline.records import Chunk
from pipeline.refusals import Refusals
from pipeline.shelves import Heads
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.log import PLACE, registered_ms
from schemas.validate import TIME_MS_MAX
from tests.rackmeter.test_fleet_log import log_of, record

CHECKPOINT = 40
HARMLESS = {"accepted", "duplicate", "late"}


@pytest.mark.parametrize("adversities", [(Adversity.FLOOD, Adversity.POISON), ALL])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_flood_stops_nobody(
    seed: int, adversities: tuple[Adversity, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a few servers would be enough, and where the topic is read in again."""
    monkeypatch.setattr(refusals, "SERVERS_MIN", 1)
    log = log_of(seed, adversities, hours=12)
    known = Intake(
        Keyring(log.keys), dict(registered_ms(log.keys)), NamesCache(), PLACE.environment, 1
    )
    tails: Tails = {}

    def former(server: str, origin: str) -> Chains | None:
        return tails.get((server, origin))

    lane = Lane(UUID(int=1), 0, UUID(int=2), 0, 0, Counter(), Heads(), Output(former))
    watch = Refusals(0, 0.5, 100, 900_000)
    flooded = 0.0
    records = [record(message, n, 1) for n, message in enumerate(log.messages)]
    for at in range(0, len(records), CHECKPOINT):
        lane.take(Chunk(PLACE.topic, 0, records[at : at + CHECKPOINT]), known, TIME_MS_MAX)
        tails.update(lane.out.tails)
        sealed = lane.seal(Output(former))
        lane.committed(sealed)
        assert watch.look(sealed, lane.heads) is None
        counts = sealed.out.counts
        refused = sum(n for name, n in counts.items() if name not in HARMLESS)
        flooded = max(flooded, refused / counts.total())
    assert flooded > 0.8
