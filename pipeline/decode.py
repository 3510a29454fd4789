"""From a fetched chunk to columns: what is a report, whose is it, did its server sign it. Pure.

Admission in this order: size → JSON → schema → key and partition → signature. Identity, clock and
chain are judged later. A report's fate never depends on the rest of its chunk, and no bytes make
this raise.

Two paths reach one verdict. ``schemas.validate.explain`` defines what a report is. What an agent of
this version writes is a regular language, and what matches it needs no explaining: one expression
matches the fields before ``meter``, the bytes from there to ``"value"`` are known from an earlier
report that was explained, another expression matches the digits. What does not match is not yet
wrong; it is explained.
"""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from pipeline.keyring import Keyring, Verifier
from pipeline.partition import partition_of
from pipeline.records import Batch, Chunk, Int64s, Names, Record, Unread
from schemas.report import MESSAGE_BYTES_MAX, content_hash, names_json, report_id
from schemas.validate import Refusal, explain, shown
from schemas.verdict import DeadLetter, Verdict

NAMES_BYTES_MAX = 128 * 2**20
"""Names kept, in bytes as sent. The half that is sure to stay is 100,000 servers of 24 series in
600 bytes, no two alike; as Python objects they take about five times as much."""

# Fewer digits than the bounds have, so that every match is in bounds: 14 of 15 for times, 18 of 19
# for sequence numbers and values. Printable ASCII is written as it is, but quote and backslash.
_TIME = rb"(0|[1-9][0-9]{0,13})"
_HEAD = re.compile(
    rb'\{"v":1,"server":"([ !#-\[\]-~]{1,256})","origin":"([A-Za-z0-9-]{1,64})",'
    rb'"since_ms":' + _TIME + rb',"seq":([1-9][0-9]{0,17}),"at_ms":' + _TIME + rb","
    rb'"at_up_ms":' + _TIME + rb',"sent_up_ms":' + _TIME + rb","
)
_VALUE_KEY = b',"value":['
_VALUES = re.compile(rb"(?:0|[1-9][0-9]{0,17})(?:,(?:0|[1-9][0-9]{0,17}))*+")


class NamesCache:
    """The one ``Names`` of each distinct names text, for one thread. Bounded by the texts' bytes.

    Two generations: what is used moves to the young one; when that is full, the old one goes.
    A server that keeps reporting keeps its object, however many others come and go.
    """

    __slots__ = ("_half", "_old", "_young", "_young_bytes")

    def __init__(self, bytes_max: int = NAMES_BYTES_MAX) -> None:
        self._half = bytes_max // 2
        self._young: dict[bytes, Names] = {}
        self._old: dict[bytes, Names] = {}
        self._young_bytes = 0

    def get(self, text: bytes) -> Names | None:
        """What is known by ``text``, as ``schemas.report.names_json`` writes it."""
        names = self._young.get(text)
        if names is None and (names := self._old.get(text)) is not None:
            self.keep(text, names)
        return names

    def keep(self, text: bytes, names: Names) -> Names:
        """The object to use for ``text`` from now on: the one already known, else ``names``."""
        known = self._young.get(text)
        if known is not None:
            return known
        if self._young_bytes + len(text) > self._half:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        known = self._old.get(text, names)
        self._young[text] = known
        self._young_bytes += len(text)
        return known


class _Read(NamedTuple):
    """A well-formed report. ``digits`` and ``text`` are canonical; ``text`` is empty when the
    cache knows the names already."""

    server: str
    origin: str
    since_ms: int
    seq: int
    at_ms: int
    at_up_ms: int
    sent_up_ms: int
    content: int
    digits: bytes
    names: Names
    text: bytes = b""


def decode(
    chunk: Chunk,
    keyring: Keyring,
    names: NamesCache,
    *,
    environment: str,
    partitions: int,
    fast: bool = True,
) -> tuple[Batch, list[DeadLetter]]:
    """Split a chunk into admitted reports and dead letters, both in offset order.

    ``fast=False`` explains every report; the outcome is the same.
    """
    verifier = Verifier(keyring, environment, chunk.topic)
    known = names if fast else None
    records: list[int] = []
    reads: list[_Read] = []
    dead: list[DeadLetter] = []
    for index, record in enumerate(chunk.records):
        read = _admit(record, known, verifier, chunk.part, partitions)
        if isinstance(read, Refusal):
            dead.append(dead_letter(record, read))
        else:
            records.append(index)
            reads.append(read)
    return _batch(chunk.records, records, reads, names), dead


def _admit(
    record: Record, known: NamesCache | None, verifier: Verifier, part: int, partitions: int
) -> _Read | Refusal:
    body = record.value or b""
    read = (_match(body, known) if known is not None else None) or _explain(body)
    if isinstance(read, Refusal):
        return read
    identity = report_id(read.server, read.origin, read.seq)
    return (
        _foreign(read.server, record.key, part, partitions)
        or verifier.refusal(read.server, identity, body, record.headers, record.timestamp)
        or read
    )


def _match(body: bytes, known: NamesCache) -> _Read | None:
    """The report, when ``schemas.report.encode`` writes it so and its names are known."""
    head = _HEAD.match(body)
    if head is None or len(body) > MESSAGE_BYTES_MAX or not body.endswith(b"]}"):
        return None
    cut = body.rfind(_VALUE_KEY)
    text, digits = body[head.end() : cut], body[cut + len(_VALUE_KEY) : -2]
    names = known.get(text)
    if names is None or _VALUES.fullmatch(digits) is None or digits.count(b",") + 1 != len(names):
        return None
    server, origin, since, seq, at, at_up, sent_up = head.groups()
    at_ms, at_up_ms = int(at), int(at_up)
    return _Read(
        server.decode(),
        origin.decode(),
        int(since),
        int(seq),
        at_ms,
        at_up_ms,
        int(sent_up),
        content_hash(at_ms, at_up_ms, text, digits),
        digits,
        names,
    )


def _explain(body: bytes) -> _Read | Refusal:
    report = explain(body)
    if isinstance(report, Refusal):
        return report
    text = names_json(report.meter, report.resource).encode()
    digits = ",".join(map(str, report.value)).encode()
    return _Read(
        report.server,
        report.origin,
        report.since_ms,
        report.seq,
        report.at_ms,
        report.at_up_ms,
        report.sent_up_ms,
        content_hash(report.at_ms, report.at_up_ms, text, digits),
        digits,
        Names.of(report.meter, report.resource),
        text,
    )


def _foreign(server: str, key: bytes | None, part: int, partitions: int) -> Refusal | None:
    expected = server.encode()
    if key != expected:
        detail = f"the message key is {shown(key)}: it must be the server, {shown(server)}"
        return Refusal(Verdict.FOREIGN, detail)
    right = partition_of(expected, partitions)
    if right == part:
        return None
    detail = (
        f"server {shown(server)} belongs to partition {right} of {partitions}, not to {part}: "
        "publish with partitioner=murmur2_random"
    )
    return Refusal(Verdict.FOREIGN, detail)


def dead_letter(record: Record, refusal: Refusal) -> DeadLetter:
    """The refused message, whole. What could not be read has no headers, so it is refused as well;
    it says itself why."""
    if isinstance(record.value, Unread):
        refusal = Refusal(record.value.reason, record.value.detail)
    return DeadLetter(
        offset=record.offset,
        reason=refusal.reason,
        detail=refusal.detail,
        key=record.key,
        payload=record.value or b"",
        headers=tuple((name, value or b"") for name, value in record.headers),
        append_ms=record.timestamp,
    )


def _batch(
    chunk: Sequence[Record], records: list[int], reads: list[_Read], names: NamesCache
) -> Batch:
    """Only an admitted report may enter the cache: forgers cannot push others out of it."""
    kept = [names.keep(read.text, read.names) if read.text else read.names for read in reads]
    start = np.array([0, *accumulate(map(len, kept))], np.int64)
    return Batch(
        record=_column(records),
        append_ms=_column([chunk[index].timestamp for index in records]),
        server=[read.server for read in reads],
        origin=[read.origin for read in reads],
        since_ms=_column([read.since_ms for read in reads]),
        seq=_column([read.seq for read in reads]),
        at_ms=_column([read.at_ms for read in reads]),
        at_up_ms=_column([read.at_up_ms for read in reads]),
        sent_up_ms=_column([read.sent_up_ms for read in reads]),
        names=kept,
        content=_column([read.content for read in reads]),
        value=_integers(b",".join([read.digits for read in reads]), int(start[-1])),
        start=start,
    )


def _integers(digits: bytes, count: int) -> Int64s:
    """Text to int64 with no Python object between: 14 ns a value, a seventh of ``int`` on each."""
    return np.fromstring(digits, np.int64, count, sep=",") if count else _column([])


def _column(values: list[int]) -> Int64s:
    return np.array(values, np.int64)
