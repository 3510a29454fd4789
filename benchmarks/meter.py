"""What metering costs once reports are decoded: the matrix beside the one-by-one path, in one run.

``python -m benchmarks.meter [--json] [--rounds N]``. 24 series a report, one core; each figure is
the best of some rounds. No broker, database or signature; ``benchmarks/decode.py`` has decoding.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline.admit import Rules
from pipeline.counters import take
from pipeline.heads import Output, Reading, names_of
from pipeline.meter import Arrival, meter
from pipeline.records import Batch
from pipeline.shelves import Heads

SERIES = 24
SHAPES = ((20_000, 1), (2_000, 10), (50, 400))
STEP_MS = 300_000
START_MS = 1_764_590_400_000
NAMES = names_of([("net.tx_bytes", f"eth{i}") for i in range(SERIES)])


@dataclass(frozen=True, slots=True)
class Figure:
    way: str
    servers: int
    reports_each: int
    reports_per_second: int
    samples_per_second: int


def log(servers: int, first: int, count: int) -> list[Reading]:
    """Ordinary reports, ``count`` of each server, beginning with sequence number ``first``."""
    return [
        Reading(
            server=f"s{s}", origin="o", since_ms=START_MS, seq=n, at_ms=START_MS + n * STEP_MS,
            up_ms=n * STEP_MS, names=NAMES, value=np.arange(SERIES) + n * 1_000_000, content=n,
            offset=0,
        )
        for n in range(first, first + count)
        for s in range(servers)
    ]  # fmt: skip


def batch_of(readings: Sequence[Reading]) -> tuple[Batch, Arrival]:
    count = len(readings)
    at = np.array([r.at_ms for r in readings])
    up = np.array([r.up_ms for r in readings])
    batch = Batch(
        record=np.arange(count), append_ms=at, server=[r.server for r in readings],
        origin=[r.origin for r in readings], since_ms=np.full(count, START_MS),
        seq=np.array([r.seq for r in readings]), at_ms=at, at_up_ms=up, sent_up_ms=up,
        names=[r.names for r in readings], content=np.array([r.content for r in readings]),
        value=np.concatenate([r.value for r in readings]),
        start=np.arange(count + 1) * SERIES,
    )  # fmt: skip
    return batch, Arrival(at, np.zeros(count, np.int64), {})


def run(way: str, servers: int, each: int) -> float:
    """Seconds that one chunk takes, on heads that have one report behind them."""
    heads = Heads()
    out, rules = Output(lambda _server, _origin: None), Rules()
    for reading in log(servers, 1, 1):
        take(heads, reading, out, rules)
    chunk = log(servers, 2, each)
    batch, arrival = batch_of(chunk)
    began = time.perf_counter()
    if way == "matrix":
        meter(batch, arrival, heads, out, rules)
    else:
        for reading in chunk:
            take(heads, reading, out, rules)
    return time.perf_counter() - began


def measure(rounds: int) -> list[Figure]:
    figures = []
    for servers, each in SHAPES:
        for way in ("matrix", "one by one"):
            rate = servers * each / min(run(way, servers, each) for _ in range(rounds))
            figures.append(Figure(way, servers, each, round(rate), round(rate * SERIES)))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--rounds", type=int, default=5, help="the best one counts (default 5)")
    options = parser.parse_args()
    figures = measure(options.rounds)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print(f"{'way':12}{'servers':>9}{'reports each':>14}{'reports/s':>12}{'samples/s':>13}")
    for f in figures:
        print(
            f"{f.way:12}{f.servers:9,}{f.reports_each:14,}"
            f"{f.reports_per_second:12,}{f.samples_per_second:13,}"
        )


if __name__ == "__main__":
    main()
