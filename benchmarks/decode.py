"""What decoding costs: µs a report and samples a second, beside other ways to read the same bytes.

``python -m benchmarks.decode [--json] [--reports N] [--rounds N]``. Each figure is the best of some
rounds; every way reads the same bodies in the same run, on one core but polars, which takes all.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import polars as pl

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.names import NamesCache
from pipeline.records import Chunk
from schemas.envelope import Headers, Key, headers
from schemas.meters import METERS
from schemas.report import Report, encode
from schemas.validate import Refusal, explain

SERIES = (1, 8, 24, 96)
_START_MS = 1_764_590_400_000


@dataclass(frozen=True, slots=True)
class Message:
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    timestamp: int = _START_MS + 200
    timestamp_type: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One way to read reports of one size."""

    way: str
    series: int
    body_bytes: int
    us_per_report: float
    samples_per_second: int


def fleet(series: int, reports: int) -> tuple[Chunk, Keyring]:
    """One signed report of each server, no two with the same names."""
    keys, messages = [], []
    for n in range(reports):
        report = _report(n, series)
        body = encode(report)
        key = Key(f"k-{n}", report.server, b"%032d" % n)
        signed = headers(report, body, key, "production", "usage.reports")
        keys.append(key)
        messages.append(Message(n, report.server.encode(), body, signed))
    return Chunk("usage.reports", 0, messages), Keyring(keys)


def _report(n: int, series: int) -> Report:
    meters = list(METERS)
    return Report(
        server=f"server-{n:06}",
        origin=f"{n:08x}-4c1b-9f00",
        since_ms=_START_MS - 86_400_000,
        seq=n + 1,
        at_ms=_START_MS,
        at_up_ms=86_400_000,
        sent_up_ms=86_400_150,
        meter=tuple(meters[i % len(meters)] for i in range(series)),
        resource=tuple(f"GPU-{n:06x}{i // len(meters):02x}" for i in range(series)),
        value=tuple(random.randrange(10**12) for _ in range(series)),
    )


def best_seconds(read: Callable[[], None], rounds: int) -> float:
    read()  # fills the caches: a worker reads the same servers again every minute
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        read()
        best = min(best, time.perf_counter() - began)
    return best


def ways(chunk: Chunk, keyring: Keyring) -> dict[str, Callable[[], None]]:
    cache = NamesCache()
    bodies = [record.value or b"" for record in chunk.records]
    joined = b"\n".join(bodies)

    def fast() -> None:
        batch, dead = decode(chunk, keyring, cache, environment="production", partitions=1)
        assert len(batch) == len(bodies)
        assert not dead

    def unsigned() -> None:
        with patch("pipeline.keyring.Verifier.refusal", lambda *_: None):
            fast()

    def slow() -> None:
        decode(chunk, keyring, cache, environment="production", partitions=1, fast=False)

    def one_by_one() -> None:
        assert not any(isinstance(explain(body), Refusal) for body in bodies)

    def ndjson() -> None:
        pl.read_ndjson(joined).explode("meter", "resource", "value")

    return {
        "decode": fast,
        "decode, headers unread": unsigned,
        "decode, all explained": slow,
        "pydantic one by one, no hmac": one_by_one,
        "polars read_ndjson, unchecked": ndjson,
    }


def measure(series: int, reports: int, rounds: int) -> list[Figure]:
    chunk, keyring = fleet(series, reports)
    size = sum(len(record.value or b"") for record in chunk.records) // reports
    figures = []
    for way, read in ways(chunk, keyring).items():
        seconds = best_seconds(read, rounds)
        rate = round(series * reports / seconds)
        figures.append(Figure(way, series, size, round(seconds / reports * 1e6, 2), rate))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--reports", type=int, default=5_000, help="in a chunk (default 5,000)")
    parser.add_argument("--rounds", type=int, default=9, help="the best one counts (default 9)")
    options = parser.parse_args()
    random.seed(1)
    figures = [
        figure for series in SERIES for figure in measure(series, options.reports, options.rounds)
    ]
    if options.json:
        print(json.dumps([_plain(figure) for figure in figures], indent=1))
        return
    print(f"{'way':31}{'series':>7}{'bytes':>7}{'µs/report':>11}{'samples/s':>12}")
    for f in figures:
        print(
            f"{f.way:31}{f.series:7}{f.body_bytes:7}{f.us_per_report:11.2f}{f.samples_per_second:12,}"
        )


def _plain(figure: Figure) -> dict[str, str | int | float]:
    return {name: getattr(figure, name) for name in Figure.__slots__}


if __name__ == "__main__":
    main()
