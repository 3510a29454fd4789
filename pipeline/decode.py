"""From a fetched chunk to columns: what is a report, whose is it, did its server sign it. Pure.

Admission in this order: size → JSON → schema → key and partition → signature. Identity, clock and
chain are judged later. A report's fate never depends on the rest of its chunk, and no bytes make
this raise.

Two paths reach one verdict. ``schemas.validate.explain`` defines what a report is. What an agent of
this version writes is a regular language, and what matches it needs no explaining: the bytes before
``"seq"`` are the stem of an origin heard of before, one expression matches the clocks, the bytes
from ``"meter"`` to ``"value"`` are those of an earlier report, and how the counters are spelled is
checked for the whole chunk at once. What does not match is not yet wrong; it is explained.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np

from pipeline.keyring import Keyring, Verifier
from pipeline.names import VALUE_KEY, NamesCache, Stem, Text
from pipeline.partition import partition_of
from pipeline.records import LOG_APPEND_TIME, Batch, Chunk, Int64s, Names, Record, Unread
from schemas.report import MESSAGE_BYTES_MAX, MIX_AT, MIX_UP, names_json
from schemas.validate import Refusal, explain, shown
from schemas.verdict import DeadLetter, Verdict

# Fewer digits than the bounds have, so that every match is in bounds: 14 of 15 for times, 18 of 19
# for sequence numbers and values. Printable ASCII is written as it is, but quote and backslash.
_TIME: Final = rb"(?:0|[1-9][0-9]{0,13})"
_STEM: Final = re.compile(
    rb'\{"v":1,"server":"([ !#-\[\]-~]{1,256})","origin":"([A-Za-z0-9-]{1,64})",'
    rb'"since_ms":(' + _TIME + rb")"
)
_SEQ_KEY: Final = b',"seq":'
_CLOCKS: Final = re.compile(
    _SEQ_KEY + rb'[1-9][0-9]{0,17},"at_ms":' + _TIME + rb',"at_up_ms":' + _TIME
    + rb',"sent_up_ms":' + _TIME + b","
)  # fmt: skip
_WORDS: Final = b'"_:abcdefghijklmnopqrstuvwxyz'
_DIGITS: Final = b"0123456789"
_VALUES: Final = re.compile(rb"(?:0|[1-9][0-9]{0,17})(?:,(?:0|[1-9][0-9]{0,17}))*+")
_VALUE_CHARS_MAX: Final = 18

_Read = tuple[Stem, Text, bytes, bytes]
"""A well-formed report: whose, names, ``seq,at_ms,at_up_ms,sent_up_ms,`` and the counters."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every report of a chunk is judged with."""

    verifier: Verifier
    names: NamesCache
    part: int
    partitions: int
    fast: bool
    strict: bool = False
    """Check the spelling of each report's counters, because some in the chunk are odd."""


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
    desk = _Desk(verifier, names, chunk.part, partitions, fast)
    index, reads, dead = _sort(chunk, desk)
    digits = b",".join([read[3] for read in reads])
    if reads and not _canonical(digits):
        index, reads, dead = _sort(chunk, replace(desk, strict=True))
        digits = b",".join([read[3] for read in reads])
    return _batch(chunk.records, index, reads, digits), dead


def _sort(chunk: Chunk, desk: _Desk) -> tuple[list[int], list[_Read], list[DeadLetter]]:
    index: list[int] = []
    reads: list[_Read] = []
    dead: list[DeadLetter] = []
    for i, record in enumerate(chunk.records):
        read = _admit(record, desk)
        if isinstance(read, Refusal):
            dead.append(dead_letter(record, read))
        else:
            index.append(i)
            reads.append(read)
    return index, reads, dead


def _admit(record: Record, desk: _Desk) -> _Read | Refusal:
    body = record.value or b""
    matched = _match(body, desk) if desk.fast else None
    read = matched or _explain(body, desk)
    if isinstance(read, Refusal):
        return read
    stem, text, numbers, digits = read
    identity = stem.identity + numbers[: numbers.index(b",")]
    refusal = _foreign(stem, record.key, desk) or desk.verifier.refusal(
        stem.server, identity, body, record
    )
    if refusal is not None:
        # The spelling comes first, and is else looked at only in the end.
        odd = matched is not None and _VALUES.fullmatch(digits) is None
        explained = _explain(body, desk) if odd else None
        return explained if isinstance(explained, Refusal) else refusal
    if stem.text is not text:
        _remember(body, stem, text, desk.names)
    return read


def _remember(body: bytes, stem: Stem, text: Text, names: NamesCache) -> None:
    """Only an admitted report may enter: forgers cannot push others out."""
    stem.text = names.texts.keep(text.sent, text)
    prefix = body[: body.find(_SEQ_KEY)]
    if _STEM.fullmatch(prefix):
        names.stems.keep(prefix, stem)


def _match(body: bytes, desk: _Desk) -> _Read | None:
    """The report, when ``schemas.report.encode`` writes it so and its names are known."""
    seq_at = body.find(_SEQ_KEY)
    prefix = body[:seq_at]
    stem = desk.names.stems.get(prefix) or _stem(prefix, desk)
    clocks = _CLOCKS.match(body, seq_at)
    if stem is None or clocks is None or len(body) > MESSAGE_BYTES_MAX:
        return None
    names_at, text = clocks.end(), stem.text
    if text is None or not body.startswith(text.sent, names_at):
        text = desk.names.texts.get(body[names_at : body.rfind(VALUE_KEY) + len(VALUE_KEY)])
        if text is None:
            return None
    digits = body[names_at + len(text.sent) : -2]
    if digits.translate(None, _DIGITS) != text.commas or not body.endswith(b"]}"):
        return None
    if desk.strict and _VALUES.fullmatch(digits) is None:
        return None
    return stem, text, body[seq_at + 1 : names_at].translate(None, _WORDS), digits


def _stem(prefix: bytes, desk: _Desk) -> Stem | None:
    """A stem as ``schemas.report.encode`` writes it, of an origin that is new here."""
    found = _STEM.fullmatch(prefix)
    if found is None:
        return None
    server, origin, since_ms = found.groups()
    return _stem_of(server.decode(), origin.decode(), int(since_ms), desk)


def _stem_of(server: str, origin: str, since_ms: int, desk: _Desk) -> Stem:
    key, identity = server.encode(), f"{server}/{origin}/".encode()
    return Stem(server, origin, since_ms, key, partition_of(key, desk.partitions), identity)


def _explain(body: bytes, desk: _Desk) -> _Read | Refusal:
    report = explain(body)
    if isinstance(report, Refusal):
        return report
    stem = _stem_of(report.server, report.origin, report.since_ms, desk)
    text = names_json(report.meter, report.resource).encode()
    known = desk.names.texts.get(text + VALUE_KEY)
    if known is None:
        known = Text.of(text, Names.of(report.meter, report.resource))
    numbers = b"%d,%d,%d,%d," % (report.seq, report.at_ms, report.at_up_ms, report.sent_up_ms)
    return stem, known, numbers, ",".join(map(str, report.value)).encode()


def _foreign(stem: Stem, key: bytes | None, desk: _Desk) -> Refusal | None:
    if key != stem.key:
        detail = f"the message key is {shown(key)}: it must be the server, {shown(stem.server)}"
        return Refusal(Verdict.FOREIGN, detail)
    if stem.part == desk.part:
        return None
    detail = (
        f"server {shown(stem.server)} belongs to partition {stem.part} of {desk.partitions}, not "
        f"to {desk.part}: publish with partitioner=murmur2_random"
    )
    return Refusal(Verdict.FOREIGN, detail)


def _canonical(digits: bytes) -> bool:
    """Whether counters, known to be digits and commas, are each written in the one way there is."""
    chars = np.frombuffer(digits, np.uint8)
    ends = np.append(np.flatnonzero(chars == ord(",")), len(chars))
    starts = np.append(0, ends[:-1] + 1)
    length = ends - starts
    if length.min() == 0 or length.max() > _VALUE_CHARS_MAX:
        return False
    return not ((length > 1) & (chars[starts] == ord("0"))).any()


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
        by_broker=record.timestamp_type == LOG_APPEND_TIME,
    )


def _batch(records: Sequence[Record], index: list[int], reads: list[_Read], digits: bytes) -> Batch:
    stems = [read[0] for read in reads]
    texts = [read[1] for read in reads]
    names = [text.names for text in texts]
    start = np.array([0, *accumulate(map(len, names))], np.int64)
    numbers = b"".join([read[2] for read in reads])
    seq, at_ms, at_up_ms, sent_up_ms = _integers(numbers[:-1], 4 * len(reads)).reshape(-1, 4).T
    crc = [zlib.crc32(read[3], text.crc) for read, text in zip(reads, texts, strict=True)]
    return Batch(
        record=_column(index),
        append_ms=_column([records[i].timestamp for i in index]),
        server=[stem.server for stem in stems],
        origin=[stem.origin for stem in stems],
        since_ms=_column([stem.since_ms for stem in stems]),
        seq=seq,
        at_ms=at_ms,
        at_up_ms=at_up_ms,
        sent_up_ms=sent_up_ms,
        names=names,
        content=_contents(crc, at_ms, at_up_ms),
        value=_integers(digits, int(start[-1])),
        start=start,
    )


def _contents(crc: list[int], at_ms: Int64s, at_up_ms: Int64s) -> Int64s:
    """``schemas.report.content_hash`` of each, in the wrapping arithmetic of 64 bits."""
    clocks = at_ms.astype(np.uint64) * np.uint64(MIX_AT) + at_up_ms.astype(np.uint64) * np.uint64(
        MIX_UP
    )
    mixed = _column(crc) ^ (clocks >> np.uint64(32)).astype(np.int64)
    folded = (mixed ^ mixed >> 16) & 0xFFFF
    return np.where(folded == 0, 1, folded)


def _integers(digits: bytes, count: int) -> Int64s:
    """Text to int64 with no Python object between: 14 ns a value, a seventh of ``int`` on each."""
    return np.fromstring(digits, np.int64, count, sep=",") if count else _column([])


def _column(values: list[int]) -> Int64s:
    return np.array(values, np.int64)
