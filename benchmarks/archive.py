"""What archiving costs: messages a second, bytes of a report. ``python -m benchmarks.archive``.

A topic is filled with a fleet's signed reports; one run archives it, another finds nothing new;
then every file is verified, and some servers of it are read back as the nightly checks do. What a
day of 10,000 servers with a report a minute takes follows from the bytes of a report.
"""

import argparse
import json
import random
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.load import Load
from benchmarks.scene import TOPIC, scene
from benchmarks.throughput import broker_named, machine
from rackmeter.archive import archive_topic
from rackmeter.kafka import Cluster
from sinks import archive_file
from sinks.archive import Span
from sinks.database import connect

DAY_REPORTS: Final = 10_000 * 1_440
SAMPLE: Final = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """``report_bytes``: in the archive; ``day_mb``: of 10,000 servers, a report a minute."""

    reports: int
    files: int
    seconds: float
    reports_per_s: int
    report_bytes: int
    day_mb: int
    nothing_new_s: float
    verify_mb_per_s: int
    read_back_s: float


def measure(servers: int, ticks: int, broker: str) -> Figures:
    """One topic, archived, verified, and read back."""
    with scene(broker, Load(servers, ticks), packed=True) as place:
        url, folder = place.ledger(), place.folder
        where = Cluster(place.servers.bootstrap)

        def run() -> tuple[list[Span], float]:
            began = time.monotonic()
            with closing(connect(url, autocommit=True)) as conn:
                made = list(archive_topic(conn, where, TOPIC, folder, accept_new=False))
            return made, time.monotonic() - began

        spans, seconds = run()
        _, nothing = run()
        size, count = sum(one.bytes for one in spans), sum(one.records for one in spans)
        began = time.monotonic()
        assert [archive_file.problem(folder, one) for one in spans] == [None] * len(spans)
        verified = time.monotonic() - began
        names = random.Random(1).sample([key.server for key in place.load.keys], SAMPLE)
        began = time.monotonic()
        rows = archive_file.of_servers(folder, [one.file for one in spans if one.file], names)
        read_back = time.monotonic() - began
        assert count == place.load.reports
        assert len(rows) == SAMPLE * (ticks + 1)
    return Figures(
        count, len(spans), round(seconds, 2), round(count / seconds), round(size / count),
        round(size / count * DAY_REPORTS / 1e6), round(nothing, 2), round(size / verified / 1e6),
        round(read_back, 2),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=20, help="reports of each server")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = asdict(measure(given.servers, given.ticks, given.broker))
    if given.json:
        print(json.dumps({"machine": machine(), "broker": broker_named(given.broker), **figures}))
        return
    for name, value in figures.items():
        print(f"{name:16} {value:,}")


if __name__ == "__main__":
    main()
