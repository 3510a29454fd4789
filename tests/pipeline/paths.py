"""Both ways through decoding, whatever was heard before; and what they must agree on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.names import NamesCache
from pipeline.records import Batch
from schemas.envelope import Key
from schemas.report import Report, encode
from schemas.validate import explain
from schemas.verdict import DeadLetter
from tests.schemas.grammar import USUAL
from tests.schemas.messages import Message, chunk, signed


def key_of(server: str) -> Key:
    return Key(server, server, b"secret")


@lru_cache(maxsize=64)
def send(body: bytes) -> Message:
    """Signed as its own server would, when there is any way to read one from it."""
    report = explain(body)
    if not isinstance(report, Report):
        return Message(body)
    return signed(report, key=key_of(report.server), body=body)


def reports_of(bodies: Iterable[bytes]) -> list[Report]:
    """What can be read, in any spelling."""
    read = map(explain, bodies)
    return [report for report in read if isinstance(report, Report)]


def rows(batch: Batch) -> list[tuple[Any, ...]]:
    """Every decoded field of every row, as plain Python."""
    return [
        (
            int(batch.record[i]),
            *(int(batch.append_ms[i]), batch.server[i], batch.origin[i], int(batch.since_ms[i])),
            *(int(batch.seq[i]), int(batch.at_ms[i]), int(batch.at_up_ms[i])),
            *(int(batch.sent_up_ms[i]), int(batch.content[i]), batch.row(i).tolist()),
            *(batch.names[i].meter, batch.names[i].resource),
            batch.names[i].per_second_max.tolist(),
        )
        for i in range(len(batch))
    ]


@dataclass(frozen=True)
class Reader:
    """Decodes messages of partition 0 with one keyring."""

    keyring: Keyring
    partitions: int = 1

    @classmethod
    def of(cls, bodies: Iterable[bytes]) -> "Reader":
        """One that has a key of every server named in them."""
        return cls(Keyring(key_of(report.server) for report in reports_of(bodies)))

    def run(
        self, messages: Sequence[Message], cache: NamesCache, *, fast: bool
    ) -> tuple[Batch, list[DeadLetter]]:
        whole = chunk(*messages, part=0)
        return decode(
            whole,
            self.keyring,
            cache,
            environment="production",
            partitions=self.partitions,
            fast=fast,
        )

    def warmed(self, known: Iterable[Report] = ()) -> NamesCache:
        """A cache that has heard these and the usual reports, so that the fast path is taken."""
        cache, bodies = NamesCache(), [encode(report) for report in (*USUAL, *known)]
        keyring = Reader.of(bodies).keyring
        batch, _ = Reader(keyring, self.partitions).run(list(map(send, bodies)), cache, fast=True)
        assert len(batch) >= len(USUAL)
        return cache

    def check_both_paths(
        self, messages: Sequence[Message], known: Iterable[Report] = ()
    ) -> tuple[Batch, list[DeadLetter]]:
        """Explained or not, whatever was heard before: one verdict, one sentence, equal fields."""
        explained, explained_dead = self.run(messages, NamesCache(), fast=False)
        again = NamesCache()
        for cache in (again, again, self.warmed(known)):
            batch, dead = self.run(messages, cache, fast=True)
            assert rows(batch) == rows(explained)
            assert dead == explained_dead
        return explained, explained_dead

    def check_alone(self, messages: Sequence[Message]) -> None:
        """The fate of each message is the one it has in a chunk of its own."""
        together, dead = self.run(messages, self.warmed(), fast=True)
        alone = [self.run([message], NamesCache(), fast=True) for message in messages]
        accepted = [(i, row[1:]) for i, (batch, _) in enumerate(alone) for row in rows(batch)]
        assert [(row[0], row[1:]) for row in rows(together)] == accepted
        assert dead == [letter for _, letters in alone for letter in letters]
