"""How long each panel of the dashboards takes to answer, over a seeded fleet of any size.

``python -m benchmarks.dashboards [--windows 10000000] [--database URL] [--json]``. Servers × 35
days of windows are seeded by SQL, stored as `rackmeter db maintain` would, and every panel is asked
in turn, as its board opens, each time for another customer. Without ``--database`` on the embedded
PostgreSQL; with it in a new database of that server, which is TimescaleDB's where it can be.
``--keep NAME`` leaves the database and finds it again. The budget is 200 ms.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rackmeter.stack import Stack
from sinks.database import Connection, connect, migrate
from sinks.store.refresh import refresh
from tests.deploy.boards import BOARDS, answer, opened, sql_panels
from tests.deploy.rented_fleet import END, Size, seed

BUDGET_MS: Final = 200.0
DAYS: Final = 35
SETTINGS: Final = {"shared_buffers": "2GB", "max_wal_size": "8GB", "fsync": "off"}
"""Of the embedded server: a quarter of a small machine; nothing outlives the run."""

SEEDING_MS: Final = 3_600_000
AVAILABLE: Final = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'"

# Figures of every scope, invoices of every account: as many as there would be, made up.
BILLED: Final = """
INSERT INTO accrual (scope_id, period_start, period_end, as_of, inputs, figures)
SELECT item_id, start, start + interval '1 month', %(end)s, '{}', jsonb_build_array(
    jsonb_build_object('item', item_id, 'charge', 'rent', 'unit', 'hour', 'unit_size', 3600000,
        'used', 1684800000, 'included', 0, 'net', '38.98', 'currency', 'EUR'),
    jsonb_build_object('item', item_id, 'charge', 'traffic', 'unit', 'TB', 'unit_size', 1e12,
        'used', 12e12 + n * 2e10, 'included', 2e13, 'net', '1.29', 'currency', 'EUR'))
FROM scene, (VALUES (timestamptz '2026-02-01Z'), (timestamptz '2026-03-01Z')) AS p (start);
INSERT INTO invoice (invoice_id, number, entity, account_id, period_start, period_end, currency,
                     net, tax, gross, issued_at, document, digest)
SELECT gen_random_uuid(), 'RM-' || account_id, 'rm', account_id, '2026-02-01Z', '2026-03-01Z',
       'EUR', 100, 19, 119, %(end)s, '{}', '' FROM account;
INSERT INTO invoice_line
SELECT invoice_id, row_number() OVER (PARTITION BY invoice_id ORDER BY item_id, charge),
       item_id || '/' || item_id || '/' || charge || '/2026-02-01T00:00:00Z/0', 10
FROM invoice JOIN scene USING (account_id), (VALUES ('rent'), ('traffic')) AS c (charge);
INSERT INTO scope_seal
SELECT item_id, '2026-02-01Z', '2026-03-01Z', %(end)s, '', invoice_id
FROM invoice JOIN scene USING (account_id);
INSERT INTO invoice_cut SELECT invoice_id, %(topic)s, 0, 1000 FROM invoice;
INSERT INTO close_outcome
SELECT account_id, 'EUR', '2026-02-01Z', '2026-03-01Z', %(end)s, 'issued', 10, 100 FROM account;
ANALYZE
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A panel: the time of its answers, of how many rows."""

    board: str
    panel: str
    rows: int
    median_ms: float
    p95_ms: float


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    return sorted(values)[ceil(share * len(values)) - 1]


def prepare(conn: Connection, windows: int) -> int:
    """Seeds and stores; the windows there are."""
    servers = max(16, round(windows / (DAYS * 288)))
    seed(conn, Size(servers, max(2, servers // 10), DAYS), settled=False)
    topic = conn.execute("SELECT topic_id FROM ingest_topic").fetchone()
    assert topic is not None
    psycopg.ClientCursor(conn).execute(BILLED.encode(), {"end": END, "topic": topic[0]})
    refresh(conn, END)
    row = conn.execute("SELECT store_backend()").fetchone()
    if row == ("postgresql",):  # maintenance each hour would have appended hour by hour
        conn.execute("CLUSTER usage_hour_stored USING usage_hour_stored_hour")
        conn.execute("CLUSTER usage_day_stored USING usage_day_stored_day")
    conn.execute("VACUUM ANALYZE")
    return count(conn)


def count(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM usage_window").fetchone()
    assert row is not None
    return int(row[0])


def measure(conn: Connection, rounds: int) -> list[tuple[Figure, list[float]]]:
    """Every panel `rounds` times, each round as another customer of the fleet."""
    accounts = [row[0] for row in conn.execute("SELECT account_id FROM account ORDER BY 1")]
    found = []
    for board in BOARDS:
        views = [
            opened(conn, board, END, account=accounts[number * 7 % len(accounts)])
            for number in range(rounds)
        ]
        for panel in [panel for name, panel in sql_panels() if name == board]:
            times, rows = list[float](), 0
            for view in views:
                began = time.perf_counter()
                rows = len(answer(conn, panel, view).rows)
                times.append((time.perf_counter() - began) * 1000)
            p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
            figure = Figure(board, panel["title"], rows, round(p50, 1), round(p95, 1))
            found.append((figure, times))
    return found


@contextmanager
def database(url: str | None, name: str) -> Iterator[tuple[str, bool]]:
    """A URL, and whether the database is new; gone afterwards unless a name was given."""
    if url is None:
        with (
            tempfile.TemporaryDirectory(prefix="rackmeter-bench-") as folder,
            Stack.start(Path(folder), broker=False, postgres_settings=SETTINGS) as stack,
        ):
            yield stack.database_url, True
        return
    own = name or "rackmeter_dashboards"
    with psycopg.connect(url, autocommit=True) as conn:
        there = conn.execute("SELECT FROM pg_database WHERE datname = %s", (own,)).fetchone()
        if there is None:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(own)))
    mine = make_conninfo(url, dbname=own)
    if there is None:
        with psycopg.connect(mine, autocommit=True) as conn:
            if conn.execute(AVAILABLE).fetchone() is not None:
                conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    yield mine, there is None
    if not name:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(own)))


def report(conn: Connection, rounds: int) -> dict[str, Any]:
    """What is printed: the store, the figures, and the 95th percentile of all answers."""
    measured = measure(conn, rounds)
    backend = conn.execute("SELECT store_backend(), current_setting('server_version')").fetchone()
    assert backend is not None
    over = [figure for figure, _ in measured if figure.p95_ms > BUDGET_MS]
    return {
        "machine": platform.processor() or platform.machine(),
        "backend": backend[0],
        "server": backend[1],
        "windows": count(conn),
        "rounds": rounds,
        "p95_ms": round(percentile([ms for _, times in measured for ms in times], 0.95), 1),
        "over_budget": [f"{figure.board}: {figure.panel}" for figure in over],
        "panels": [asdict(figure) for figure, _ in measured],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000_000, help="of servers (1,000,000)")
    parser.add_argument("--rounds", type=int, default=9, help="answers of each panel (9)")
    parser.add_argument("--database", help="URL of a server; the embedded one without")
    parser.add_argument("--keep", default="", metavar="NAME", help="a database that stays")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    with database(options.database, options.keep) as (url, new):
        if new:
            migrate(url)
        with connect(url, autocommit=True, statement_timeout_ms=SEEDING_MS) as conn:
            if new:
                prepare(conn, options.windows)
            found = report(conn, options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['windows']:,} windows on {found['backend']} {found['server']}, milliseconds")
    for panel in found["panels"]:
        name = f"{panel['board']}: {panel['panel']}"
        print(f"{name:48} {panel['rows']:6} rows {panel['median_ms']:8} {panel['p95_ms']:8}")
    print(f"{'95th percentile of all answers':48} {'':20} {found['p95_ms']:8}")


if __name__ == "__main__":
    main()
