"""What more workers and more servers cost. ``python -m benchmarks.scale [--json]``.

Two tables. *Workers*: 1, 2 and 4 of them share the partitions of one full topic; the clock runs
from the moment each of them has claimed one until the last report is committed, and the reports
committed before do not count. *Memory*: one worker each for fleets of growing size, its resident
memory when it has started and its highest while it meters; the slope is what 10,000 servers take.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import SERIES, Load
from benchmarks.scene import PARTITIONS, Scene, ledger_sums, scene, wait, worker_on
from benchmarks.throughput import broker_named, machine
from benchmarks.ways import differences
from rackmeter.cli.processes import Worker
from sinks.database import Connection, connect

WORKERS: Final = (1, 2, 4)
STEP: Final = 10_000
_WAL: Final = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_STATES: Final = (
    "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'server_state'"
)


@dataclass(frozen=True, slots=True)
class Shared:
    """Some workers on one topic."""

    workers: int
    reports: int
    """Committed while all of them were at work."""
    seconds: float
    samples_per_s: int
    correct: bool


@dataclass(frozen=True, slots=True)
class Held:
    """One worker with a fleet in its memory."""

    servers: int
    start_mb: int
    peak_mb: int
    states: int
    """Rows of ``server_state`` written."""
    windows: int
    wal_mb: int
    """Written ahead by PostgreSQL for both, full pages included."""


def shared(place: Scene, workers: int) -> Shared:
    """All workers at once on a new ledger, until everything is committed."""
    url = place.ledger()
    with connect(url, autocommit=True) as conn, ExitStack() as running:
        started = [worker_on(place.servers, url, place.folder) for _ in range(workers)]
        for worker in started:
            running.enter_context(worker)
        # A worker has one connection that claims.
        wait(conn, started[0], "count(DISTINCT backend_pid)", workers)
        wait(conn, started[0], "count(owner)", PARTITIONS)
        before = _committed(conn)
        began = time.monotonic()
        wait(conn, started[0], "sum(next_offset)", place.load.reports)
        seconds = time.monotonic() - began
        reports = place.load.reports - before
        correct = differences(place.truth, ledger_sums(conn)) == (0, 0)
    rate = round(reports * SERIES / seconds)
    return Shared(workers, reports, round(seconds, 2), rate, correct)


def held(place: Scene) -> Held:
    """Memory of one worker before its first report and at its highest."""
    url = place.ledger()
    worker = worker_on(place.servers, url, place.folder)
    with connect(url, autocommit=True) as conn, worker:
        wait(conn, worker, "count(owner)", PARTITIONS)
        start, wal = _status_mb(worker, "VmRSS"), _asked(conn, _WAL)
        wait(conn, worker, "sum(next_offset)", place.load.reports)
        peak, wal = _status_mb(worker, "VmHWM"), _asked(conn, _WAL) - wal
        # The server's own counts are complete when the session that counted has ended.
        worker.stop()
        states, windows = _asked(conn, _STATES), _asked(conn, "SELECT count(*) FROM usage_window")
        return Held(place.load.servers, start, peak, states, windows, wal >> 20)


def slope_mb(figures: list[Held]) -> float | None:
    """Megabytes that 10,000 more servers take, from the smallest to the largest fleet."""
    few, many = figures[0], figures[-1]
    if many.servers == few.servers:
        return None
    return round((many.peak_mb - few.peak_mb) * STEP / (many.servers - few.servers), 1)


def _committed(conn: Connection) -> int:
    return _asked(conn, "SELECT sum(next_offset) FROM ingest_offset")


def _asked(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _status_mb(worker: Worker, field: str) -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) // 1024


def _memory(options: argparse.Namespace) -> Iterator[Held]:
    for servers in options.servers:
        with scene(options.broker, Load(servers, options.ticks), packed=True) as place:
            yield held(place)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--servers", type=int, nargs="+", default=[10_000, 50_000, 100_000])
    parser.add_argument("--ticks", type=int, default=6, help="reports a server, for the memory")
    parser.add_argument("--reports", type=int, default=1_200_000, help="for the workers")
    options = parser.parse_args()
    out = sys.stderr if options.json else sys.stdout
    print("workers   reports  seconds   samples/s  sums", file=out, flush=True)
    sharing, load = [], Load(STEP, options.reports // STEP - 1)
    with scene(options.broker, load, packed=True) as place:
        for workers in options.workers:
            one = shared(place, workers)
            sharing.append(one)
            right = "exact" if one.correct else "WRONG"
            row = f"{one.workers:7}{one.reports:10,}{one.seconds:9.1f}{one.samples_per_s:12,}"
            print(f"{row}  {right}", file=out, flush=True)
    print("servers   MB at its start   MB at most   states  windows  WAL MB", file=out, flush=True)
    memory = []
    for figure in _memory(options):
        memory.append(figure)
        row = f"{figure.servers:7,}{figure.start_mb:18}{figure.peak_mb:13}{figure.states:9,}"
        print(f"{row}{figure.windows:9,}{figure.wal_mb:8,}", file=out, flush=True)
    document = {
        "machine": machine(),
        "broker": broker_named(options.broker),
        "workers": [asdict(one) for one in sharing],
        "memory": [asdict(one) for one in memory],
        "mb_per_10000_servers": slope_mb(memory),
    }
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        print(f"{document['mb_per_10000_servers']} MB more for 10,000 servers more")


if __name__ == "__main__":
    main()
