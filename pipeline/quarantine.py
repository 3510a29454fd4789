"""Servers whose rows the database refused: their reports of that stretch of a log are set aside.

Pure. The log is the source: the stretch is metered again, without them, and ends in a checkpoint of
its own. After it they are metered like everyone; their next report makes up for what was set aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.records import Batch, Chunk, after
from schemas.validate import Refusal
from schemas.verdict import Verdict

NOWHERE: Final = -1


@dataclass(frozen=True, slots=True)
class Aside:
    """Server → the database's words about it, for offsets before ``end``."""

    end: int = NOWHERE
    why: Mapping[str, str] = field(default_factory=dict)

    def cut(self, chunk: Chunk) -> Chunk:
        """The part of a chunk before the end, where it reaches over it."""
        if not chunk.first_offset < self.end < chunk.next_offset:
            return chunk
        records = [record for record in chunk.records if after(record) <= self.end]
        return Chunk(chunk.topic, chunk.part, records) if records else chunk

    def refusals(self, chunk: Chunk, batch: Batch) -> dict[int, Refusal]:
        """The reports of a chunk that are set aside, by the index of their record."""
        if chunk.first_offset >= self.end:
            return {}
        found: dict[int, Refusal] = {}
        for index, server in zip(batch.record.tolist(), batch.server, strict=True):
            why = self.why.get(server)
            if why is not None and chunk.records[index].offset < self.end:
                detail = f"the database refused this server's rows before offset {self.end}: {why}"
                found[index] = Refusal(Verdict.QUARANTINED, detail)
        return found


NONE_ASIDE: Final = Aside()
