"""The fleet's reports: simulated with every adversity, published while everything goes wrong."""

import threading
import time
from collections.abc import Iterator
from typing import Final

from rackmeter import tape
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import Place
from rackmeter.kafka import Cluster
from schemas.capture import Captured
from tests.chaos.schedule import Schedule
from tests.fix_worker import ENVIRONMENT, START_MS

SERVERS_MIN: Final = 3 * ALL_AT_ONCE
"""So many that every partition has some."""
HOURS: Final = 12
SENT_EVERY: Final = 100
"""Reports between two points of a picture."""
_POLL_S: Final = 0.05


def fleet_log(seed: int, servers: int, topic: str, *, replay: bool) -> Log:
    """Half a day of a fleet with everything that can go wrong below the broker.

    ``replay``: the whole topic comes again, three times. A report that was lost is made up for by
    that, so only the verdicts would tell.
    """
    adversities = tuple(one for one in ALL if replay or one is not Adversity.REPLAY)
    plan = FleetPlan(
        seed, max(servers, SERVERS_MIN), START_MS, START_MS + HOURS * 3_600_000, mishaps=3,
        adversities=adversities,
    )  # fmt: skip
    return simulate(plan, Place(ENVIRONMENT, topic), by_broker=False)


class Feed:
    """Publishes the log in a thread: so many a second, and a share of it for each fault."""

    def __init__(self, log: Log, where: Cluster, topic: str, wanted: Schedule) -> None:
        self._log, self._where, self._topic = log, where, topic
        self._shares = len(wanted.faults) + 1
        self._each_s = self._shares * wanted.apart_ms / 1000 / len(log.messages)
        self._share = 0
        self.given = 0
        self.sent: list[tuple[float, int]] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def go_on(self) -> None:
        """One share more may be sent."""
        self._share += 1

    @property
    def done(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            tape.replay(self._paced(), self._where, self._topic)
        except BaseException as error:
            self.failure = error

    def _paced(self) -> Iterator[Captured]:
        due = time.monotonic()
        for message in self._log.messages:
            while self.given >= len(self._log.messages) * self._share / self._shares:
                time.sleep(_POLL_S)
                due = time.monotonic()
            due += self._each_s
            time.sleep(max(due - time.monotonic(), 0))
            yield message
            self.given += 1
            if self.given % SENT_EVERY == 0:
                self.sent.append((time.monotonic(), self.given))
