"""A topic with a ledger that knows it, and one run of the archive over it.

Runs as a program too, to be killed: ``python -m tests.archive.archiver URL BOOTSTRAP TOPIC FOLDER
STEP NTH``.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rackmeter import archive as running
from rackmeter import archive_read, tape
from rackmeter.kafka import Cluster
from rackmeter.topics import create_topics
from schemas.capture import Captured, Place
from sinks import archive
from sinks.archive import Span
from sinks.database import Connection, connect
from tests.sinks.metering import crash_at

PARTITIONS = 2
DAY_MS = 86_400_000
NOON = 20_000 * DAY_MS + DAY_MS // 2


@dataclass(frozen=True)
class Shelf:
    """A topic, its ledger, and the folder of the archive."""

    url: str
    bootstrap: str
    topic: str
    folder: Path

    def send(self, *messages: Captured) -> None:
        tape.replay(messages, Cluster(self.bootstrap), self.topic)

    def run(self, step: str = "", nth: int = 1, *, accept_gap: bool = False) -> list[Span]:
        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        with closing(connect(self.url, autocommit=True)) as conn:
            return list(
                running.archive_topic(
                    conn, Cluster(self.bootstrap), self.topic, self.folder,
                    accept_new=False, accept_gap=accept_gap, failpoint=crash_at(step, nth, die),
                )
            )  # fmt: skip

    def command(self, step: str, nth: int) -> list[str]:
        return [
            sys.executable, "-m", "tests.archive.archiver", self.url, self.bootstrap, self.topic,
            str(self.folder), step, str(nth),
        ]  # fmt: skip

    def held(self) -> pl.DataFrame:
        """All messages of all files that the ledger knows, in log order."""
        with connect(self.url) as conn:
            files = [span.file for span in archive.spans(conn) if span.kept]
        rows = pl.concat([pl.read_parquet(self.folder / file) for file in files if file])
        return rows.sort("partition", "offset")

    def files(self) -> set[str]:
        """What lies in the folder, whoever knows it."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)) for path in found}


def make(url: str, bootstrap: str, topic: str, folder: Path) -> Shelf:
    create_topics(bootstrap, {topic: PARTITIONS}, {"retention.ms": "-1"})
    return Shelf(url, bootstrap, topic, folder)


def message(n: int, part: int = 0, *, ts_ms: int = NOON, server: str = "") -> Captured:
    key = (server or f"s-{n % 7}").encode()
    headers = (("kid", b"k"), ("n", b"%d" % n), ("empty", b""))
    return Captured(key, ts_ms + n, headers, b'{"n":%d}' % n, None, Place(part, PARTITIONS))


def messages(count: int, begin: int = 0) -> Iterator[Captured]:
    return (message(n, n % PARTITIONS) for n in range(begin, begin + count))


def spans_of(conn: Connection) -> list[Span]:
    return list(archive.spans(conn))


if __name__ == "__main__":
    url, bootstrap, topic, folder, step, nth = sys.argv[1:]
    archive_read.RECORDS_MAX = 10  # type: ignore[misc]
    Shelf(url, bootstrap, topic, Path(folder)).run(step, int(nth))
