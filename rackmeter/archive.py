"""The topic of reports into files that outlive it, once and without a gap.

1. Take the ledger's lock of archiving: one process at a time. A crash ends the session.
2. For each partition look where its archive ends, and enter files beyond it that are whole: a
   crash after 5, or a ledger that was restored. Refuse a log that no longer reaches back so far.
3. Read on from there, until a file is full, the next message is of another day, or the log ends.
   A crash: nothing has happened.
4. Write the file beside its name and to the disk. A crash: it is written again, over this one.
5. Give it its name. A crash: 2 of the next run enters it.
6. Enter its offsets, count and digest in the ledger, in one transaction. A crash: as 5, or done.
7. With ``keep``, mark older files in the ledger, then remove them. A crash: the next run does.

Reads as workers do, so what no client can read is archived too. Positions are the ledger's own;
nothing is committed to Kafka.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from rackmeter.archive_read import Reading, too_short
from rackmeter.kafka import Cluster
from rackmeter.reader import start_reader
from rackmeter.topics import Topic, describe_topics, log_starts
from schemas.errors import DependencyError, RefusedError
from sinks import archive, archive_file
from sinks.archive import Span
from sinks.database import Connection
from sinks.positions import register_topic

WAIT_MS: Final = 100
"""How long a broker waits for messages at the end of a log; an empty partition costs as much."""
Failpoint = Callable[[str], None]
READ: Final = "archive:read"
WRITTEN: Final = "archive:written"
ENTERED: Final = "archive:entered"
MARKED: Final = "archive:marked"


@dataclass(frozen=True)
class Archiver:
    """One run over all partitions of a topic. ``conn`` commits each statement."""

    conn: Connection
    where: Cluster
    topic: Topic
    folder: Path
    accept_gap: bool = False
    failpoint: Failpoint = lambda _step: None
    progress: Callable[[int], None] = lambda _: None

    def run(self) -> Iterator[Span]:
        """Archives up to where each log ends now; gives the spans as they are entered."""
        archive.alone(self.conn)
        with asyncio.Runner() as runner:
            consumer = runner.run(start_reader(self.where, "archive", WAIT_MS))
            try:
                ends = archive.archived_to(self.conn, self._topic_id)
                starts = log_starts(self.where, self.topic)
                for part in range(self.topic.partitions):
                    yield from self._partition(runner, consumer, part, ends.get(part), starts[part])
            except OffsetOutOfRangeError as error:
                ((at, offset),) = error.args[0].items()
                raise too_short(at, offset) from error
            except KafkaError as error:
                raise DependencyError(
                    f"Topic {self.topic.name} cannot be read: {error}."
                ) from error
            finally:
                runner.run(consumer.stop())

    def _partition(
        self,
        runner: asyncio.Runner,
        consumer: AIOKafkaConsumer,
        part: int,
        reached: int | None,
        log_start: int,
    ) -> Iterator[Span]:
        position, first = (log_start, True) if reached is None else (reached, False)
        while (span := self._known(part, position)) is not None:
            yield self._entered(span, first=first)
            position, first = span.next_offset, False
        if position < log_start:
            yield self._lost(part, position, log_start)
            position = log_start
        reading = Reading(consumer, TopicPartition(self.topic.name, part), position)
        while records := runner.run(reading.file(self.progress)):
            self.failpoint(READ)
            rows = archive_file.table(part, records)
            file = archive_file.write(self.folder, self._name(part, position), rows)
            self.failpoint(WRITTEN)
            span = archive_file.describe(self._topic_id, position, rows, file)
            yield self._entered(span, first=first)
            position, first = span.next_offset, False

    def _known(self, part: int, position: int) -> Span | None:
        """A whole file at this position that the ledger does not know."""
        name = self._name(part, position)
        return archive_file.adopted(self.folder, name, self._topic_id, part, position)

    def _entered(self, span: Span, *, first: bool) -> Span:
        archive.enter(self.conn, span, first=first)
        self.failpoint(ENTERED)
        return span

    def _lost(self, part: int, position: int, log_start: int) -> Span:
        lost = Span(self._topic_id, part, position, log_start)
        if not self.accept_gap:
            raise RefusedError(
                f"The archive continues with {lost.place}, which the log no longer has: retention"
                " removed reports that were never archived. Put their files back, or run it once"
                " with --accept-gap, which writes down that they are lost."
            )
        return self._entered(lost, first=False)

    def _name(self, part: int, offset: int) -> str:
        return archive_file.name_of(self.topic.name, self._topic_id, part, offset)

    @property
    def _topic_id(self) -> UUID:
        assert self.topic.topic_id is not None
        return self.topic.topic_id


def remove_older(
    conn: Connection, folder: Path, before: datetime, failpoint: Failpoint = lambda _step: None
) -> int:
    """Step 7; how many files were removed."""
    gone = archive.drop(conn, before)
    failpoint(MARKED)
    return archive_file.remove(folder, (span.file for span in gone if span.file))


def archive_topic(
    conn: Connection, where: Cluster, name: str, folder: Path, *, accept_new: bool, **more: Any
) -> Iterator[Span]:
    """Registers the topic where the ledger does not know it, and archives it."""
    topic = describe_topics(where, [name])[name]
    mine = topic.identity
    if mine is None:
        raise DependencyError(f"The broker at {where.bootstrap} gives topics no id.")
    if mine.topic_id not in archive.topic_partitions(conn):  # a drained one stays drained
        register_topic(conn, mine, accept_new=accept_new)
    return Archiver(conn, where, topic, folder, **more).run()
