"""Act two: a fleet's month through the same topic and the same worker, killed in the middle.

Reports go out in a thread as fast as the broker takes them. `kill -9` comes when a share of them is
in the ledger; the next worker is started at once and has to find its place by the ledger alone.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rackmeter.cli.processes import Process
from rackmeter.demo.receiver import Receiver
from rackmeter.demo.result import Alerts, Conservation, Fleet, Kill
from rackmeter.errors import DependencyError
from rackmeter.fleet.audit import audit
from rackmeter.fleet.mishaps import Schedule
from rackmeter.fleet.publish import Destination, StoppedError, publish
from rackmeter.fleet.truth import Truth
from schemas.envelope import Key
from sinks.claims import LEASE
from sinks.database import Connection
from sinks.outbox import CLEARED

POLL_SECONDS: Final = 0.1
STALLED_SECONDS: Final = 120.0
"""No progress for so long means that something is broken; a killed worker is replaced in ten."""

DELIVERY_SECONDS: Final = LEASE.total_seconds() + 10
"""A webhook that was under way when the worker was killed is sent again when its lease is over."""
AHEAD: Final = 5
"""A kill finds a fifth of the reports since the last one sent and perhaps not yet metered."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Position:
    """How far the ledger is, over all partitions."""

    consumed: int
    verdicts: dict[str, int]


class Sender:
    """Publishes in a thread of its own; its failure is raised where it is waited for."""

    def __init__(
        self, schedules: Sequence[Schedule], keys: Mapping[str, Key], place: Destination
    ) -> None:
        self.limit = sys.maxsize
        """How many reports may go out before the next kill: some must be left for after it."""
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._work = (schedules, keys, place)
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether everything is with the broker."""
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def _run(self) -> None:
        schedules, keys, place = self._work
        try:
            publish(schedules, keys, place, limit=lambda: self.limit, stopped=self._stop.is_set)
        except StoppedError:
            pass
        except BaseException as error:  # raised again where it is waited for
            self._failure = error


@dataclass(slots=True)
class Metered:
    """What the month came to."""

    seconds: float = 0.0
    verdicts: dict[str, int] = field(default_factory=dict)
    """What became of the reports."""
    absences_s: list[float] = field(default_factory=list)
    """From each kill to the next commit."""


def meter_month(
    conn: Connection,
    sender: Sender,
    worker: Process,
    truth: Truth,
    kills: int,
    progress: Progress,
) -> Metered:
    """Send, kill, and wait until all is in the ledger."""
    before, began = position(conn), time.monotonic()
    kill_at = [truth.reports * number // (kills + 1) for number in range(1, kills + 1)]
    margin = truth.reports // (kills + 1) // AHEAD
    sender.limit = kill_at[0] + margin if kill_at else sys.maxsize
    metered, done, moved, killed = Metered(), 0, began, 0.0
    with sender:
        while not (sender.done and done >= truth.reports):
            now = position(conn).consumed - before.consumed
            if now != done:
                done, moved = now, time.monotonic()
                progress(done, truth.reports)
                if killed:
                    metered.absences_s.append(round(moved - killed, 1))
                    killed = 0.0
            if kill_at and done >= kill_at[0]:
                kill_at.pop(0)
                worker.kill()
                killed = time.monotonic()
                done = position(conn).consumed - before.consumed
                worker.start()
                sender.limit = kill_at[0] + margin if kill_at else sys.maxsize
            worker.check()
            if time.monotonic() - moved > STALLED_SECONDS:
                raise DependencyError(f"The worker does not go on ({worker.log}).")
            time.sleep(POLL_SECONDS)
    metered.seconds = time.monotonic() - began
    metered.verdicts = _difference(before.verdicts, position(conn).verdicts)
    return metered


def position(conn: Connection) -> Position:
    """The ledger's place in the topic, and all verdicts so far."""
    consumed, verdicts = 0, dict[str, int]()
    for next_offset, counts in conn.execute("SELECT next_offset, counts FROM ingest_offset"):
        consumed += next_offset
        for verdict, count in counts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + count
    return Position(consumed, verdicts)


def compared(
    conn: Connection, truth: Truth, metered: Metered, kills: int
) -> tuple[Fleet, Kill, Conservation]:
    """The ledger against the truth, to the unit."""
    found = audit(conn, truth)
    fleet = Fleet(
        servers=truth.plan.servers,
        reports=truth.reports,
        samples=truth.samples,
        seconds=round(metered.seconds, 3),
        verdicts=dict(sorted(metered.verdicts.items())),
        verdicts_expected=dict(sorted(truth.verdicts.items())),
    )
    kill = Kill(
        workers_killed=kills,
        lost=found.lost,
        doubled=found.doubled,
        figures=found.figures,
        differences=len(found.differences),
        absence_s=max(metered.absences_s, default=None),
    )
    return fleet, kill, conservation(conn)


def all_alerts(conn: Connection, receiver: Receiver, alert: Alerts) -> Alerts:
    """With the alerts of all customers, once the worker has sent what was due."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    while (entered := _entered(conn)) > receiver.crossings and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return replace(
        alert,
        entered=entered,
        delivered=receiver.crossings,
        repeated=receiver.repeated,
        unsigned=receiver.unsigned,
    )


def _entered(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM alert_outbox WHERE kind <> %s", (CLEARED,)).fetchone()
    assert row is not None
    return int(row[0])


def conservation(conn: Connection) -> Conservation:
    """Every series of the ledger: do its windows sum to its readings?"""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM (SELECT DISTINCT server_id, meter, resource FROM chain) s),"
        " (SELECT count(*) FROM conservation_violation)"
    ).fetchone()
    assert row is not None
    return Conservation(*row)


def _difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    changed = {verdict: count - before.get(verdict, 0) for verdict, count in after.items()}
    return {verdict: count for verdict, count in changed.items() if count}
