"""Refused reports that a person lets in again, dated and judged as when they first came. Pure.

A retry is the refused message once more, with one header that names where it lay. Anyone may write
that header, so it proves nothing: it counts only where the ledger holds that very message as a dead
letter that was released. Otherwise it is a header like any other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from pipeline.keyring import Keyring
from pipeline.records import LOG_APPEND_TIME, Batch, Chunk, Record, Taped
from pipeline.rows import Row

RETRY_HEADER: Final = "rackmeter_retry"
_PLACE: Final = re.compile(rb"(\d{1,9})/(\d{1,18})")
_Headers = Sequence[tuple[str, bytes]]


class Retry(NamedTuple):
    """A message that says it is a letter of this partition, and what it would then consist of."""

    offset: int
    key: bytes | None
    value: bytes
    headers: _Headers


@dataclass(frozen=True, slots=True)
class Released:
    """When the letter of a retry was first appended, by whose clock, and when it was released."""

    append_ms: int
    by_broker: bool
    released_ms: int


ByIndex = Mapping[int, Released]
"""By the index of a record in its chunk."""
Release = Callable[[UUID, int, Sequence[Retry]], Sequence[Released | None]]
"""Of each of these retries on a partition of a topic; None: it is none."""


def retry_headers(headers: _Headers, part: int, offset: int) -> list[tuple[str, bytes]]:
    """The headers of a retry of the letter at this place."""
    return [*headers, (RETRY_HEADER, b"%d/%d" % (part, offset))]


def retry_of(headers: _Headers) -> tuple[int, int] | None:
    """Partition and offset of the letter that these headers name; theirs is the last one."""
    if not headers or headers[-1][0] != RETRY_HEADER:
        return None
    found = _PLACE.fullmatch(headers[-1][1] or b"")
    return (int(found[1]), int(found[2])) if found else None


def released_in(chunk: Chunk, topic_id: UUID, release: Release | None) -> ByIndex:
    """Which records of a chunk are retries that count."""
    if release is None:
        return {}
    asked: dict[int, Retry] = {}
    for index, record in enumerate(chunk.records):
        if isinstance(record, Row) and RETRY_HEADER not in record.names:
            continue
        headers = record.headers
        if headers and headers[-1][0] == RETRY_HEADER and (place := retry_of(headers)):
            part, offset = place
            if part == chunk.part and offset < record.offset:
                asked[index] = Retry(offset, record.key, record.value or b"", headers[:-1])
    if not asked:
        return {}
    found = zip(asked, release(topic_id, chunk.part, list(asked.values())), strict=True)
    return {index: one for index, one in found if one is not None}


def as_first_appended(chunk: Chunk, released: ByIndex, keyring: Keyring) -> Chunk:
    """The chunk with its retries stamped as their letters were.

    A key that was registered only later counts as valid then: that is what a person who registers
    it and lets the report in means. A key that had ended stays ended.
    """
    if not released:
        return chunk
    records = list(chunk.records)
    for index, one in released.items():
        record = records[index]
        stamp = max(one.append_ms, _valid_from_ms(record, keyring))
        kind = LOG_APPEND_TIME if one.by_broker else 0
        records[index] = Taped(record.offset, stamp, kind, record.key, record.value, record.headers)
    return Chunk(chunk.topic, chunk.part, records)


def _valid_from_ms(record: Record, keyring: Keyring) -> int:
    kid = dict(record.headers).get("kid") or b""
    key = keyring.get(kid.decode(errors="replace"))
    return key.valid_from_ms if key else 0


def stamp_first(batch: Batch, released: ByIndex) -> None:
    """Readings of retries are dated by when their letters were appended."""
    for row, one in _rows(batch, released):
        batch.append_ms[row] = one.append_ms


def stamp_released(batch: Batch, released: ByIndex) -> None:
    """What a server may show in an hour is counted in the hour in which it was let in."""
    for row, one in _rows(batch, released):
        batch.append_ms[row] = max(one.append_ms, one.released_ms)


def _rows(batch: Batch, released: ByIndex) -> list[tuple[int, Released]]:
    if not released:
        return []
    indices = enumerate(batch.record.tolist())
    return [(row, released[index]) for row, index in indices if index in released]
