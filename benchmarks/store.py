"""What the store takes and gives: windows in, bytes on disk, dashboards' questions out.

``python -m benchmarks.store [--json] [--url URL] [--servers N] [--days N]``. Without a URL on the
embedded PostgreSQL; with one, in a database made there, with TimescaleDB where it is loaded.
Windows of 24 series come in order of time in checkpoints of 20,000 rows, as binary COPY over one
connection, stale hours asked for; beside them the same as narrow rows, one a series.
Half of the series are noise of 16 to 32 bits, a quarter changes slowly, a quarter is zero.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.heads import Block, names_of, objects
from pipeline.records import Int64s
from rackmeter.stack import Stack
from sinks.binary import SIGNATURE, TRAILER, WINDOW, window_rows
from sinks.database import Connection, connect, migrate
from sinks.series import SeriesSets
from sinks.store import chunks
from sinks.store.backend import backend
from sinks.store.maintain import Policy, maintain
from sinks.store.touched import name_touched
from tests.fix_stack import make_given_database

SERIES: Final = 24
WINDOW_MS: Final = 300_000
PER_DAY: Final = 288
CHECKPOINT: Final = 20_000
START: Final = datetime(2026, 10, 1, tzinfo=UTC)
ROUNDS: Final = 20
NAMES: Final = names_of([("net.tx_bytes", f"eth{i}") for i in range(SERIES)])
PANELS: Final = {
    "fleet, one series by hour": (
        "SELECT hour, sum(quantity) FROM usage_hour WHERE meter = 'net.tx_bytes'"
        " AND resource = 'eth1' AND hour >= %(end)s - interval '1 day' AND hour < %(end)s"
        " GROUP BY 1"
    ),
    "a server, one series by hour": (
        "SELECT hour, quantity, covered_ms FROM usage_hour WHERE server_id = 's7' AND resource ="
        " 'eth1' AND hour >= %(end)s - interval '7 days' AND hour < %(end)s ORDER BY 1"
    ),
    "ten servers of most in a day": (
        "SELECT server_id, sum(quantity) FROM usage_day WHERE resource = 'eth1'"
        " AND day >= %(end)s - interval '1 day' AND day < %(end)s"
        " GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
    ),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates of one connection; bytes with indexes; None where there is no columnstore."""

    backend: str
    rows_per_s: int
    series_windows_per_s: int
    narrow_series_windows_per_s: int
    bytes_per_series_window: float
    bytes_per_series_window_compressed: float | None
    narrow_bytes_per_series_window: float
    narrow_bytes_per_series_window_compressed: float | None
    store_windows_per_s: int
    compress_rows_per_s: int | None
    panel_ms_p95: float
    panels_ms_p95: dict[str, float]


def quantities(rng: np.random.Generator, rows: int) -> Int64s:
    """What 24 counters gain in five minutes."""
    bits = np.array([32, 31, 30, 28, 28, 26, 24, 24, 20, 18, 16, 16])
    noise = rng.integers(0, 1 << bits, (rows, len(bits)))
    slow = 19_660_800 + rng.integers(0, 4, (rows, 6)) * 4096
    return np.concatenate([noise, slow, np.zeros((rows, 6), np.int64)], axis=1).astype(np.int64)


def checkpoints(servers: int, days: int) -> Iterator[Block]:
    """All servers window by window, about 20,000 rows at a time."""
    rng = np.random.default_rng(1)
    names = [f"s{i}" for i in range(servers)]
    each = max(1, CHECKPOINT // servers)
    first = int(START.timestamp() * 1000)
    for begin in range(0, days * PER_DAY, each):
        slots = np.arange(begin, min(begin + each, days * PER_DAY))
        rows = len(slots) * servers
        yield Block(
            objects(names * len(slots)),
            np.repeat(first + slots * WINDOW_MS, servers),
            objects([NAMES] * rows),
            quantities(rng, rows),
            np.full(rows, WINDOW_MS),
        )


def write_wide(conn: Connection, blocks: list[Block], set_id: int) -> float:
    """Seconds to commit them all."""
    bodies = [window_rows(b, np.full(len(b.win_ms), set_id), 0, 1) for b in blocks]
    began = time.perf_counter()
    for block, body in zip(blocks, bodies, strict=True):
        with conn.transaction(), conn.cursor() as cur:
            name_touched(cur, [block])
            with cur.copy(f"COPY usage_window ({WINDOW}) FROM STDIN WITH (FORMAT binary)") as copy:
                copy.write(SIGNATURE)
                copy.write(body)
                copy.write(TRAILER)
    return time.perf_counter() - began


def write_narrow(conn: Connection, blocks: list[Block], timescale: bool) -> float:
    """The same windows, a row a series: server, window, series, quantity."""
    conn.execute(
        "CREATE TABLE narrow (server_id text NOT NULL, window_start timestamptz NOT NULL,"
        " series integer NOT NULL, qty bigint NOT NULL,"
        " PRIMARY KEY (server_id, series, window_start))"
    )
    if timescale:
        conn.execute(
            "SELECT create_hypertable('narrow', 'window_start', chunk_time_interval =>"
            " interval '1 day', create_default_indexes => false)"
        )
        conn.execute(
            "ALTER TABLE narrow SET (timescaledb.enable_columnstore, timescaledb.segmentby ="
            " 'server_id, series', timescaledb.orderby = 'window_start')"
        )
    bodies = [_narrow(block) for block in blocks]
    began = time.perf_counter()
    for body in bodies:
        with (
            conn.transaction(),
            conn.cursor() as cur,
            cur.copy("COPY narrow FROM STDIN WITH (FORMAT binary)") as copy,
        ):
            copy.write(SIGNATURE + body + TRAILER)
    return time.perf_counter() - began


def _narrow(block: Block) -> bytes:
    at = (block.win_ms * 1000 - 946_684_800_000_000).astype(">i8")
    fixed = np.dtype(
        [("na", ">i4"), ("at", ">i8"), ("ns", ">i4"), ("s", ">i4"), ("nq", ">i4"), ("q", ">i8")]
    )
    table = np.empty((len(at), SERIES), fixed)
    table["na"], table["ns"], table["nq"] = 8, 4, 8
    table["at"], table["s"], table["q"] = at[:, None], np.arange(SERIES), block.qty
    width = fixed.itemsize
    parts = []
    for row, server in enumerate(block.server):
        name = server.encode()
        head = b"\0\4" + len(name).to_bytes(4) + name
        body = table[row].tobytes()
        parts += [head + body[i : i + width] for i in range(0, len(body), width)]
    return b"".join(parts)


def size_of(conn: Connection, table: str, timescale: bool) -> int:
    if timescale:
        row = conn.execute("SELECT hypertable_size(%s)", (table,)).fetchone()
    else:
        row = conn.execute(
            "SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(%(it)s))"
            " FROM pg_partition_tree(%(it)s::regclass)",
            {"it": table},
        ).fetchone()
    assert row is not None
    return int(row[0])


def panels(conn: Connection, end: datetime) -> tuple[float, dict[str, float]]:
    """Milliseconds, 95th percentile: of all, and of each."""
    every: dict[str, list[float]] = {}
    for name, statement in PANELS.items():
        for _ in range(ROUNDS):
            began = time.perf_counter()
            conn.execute(statement, {"end": end}).fetchall()
            every.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    worst = {name: round(float(np.percentile(took, 95)), 1) for name, took in every.items()}
    return round(float(np.percentile([*chain(*every.values())], 95)), 1), worst


def measure(conn: Connection, servers: int, days: int) -> Figures:
    conn.execute("SET synchronous_commit = off")
    timescale = backend(conn).timescale
    sets = SeriesSets()
    sets.register(conn, [NAMES])
    blocks = list(checkpoints(servers, days))
    rows = sum(len(block.win_ms) for block in blocks)
    wide_s = write_wide(conn, blocks, sets.id_of(NAMES))
    narrow_s = write_narrow(conn, blocks, timescale)
    wide, narrow = size_of(conn, "usage_window", timescale), size_of(conn, "narrow", timescale)
    end = START + timedelta(days=days)
    policy = Policy(None, timedelta(0), timedelta(days=36_500))
    began = time.perf_counter()
    maintain(conn, end + timedelta(hours=1), policy)
    stored_s = time.perf_counter() - began
    packed = packed_narrow = compress_s = None
    if timescale:
        began = time.perf_counter()
        chunks.compress(conn, chunks.chunks(conn))
        compress_s = time.perf_counter() - began
        conn.execute("SELECT compress_chunk(c) FROM show_chunks('narrow') c")
        packed = size_of(conn, "usage_window", timescale) / rows / SERIES
        packed_narrow = size_of(conn, "narrow", timescale) / rows / SERIES
    conn.execute("ANALYZE")
    p95, worst = panels(conn, end)
    return Figures(
        backend=backend(conn).sentence(),
        rows_per_s=round(rows / wide_s),
        series_windows_per_s=round(rows * SERIES / wide_s),
        narrow_series_windows_per_s=round(rows * SERIES / narrow_s),
        bytes_per_series_window=round(wide / rows / SERIES, 2),
        bytes_per_series_window_compressed=packed and round(packed, 2),
        narrow_bytes_per_series_window=round(narrow / rows / SERIES, 2),
        narrow_bytes_per_series_window_compressed=packed_narrow and round(packed_narrow, 2),
        store_windows_per_s=round(rows / stored_s),
        compress_rows_per_s=compress_s and round(rows / compress_s),
        panel_ms_p95=p95,
        panels_ms_p95=worst,
    )


@contextmanager
def database(url: str | None) -> Iterator[str]:
    """An empty database, on the embedded server or on a given one."""
    if url is not None:
        yield make_given_database(url)
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack.start(Path(folder), broker=False) as stack,
    ):
        yield stack.database_url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    parser.add_argument("--url", help="a server to make a database on")
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--days", type=int, default=3)
    options = parser.parse_args()
    with database(options.url) as url:
        migrate(url)
        with connect(url, autocommit=True, statement_timeout_ms=0) as conn:
            figures = asdict(measure(conn, options.servers, options.days))
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"{name:44}{value}")


if __name__ == "__main__":
    main()
