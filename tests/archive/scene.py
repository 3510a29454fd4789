"""A simulated fleet's topic, metered into a ledger and archived, without a broker in between."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from invoicing.nightly.base import Night
from pipeline.admit import Rules
from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Taken
from pipeline.names import NamesCache
from pipeline.records import Chunk, Taped
from pipeline.retries import Released, Retry
from rackmeter.fleet.log import PLACE, Log, registered_ms
from sinks import archive, archive_file
from sinks.checkpoint import Checkpointer
from sinks.database import Connection
from sinks.keys import register
from sinks.positions import TopicIdentity, register_topic
from sinks.retries import released
from tests.vault import VAULT

TOPIC_ID = UUID(int=7)
CHUNK = 500
FILE = 2_000
NOW_MS = 2**41


@dataclass(frozen=True)
class Scene:
    """A ledger of a log, and the folder of its archive."""

    log: Log
    conn: Connection
    url: str
    folder: Path

    def night(self, day: date, **more: object) -> Night:
        return Night(self.conn, day, self.folder, **{"sample": 100, **more})  # type: ignore[arg-type]

    @property
    def records(self) -> list[Taped]:
        return [
            Taped(offset, m.ts_ms, int(m.ts_type or 0), m.key, m.value, m.headers)  # type: ignore[arg-type]
            for offset, m in enumerate(self.log.messages)
        ]

    def meter(self, records: Sequence[Taped] | None = None, *, release: bool = False) -> None:
        """By a worker's own code, with a checkpoint every few chunks; with ``release`` letters that
        were let in count.
        """
        found = self.records if records is None else records
        checkpointer = Checkpointer(self.url)
        try:
            lane = checkpointer.claim(TOPIC_ID, 0)
            left = [record for record in found if record.offset >= lane.expect]
            for at in range(0, len(left), CHUNK):
                chunk = Chunk(PLACE.topic, 0, left[at : at + CHUNK])
                intake = replace(self.intake, release=self._release if release else None)
                assert lane.take(chunk, intake, NOW_MS) is Taken.METERED
                checkpointer.flush(lane)
        finally:
            checkpointer.close()

    def _release(self, topic: UUID, part: int, some: Sequence[Retry]) -> list[Released | None]:
        return released(self.conn, topic, part, some)

    @property
    def intake(self) -> Intake:
        keys = self.log.keys
        return Intake(
            Keyring(keys), dict(registered_ms(keys)), NamesCache(), PLACE.environment, 1, Rules()
        )

    def archive(self, until: int | None = None) -> None:
        """In files of a few thousand messages."""
        records = self.records[:until]
        begun = archive.archived_to(self.conn, TOPIC_ID).get(0, 0)
        for at in range(begun, len(records), FILE):
            rows = archive_file.table(0, records[at : at + FILE])
            name = archive_file.name_of(PLACE.topic, TOPIC_ID, 0, at)
            file = archive_file.write(self.folder, name, rows)
            archive.enter(self.conn, archive_file.describe(TOPIC_ID, at, rows, file), first=at == 0)


def told(log: Log, conn: Connection, url: str, folder: Path) -> Scene:
    """The topic and its keys are known; nothing is metered or archived."""
    kind = "LogAppendTime" if log.messages[0].ts_type else "CreateTime"
    register_topic(conn, TopicIdentity(TOPIC_ID, "cluster", PLACE.topic, 1, kind), accept_new=False)
    register(conn, VAULT, log.keys)
    return Scene(log, conn, url, folder)


def day_of(ms: int) -> date:
    return datetime.fromtimestamp(ms // 1000, UTC).date()
