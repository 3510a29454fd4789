"""How long a reading takes to the ledger and to a customer's webhook, at shares of full load.

``python -m benchmarks.latency [--json] [--broker embedded|kafka] [--sustained REPORTS_PER_S]``.
Counted from the moment a reading was due (``open_loop``) to the first look at the ledger that
finds it committed, one each 20 ms, and to the arrival of the signed request. What is sustained is
measured first, by sending more than that, unless it is given.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from benchmarks.load import Load
from benchmarks.open_loop import Plan, Sender, ready, spread
from benchmarks.scene import (
    PARTITIONS,
    RETENTION,
    TOPIC,
    Servers,
    enrol,
    started,
    wait,
    worker_on,
)
from benchmarks.throughput import broker_named, machine
from pipeline.catalog import load as load_catalog
from pipeline.partition import partition_of
from pipeline.windows import window_ms
from rackmeter.cli.prices import DEMO, shipped
from rackmeter.cli.processes import Worker
from rackmeter.cli.terminate import interruptible
from rackmeter.demo.customers import OWNER, enter
from rackmeter.demo.receiver import Receiver
from rackmeter.topics import create_topics
from schemas.envelope import Key
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.timelines import rent

LOOK_S: Final = 0.02
SWITCH_S: Final = 0.0005
"""Sender, receiver and watcher share an interpreter; its own 5 ms would be what is measured."""
RENTED_S: Final = 3600
"""So long before now the rentals begin."""
OVERLOAD: Final = 30_000
"""Reports a second; two cores do not come near it."""
OVERLOAD_S: Final = 10


Look = tuple[float, tuple[int, ...]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Latencies in milliseconds. Of few events the last percentile is the worst one."""

    count: int
    p50_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One load."""

    share: float
    reports_per_s: int
    sent_late_ms_max: int
    """How late the sender itself was at worst; it is part of the latencies."""
    ledger: Spread
    webhook: Spread
    webhooks_missing: int


class Arrivals(Receiver):
    """When each crossing of each scope arrived first."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[tuple[str, int], float] = {}

    def accept(self, headers: dict[str, str], body: bytes) -> bool:
        now, event = time.time(), json.loads(body)["data"]
        self.first.setdefault((event["scope"], int(event["percent"])), now)
        return super().accept(headers, body)


class Watcher:
    """Looks at the ledger's positions all the time while its block runs."""

    def __init__(self, url: str) -> None:
        self._url, self._ended = url, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.looks: list[Look] = []
        """When, and the next offset of each partition; only where one has moved."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        query = "SELECT next_offset FROM ingest_offset ORDER BY part"
        with connect(self._url, autocommit=True) as conn:
            ended = False
            while not ended:
                ended = self._ended.wait(LOOK_S)
                found = tuple(row[0] for row in conn.execute(query).fetchall())
                if not self.looks or found != self.looks[-1][1]:
                    self.looks.append((time.time(), found))


@dataclass(frozen=True, slots=True)
class Running:
    """Everything at work, and reports that are not due yet."""

    conn: Connection
    worker: Worker
    sender: Sender
    receiver: Arrivals
    keys: Sequence[Key]
    url: str

    def metered(self, reports: int) -> None:
        """Waits until so many are in the ledger beside the opening ones."""
        opening = self.sender.plan.servers
        wait(self.conn, self.worker, "sum(next_offset)", opening + reports)


def measure(options: argparse.Namespace, sustained: float) -> Iterator[Figure]:
    """A figure for each share, on servers of its own."""
    for share in options.shares:
        rate = sustained * share
        with _running(rate, options.seconds, options) as running:
            with Watcher(running.url) as watcher:
                late_ms = running.sender.run()
                running.metered(running.sender.plan.reports)
            time.sleep(options.webhook_seconds)
            plan, keys = running.sender.plan, running.keys
            ledger = ledger_latencies(plan, keys, watcher.looks)
            webhook, missing = _webhooks(plan, keys, running.receiver)
            yield Figure(share, round(rate), late_ms, _spread(ledger), _spread(webhook), missing)


@contextmanager
def _running(rate: float, seconds: float, options: argparse.Namespace) -> Iterator[Running]:
    sys.setswitchinterval(SWITCH_S)
    with started(options.broker) as servers, ExitStack() as running:
        create_topics(servers.bootstrap, {TOPIC: PARTITIONS}, RETENTION)
        keys = Load(options.servers, 1).keys
        url = enrol(servers, keys)
        receiver = running.enter_context(Arrivals())
        conn = running.enter_context(connect(url, autocommit=True))
        _rent(conn, servers, receiver, [keys[n] for n in spread(options.servers, options.watched)])
        worker = worker_on(
            servers, url, servers.folder / "worker", allow_private_webhooks="true",
            flush_interval_ms=str(options.flush_ms),
        )  # fmt: skip
        running.enter_context(worker)
        place = servers.bootstrap, TOPIC
        sender = ready(options.servers, options.watched, rate, seconds, place)
        sender.open()
        found = Running(conn, worker, sender, receiver, keys, url)
        found.metered(0)
        yield found


def _rent(conn: Connection, servers: Servers, receiver: Receiver, watched: Sequence[Key]) -> None:
    """All by one customer, from a window's edge before the first reading."""
    catalog, now = load_catalog(shipped(DEMO), DEMO), datetime.now(UTC)
    apply(conn, catalog, shipped(DEMO), now)
    enter(conn, servers.vault, receiver, [OWNER])
    at = datetime.fromtimestamp(window_ms(int(now.timestamp() - RENTED_S) * 1000) / 1000, UTC)
    for key in watched:
        rent(
            conn, item=key.server, title=key.server, plan="demo-hourly", account=OWNER.account,
            server=key.server, at=at, catalog=catalog, entered_at=now,
        )  # fmt: skip


def ledger_latencies(plan: Plan, keys: Sequence[Key], looks: Sequence[Look]) -> Floats:
    """Of each report, from its time to the first look that found it."""
    parts = np.array([partition_of(key.server.encode(), PARTITIONS) for key in keys])
    seen_s = np.array([at for at, _ in looks])
    latencies = []
    for part in range(PARTITIONS):
        mine = np.flatnonzero(parts == part)
        due_ms = plan.due_ms.reshape(-1, plan.servers)[:, mine].ravel()
        offset = len(mine) + np.arange(len(due_ms))
        ends = np.array([offsets[part] for _, offsets in looks])
        latencies.append(seen_s[np.searchsorted(ends, offset, side="right")] * 1000 - due_ms)
    return np.concatenate(latencies)


def _webhooks(plan: Plan, keys: Sequence[Key], receiver: Arrivals) -> tuple[Floats, int]:
    """Of each crossing, from the reading that made it to its arrival; and how many are missing."""
    due = {
        (keys[n].server, percent): due_ms
        for n in spread(plan.servers, plan.watched)
        for percent, due_ms in plan.crossings(n).items()
    }
    arrived = due.keys() & receiver.first.keys()
    found = [receiver.first[crossing] * 1000 - due[crossing] for crossing in arrived]
    return np.array(found), len(due) - len(arrived)


def _spread(latencies: Floats) -> Spread:
    if not len(latencies):
        return Spread(0, 0, 0, 0, 0)
    percentiles = np.percentile(latencies, (50, 99, 99.9, 100))
    return Spread(len(latencies), *(round(float(one), 1) for one in percentiles))


def sustained(options: argparse.Namespace) -> float:
    """Reports a second that come into the ledger while more are sent than that."""
    with _running(OVERLOAD, OVERLOAD_S, options) as running:
        with Watcher(running.url) as watcher:
            running.sender.run()
        looks = [(at, sum(offsets)) for at, offsets in watcher.looks]
        begin = next(look for look in looks if look[1] > running.sender.plan.servers * 2)
        return (looks[-1][1] - begin[1]) / (looks[-1][0] - begin[0])


def line(figure: Figure) -> str:
    """One row of the table."""
    spreads = "".join(
        f"{one.count:>11,}{one.p50_ms:>9,.0f}{one.p99_ms:>9,.0f}{one.p99_9_ms:>9,.0f}"
        for one in (figure.ledger, figure.webhook)
    )
    return f"{figure.share:>6.0%}{figure.reports_per_s:>11,}{spreads}{figure.webhooks_missing:>9}"


HEADER: Final = (
    f"{'':17}{'reading to ledger, ms':>38}{'reading to webhook, ms':>38}\n"
    f"{'load':>6}{'reports/s':>11}" + f"{'count':>11}{'p50':>9}{'p99':>9}{'p99.9':>9}" * 2 +
    f"{'missing':>9}"
)  # fmt: skip


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--sustained", type=float, help="reports a second; measured when not given")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.5, 0.8])
    parser.add_argument("--seconds", type=float, default=30, help="of each load (default 30)")
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--watched", type=int, default=200, help="servers whose alerts are timed")
    parser.add_argument("--flush-ms", type=int, default=150, help="between checkpoints")
    parser.add_argument("--webhook-seconds", type=float, default=20, help="waited for the last one")
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    rate = options.sustained or sustained(options)
    if not options.json:
        print(f"{machine()}\n{broker_named(options.broker)}\nsustained {rate:,.0f} reports/s\n")
        print(HEADER)
    figures: list[Figure] = []
    for figure in measure(options, rate):
        figures.append(figure)
        if not options.json:
            print(line(figure), flush=True)
    if options.json:
        found: dict[str, Any] = {
            "machine": machine(),
            "broker": broker_named(options.broker),
            "sustained_reports_per_s": round(rate),
            "loads": [asdict(figure) for figure in figures],
        }
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    with interruptible():
        main()
