"""Instants at which kernel, agent and ledger can be compared to the byte.

The kernel counts all the time, so a reading is comparable only when the counters stood still around
it: read them, have the agent take a reading, read them again; where nothing moved, all three saw
the same. Repeated until that is so, which takes a few tries of some milliseconds each.
"""

import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rackmeter.cli.processes import Process
from rackmeter.demo import kernel
from rackmeter.errors import DependencyError
from sinks.database import Connection

TRIES: Final = 200
_READ_SECONDS: Final = 10.0
_LEDGER_SECONDS: Final = 30.0
# One statement is one snapshot: the sequence number belongs to these sums.
_SQL: Final = """
    SELECT s.origin, s.seq_hi, s.at_ms, x.resource, x.windows::bigint, x.readings::bigint
    FROM server_state s
    CROSS JOIN LATERAL (
        SELECT resource, sum(windows) AS windows, sum(readings) AS readings
        FROM (
            SELECT resource, quantity AS windows, 0 AS readings FROM usage u
            WHERE u.server_id = s.server_id AND meter = ANY(%(meters)s)
            UNION ALL
            SELECT resource, 0, reading FROM chain c
            WHERE c.server_id = s.server_id AND meter = ANY(%(meters)s)
        ) both_sides GROUP BY resource
    ) x
    WHERE s.server_id = %(server)s"""
_METERS: Final = ["net.rx_bytes", "net.tx_bytes"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A report of the agent, and the counters that stood still around its reading."""

    seq: int
    bytes_of: dict[str, int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger holds of a server after a report: windows and readings of each card."""

    seq: int
    at_ms: int
    bytes_of: dict[str, tuple[int, int]]


class State:
    """The agent's own file, written before anything is sent."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "agent.json"

    @property
    def seq(self) -> int:
        """The number of the newest report; 0 before the first."""
        try:
            state: dict[str, Any] = json.loads(self._path.read_bytes())["state"]
        except FileNotFoundError:
            return 0
        return int(state["seq"])

    def wait_after(self, seq: int, agent: Process) -> int:
        """Wait for a report after that one; returns its number."""
        deadline = time.monotonic() + _READ_SECONDS
        while (found := self.seq) <= seq:
            if time.monotonic() > deadline:
                agent.check()
                raise DependencyError(f"The agent has taken no reading for 10 s ({agent.log}).")
            time.sleep(0.001)
        return found


def still(agent: Process, state: State, card: str) -> Kernel:
    """A reading during which the counters of this card did not move."""
    for _ in range(TRIES):
        before, known = kernel.counters(), state.seq
        agent.send(signal.SIGUSR1)
        seq = state.wait_after(known, agent)
        after = kernel.counters()
        if before.get(card) == after.get(card):
            same = {name: count for name, count in after.items() if before.get(name) == count}
            return Kernel(seq, same)
        time.sleep(0.01)
    raise DependencyError(
        f"{card} never stood still for a reading: something else sends over it all the time."
    )


def in_ledger(conn: Connection, server: str, seq: int) -> Ledger | None:
    """The ledger as of that report; None when it has gone on to a later one."""
    deadline = time.monotonic() + _LEDGER_SECONDS
    while True:
        found = _ledger(conn, server)
        if found is not None and found.seq >= seq:
            return found if found.seq == seq else None
        if time.monotonic() > deadline:
            raise DependencyError("The agent's report is not in the ledger after 30 s.")
        time.sleep(0.01)


def _ledger(conn: Connection, server: str) -> Ledger | None:
    rows = conn.execute(_SQL, {"server": server, "meters": _METERS}).fetchall()
    if not rows:
        return None
    return Ledger(rows[0][1], rows[0][2], {row[3]: (row[4], row[5]) for row in rows})
