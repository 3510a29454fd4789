"""What the Python peers share: where to read, what a report gained, and how a result is told.

A peer is a process. It reads the topic from the start, has all sums of its windows when nothing
more comes, writes them to the file ``OUT`` as CSV (server, meter, resource, window, quantity), and
says on its last line when its first report came and how many seconds later its sums were there.
"""

import csv
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

BOOTSTRAP = os.environ["BOOTSTRAP"]
TOPIC = os.environ["TOPIC"]
PARTITIONS = int(os.environ["PARTITIONS"])
REPORTS = int(os.environ["REPORTS"])
"""In the topic."""
KILL_AT = int(os.environ.get("KILL_AT", "0"))
"""Work on so many reports, then end as by ``kill -9``; 0 is never."""
NAME = os.environ["NAME"]
"""A consumer group of its own for each round; the same one again after a kill."""
FOLDER = Path(os.environ["FOLDER"])
"""State that must survive a kill."""
OUT = Path(os.environ["OUT"])
WINDOW_S = 300
IDLE_S = 20.0
"""Nothing for so long is the end of the topic after a kill; it is not part of the time that counts.
"""

Gains = dict[str, int]
"""Series, as ``meter|resource`` → units."""


class Stopwatch:
    """From the first report to the end of the work on the last one."""

    def __init__(self) -> None:
        self.first = self.last = self.began = 0.0
        self.reports = 0

    def report(self) -> None:
        """One has been worked on."""
        self.lap()
        self.reports += 1
        if self.reports == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.first:
            self.first, self.began = self.last, time.time()

    def lap(self) -> None:
        """Work has gone on until now."""
        self.last = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether the topic has been read; a process that goes on after a kill can only guess."""
        idle = self.last > 0 and time.monotonic() - self.last > IDLE_S
        return idle or self.reports >= REPORTS


def gains(last: Mapping[str, int], report: Mapping[str, list]) -> tuple[Gains, Gains]:
    """The newest reading of each series, and what it gained since the one before; zero is first."""
    names = map("|".join, zip(report["meter"], report["resource"], strict=True))
    newest = dict(zip(names, report["value"], strict=True))
    return newest, {name: value - last.get(name, 0) for name, value in newest.items()}


def added(sums: Mapping[str, int], more: Gains) -> Gains:
    """Both, series by series."""
    return {name: sums.get(name, 0) + units for name, units in more.items()} | {
        name: units for name, units in sums.items() if name not in more
    }


def write(windows: Iterable[tuple[str, int, Gains]]) -> None:
    """Server, window and sums of each window, for the comparison with the truth."""
    with OUT.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        for server, window, sums in windows:
            for name, units in sums.items():
                rows.writerow((server, *name.split("|", 1), window, units))


def tell(distribution: str, watch: Stopwatch) -> None:
    """The last line."""
    told = {
        "began": watch.began,
        "seconds": watch.last - watch.first,
        "version": version(distribution),
    }
    print(json.dumps(told), flush=True)
