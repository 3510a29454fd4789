"""Act one: this machine, metered by a real agent while real traffic crosses its thresholds.

The agent is started, asked for a first comparable reading, watched while bytes go over the
loopback, asked for a last one, and stopped. What the kernel counted in between must be what the
ledger holds.
"""

import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from pipeline.catalog import Catalog
from rackmeter.cli.keys import new_key, write_key
from rackmeter.cli.processes import Process
from rackmeter.demo.customers import rent_here
from rackmeter.demo.marks import Kernel, Ledger, State, in_ledger, still
from rackmeter.demo.receiver import Receiver
from rackmeter.demo.result import Alerts, ThisMachine
from rackmeter.demo.screen import Stage
from rackmeter.demo.traffic import send
from rackmeter.errors import DependencyError
from rackmeter.settings import Settings
from sinks.database import Connection
from sinks.keys import register
from sinks.timelines import end
from sinks.vault import Vault

CARD: Final = "lo"
"""Most of the traffic is our own; if another card has more, its figures are shown."""
MEGABYTES: Final = 400
ALERTS: Final = 3
"""The plan `demo-hourly` tells its customer at 50, 80 and 100 % of 256 MB."""
ALERT_SECONDS: Final = 20.0
MARK_TRIES: Final = 30


@dataclass(frozen=True, slots=True)
class Watched:
    """The agent between its first and last comparable reading."""

    first: tuple[Kernel, Ledger]
    last: tuple[Kernel, Ledger]


def meter_here(
    conn: Connection,
    vault: Vault,
    settings: Settings,
    bootstrap: str,
    catalog: Catalog,
    receiver: Receiver,
    stage: Stage,
) -> tuple[ThisMachine, Alerts]:
    """Act one, from registering this machine to the end of its rental."""
    server = _server_id()
    now = datetime.now(UTC)
    key = new_key(server, int(now.timestamp() * 1000))
    register(conn, vault, [key])
    rent_here(conn, server, catalog, now)
    folder = settings.data_dir / "agent"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_key(key, folder / "agent.key")
    agent = _agent(settings, server, bootstrap, folder)
    state = State(folder / "state")
    with agent:
        first = _first(conn, agent, state, server)
        for megabytes in send(MEGABYTES):
            agent.check()
            stage.progress(megabytes, MEGABYTES)
        count = receiver.wait(ALERTS, server, ALERT_SECONDS)
        last = _last(conn, agent, state, server)
    end(conn, server, datetime.fromtimestamp(last[1].at_ms / 1000, UTC))
    return _compared(server, Watched(first, last)), _live_alerts(receiver, server, count)


def _agent(settings: Settings, server: str, bootstrap: str, folder: Path) -> Process:
    arguments = ["agent", "run", "--loopback", "--interval", "1", "--server", server]
    arguments += ["--bootstrap", bootstrap, "--topic", settings.topic_reports]
    arguments += ["--environment", settings.environment, "--key-file", str(folder / "agent.key")]
    arguments += ["--state", str(folder / "state"), "--log-format", "json"]
    return Process("agent", arguments, settings.data_dir / "log" / "agent.log", {})


def _first(conn: Connection, agent: Process, state: State, server: str) -> tuple[Kernel, Ledger]:
    """A comparable reading that the ledger was seen to end with."""
    for _ in range(MARK_TRIES):
        # Right after a scheduled reading the next one is almost a second away.
        state.wait_after(state.seq, agent)
        kernel = still(agent, state, CARD)
        ledger = in_ledger(conn, server, kernel.seq)
        if ledger is not None:
            return kernel, ledger
    raise DependencyError("The ledger never stood at the reading that was asked for.")


def _last(conn: Connection, agent: Process, state: State, server: str) -> tuple[Kernel, Ledger]:
    """A comparable reading after which the agent was stopped before it took another."""
    for _ in range(MARK_TRIES):
        state.wait_after(state.seq, agent)
        kernel = still(agent, state, CARD)
        agent.stop()
        if state.seq == kernel.seq:
            ledger = in_ledger(conn, server, kernel.seq)
            assert ledger is not None  # nothing comes after a stopped agent
            return kernel, ledger
        agent.start()
    raise DependencyError("The agent took another reading each time before it stopped.")


def _compared(server: str, watched: Watched) -> ThisMachine:
    """The card with most traffic among those whose counters stood still both times."""
    (kernel, ledger), (kernel_last, ledger_last) = watched.first, watched.last
    counted = {
        card: kernel_last.bytes_of[card] - kernel.bytes_of[card]
        for card in ledger_last.bytes_of
        if card in kernel.bytes_of and card in kernel_last.bytes_of
    }
    card = max(counted, key=lambda name: counted[name])
    windows, readings = ledger.bytes_of.get(card, (0, 0))
    windows_last, readings_last = ledger_last.bytes_of[card]
    return ThisMachine(
        server=server,
        nic=card,
        kernel_bytes=counted[card],
        metered_bytes=windows_last - windows,
        readings_bytes=readings_last - readings,
        reports=ledger_last.seq,
    )


def _live_alerts(receiver: Receiver, server: str, count: int) -> Alerts:
    latencies = receiver.latencies_ms(server)
    return Alerts(
        count=count,
        expected=ALERTS,
        latency_ms=round(median(latencies)) if latencies else None,
        latency_max_ms=max(latencies, default=None),
    )


def _server_id() -> str:
    """The host's name, as far as it can stand in a server id."""
    with suppress(OSError):
        name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-.")
        if name and not re.fullmatch(r"ax-\d+", name):
            return name
    return "this-machine"
