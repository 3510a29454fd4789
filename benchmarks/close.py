"""How fast a month is closed into invoices, without documents: invoicers at once, none twice.

``python -m benchmarks.close [--json] [--subscriptions N] [--per-account N] [--windows-a-day N]
[--invoicers N] [--processes N]``. A subscription is a rented server with rent and metered traffic,
its month of windows, a reading a day, and an accrual that the rater has left; an account makes one
invoice. The data is put there first and not counted. A month of five-minute windows is 288 a day.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.throughput import machine
from rackmeter.cli.terminate import interruptible
from rackmeter.stack import Stack
from schemas.billing import Span
from sinks.accruals import rate_scope
from sinks.database import Connection, connect, migrate
from tests.fix_billing import series_set
from tests.fix_stack import make_given_database
from tests.invoicing.ledger import ORIGIN, TOPIC
from tests.invoicing.scenario import CLOSED, TB, close_month, numbers_of
from tests.invoicing.worlds import END, START, account, month_of, rented

DAYS: Final = (END - START).days
MODEL: Final = "copied-0"
"""Account whose rows all others are copies of."""
COPIED: Final = (
    "account", "rating_scope", "item", "assignment", "item_price", "server_state", "accrual",
)  # fmt: skip
SAMPLE_S: Final = 0.2
SETTLE_S: Final = 1.0
"""Until PostgreSQL has counted what its sessions took that have ended; not part of the close."""


@dataclass(frozen=True, slots=True)
class Figures:
    """``seconds``: of all invoicers; memory of one of them, its children included, at most."""

    subscriptions: int
    windows: int
    seconds: float
    peak_rss_mb: int
    invoices: int
    differences: int
    subscriptions_per_s: float
    windows_per_s: int
    database_mb: int
    cpu_seconds: float
    """Of invoicers and PostgreSQL: what others on the machine do does not add to it."""


def load(conn: Connection, options: argparse.Namespace) -> None:
    """A month of that many subscriptions, all there is of it."""
    month_of(conn, 0)
    account(conn, MODEL)
    each = min(options.per_account, options.subscriptions)
    for number in range(each):
        rented(conn, MODEL, f"{MODEL}-{number}", f"{MODEL}-{number}", 0)
    conn.execute("SET session_replication_role = replica")  # what is copied needs no triggers
    conn.execute("TRUNCATE usage_window, server_state, reading_anchor")
    _usage(conn, each, options.windows_a_day)
    for number in range(each):
        rate_scope(conn, f"{MODEL}-{number}", CLOSED, CLOSED, period=Span(START, END))
    others = -(-options.subscriptions // each) - 1
    for table in COPIED:
        conn.execute(
            f"""
            INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, replace(
                to_jsonb(t)::text, '{MODEL}', 'acme-' || n)::jsonb)).*
            FROM {table} t, generate_series(1, %s) n
            """,
            (others,),
        )
    _copy(conn, "usage_window", "window_start, set_id, qty, covered_ms, part, ckpt_offset", others)
    _copy(
        conn, "reading_anchor",
        'origin, at, kind, seq, set_id, value, topic_id, part, "offset"', others,
    )  # fmt: skip
    conn.execute("SET session_replication_role = origin")
    conn.execute("VACUUM ANALYZE")


def _usage(conn: Connection, servers: int, a_day: int) -> None:
    """The first windows of each day, a reading at each day's start, the state that results."""
    set_id = series_set(conn, [("net.tx_bytes", "eth0")])
    gained = 25 * TB // (DAYS * a_day)
    wanted = {
        "model": MODEL, "servers": servers, "days": DAYS, "start": START, "each": a_day,
        "set": set_id, "gained": gained, "topic": TOPIC, "origin": ORIGIN,
        "since": int(START.timestamp() * 1000), "end": int(END.timestamp() * 1000) + 60_000,
    }  # fmt: skip
    conn.execute(
        """
        INSERT INTO usage_window
        SELECT %(model)s || '-' || s, %(start)s + d * interval '1 day' + w * interval '5 minutes',
               %(set)s, ARRAY[%(gained)s + s], 300000, 0, 1000
        FROM generate_series(0, %(servers)s - 1) s, generate_series(0, %(days)s - 1) d,
             generate_series(0, %(each)s - 1) w
        """,
        wanted,
    )
    conn.execute(
        """
        INSERT INTO reading_anchor
        SELECT %(model)s || '-' || s, %(origin)s, %(start)s + d * interval '1 day',
               CASE d WHEN 0 THEN 'opening' ELSE 'daily' END, d + 1, %(set)s,
               ARRAY[d * %(each)s * (%(gained)s + s)], %(topic)s, 0, d + 1
        FROM generate_series(0, %(servers)s - 1) s, generate_series(0, %(days)s) d
        """,
        wanted,
    )
    conn.execute(
        """
        INSERT INTO server_state
        SELECT 0, %(model)s || '-' || s, %(origin)s, %(since)s, 1000, '', %(end)s,
               %(end)s - %(since)s, %(set)s, ARRAY[%(days)s * %(each)s * (%(gained)s + s)], NULL,
               %(end)s::bigint - %(end)s::bigint %% 300000, ARRAY[0], 0, ''
        FROM generate_series(0, %(servers)s - 1) s
        """,
        wanted,
    )


def _copy(conn: Connection, table: str, columns: str, others: int) -> None:
    conn.execute(
        f"""
        INSERT INTO {table} (server_id, {columns})
        SELECT replace(server_id, '{MODEL}', 'acme-' || n), {columns}
        FROM {table} t, generate_series(1, %s) n
        """,
        (others,),
    )


def invoicer(url: str, processes: int) -> None:
    """One close, in a process of its own."""
    report = close_month(url, processes=processes)
    if report.exit_code:
        raise SystemExit(str([one for one in report.outcomes if one.reasons][:3]))


class Memory(threading.Thread):
    """The most that one of these processes and its children held at a time, in MB."""

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._of = [psutil.Process(pid) for pid in pids]
        self._done = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            for process in self._of:
                with suppress(psutil.Error):
                    family = [process, *process.children(recursive=True)]
                    self.most = max(self.most, sum(p.memory_info().rss for p in family) >> 20)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.most


def measure(options: argparse.Namespace) -> Figures:
    """One database, loaded and closed."""
    with (
        tempfile.TemporaryDirectory(prefix="rackmeter-bench-") as folder,
        Stack.start(Path(folder)) as stack,
    ):
        url = make_given_database(stack.database_url)
        migrate(url)
        with connect(url, autocommit=True, statement_timeout_ms=0) as conn:
            load(conn, options)
            print(f"{options.subscriptions} subscriptions are loaded", file=sys.stderr)
            server = psutil.Process(conn.info.backend_pid).parent()
            assert server is not None
            before = _cpu(server)
            seconds, memory = _closed(url, options)
            return _figures(conn, seconds, memory, _cpu(server) - before)


def _cpu(server: psutil.Process) -> float:
    """Seconds of this process' children, and of a server with its own, so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = ended.ru_utime + ended.ru_stime + sum(server.cpu_times()[:4])
    for child in server.children():
        with suppress(psutil.Error):
            spent += sum(child.cpu_times()[:2])
    return spent


def _closed(url: str, options: argparse.Namespace) -> tuple[float, int]:
    spawn = multiprocessing.get_context("spawn")
    invoicers = [
        spawn.Process(target=invoicer, args=(url, options.processes))
        for _ in range(options.invoicers)
    ]
    began = time.perf_counter()
    for one in invoicers:
        one.start()
    memory = Memory([one.pid for one in invoicers if one.pid])
    memory.start()
    for one in invoicers:
        one.join()
    seconds = time.perf_counter() - began
    time.sleep(SETTLE_S)
    assert [one.exitcode for one in invoicers] == [0] * options.invoicers
    numbers_of(url).unlink()
    return seconds, memory.stop()


def _figures(conn: Connection, seconds: float, memory: int, cpu: float) -> Figures:
    """Counted in the database: every scope sealed once, every number given out once."""
    row = conn.execute(
        """
        SELECT (SELECT count(*) FROM usage_window), (SELECT count(*) FROM invoice),
               (SELECT coalesce(sum(jsonb_array_length(differences)), 0) FROM close_outcome),
               (SELECT count(*) FROM scope_seal), (SELECT count(*) FROM rating_scope),
               (SELECT sum(next - 1) FROM invoice_number), pg_database_size(current_database())
        """
    ).fetchone()
    assert row is not None
    windows, invoices, differences, sealed, scopes, numbers, size = row
    assert (sealed, invoices) == (scopes, numbers), row
    return Figures(
        scopes, windows, round(seconds, 1), memory, invoices, int(differences),
        round(scopes / seconds, 1), round(windows / seconds), size >> 20,
        round(cpu, 1),
    )  # fmt: skip


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--subscriptions", type=int, default=1_000)
    parser.add_argument("--per-account", type=int, default=10, help="they share an invoice")
    parser.add_argument("--windows-a-day", type=int, default=1, help="of each, 288 is all")
    parser.add_argument("--invoicers", type=int, default=1, help="closes of it all, at once")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="of one invoicer"
    )
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    figures = asdict(measure(options))
    if options.json:
        print(json.dumps({"machine": machine(), **figures}, indent=1))
        return
    print(machine())
    for name, value in figures.items():
        print(f"{name:20} {value:,}")


if __name__ == "__main__":
    with interruptible():
        main()
