"""Kafka's record batches, byte by byte, so that a test can write what no client would.

``batch`` makes an honest one of format 2; ``sealed`` gives bytes that were changed a right checksum
again.
"""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import cramjam
from aiokafka.record.util import calc_crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES_AT = 21
CRC_AT = 17
START_MS = 1_772_323_200_000
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)


def varint(number: int) -> bytes:
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(0x80 | zigzag & 0x7F)
        zigzag >>= 7
    return bytes(out) + bytes((zigzag,))


def field(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


@dataclass(frozen=True)
class Entry:
    """One record as it is written; ``raw`` writes these bytes instead, behind their length."""

    value: bytes | None = b"v"
    key: bytes | None = b"k"
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    delta: int | None = None
    headers_count: int | None = None
    raw: bytes | None = None

    def body(self, number: int) -> bytes:
        if self.raw is not None:
            return self.raw
        count = len(self.headers) if self.headers_count is None else self.headers_count
        named = b"".join(field(name) + field(value) for name, value in self.headers)
        delta = number if self.delta is None else self.delta
        return (
            b"\0" + varint(number) + varint(delta) + field(self.key) + field(self.value)
            + varint(count) + named
        )  # fmt: skip


def records(entries: Sequence[Entry]) -> bytes:
    return b"".join(field(entry.body(number)) for number, entry in enumerate(entries))


def packed(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return gzip.compress(data)
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(data))
    if codec == "lz4":  # Kafka refuses blocks that lean on each other (KIP-57)
        compressor = cramjam.lz4.Compressor(content_checksum=False, block_linked=False)
        compressor.compress(data)
        return bytes(compressor.finish())
    if codec == "zstd":
        return bytes(cramjam.zstd.compress(data))
    return data


def xerial(data: bytes, size: int = 100) -> bytes:
    """As the Java library writes snappy: blocks with their lengths."""
    blocks = [cramjam.snappy.compress_raw(data[i : i + size]) for i in range(0, len(data), size)]
    return XERIAL + b"".join(struct.pack(">i", len(block)) + bytes(block) for block in blocks)


def framed(
    payload: bytes,
    *,
    base: int = 0,
    count: int = 1,
    attributes: int = 0,
    last_delta: int | None = None,
    magic: int = 2,
    producer: int = -1,
) -> bytes:
    """Any payload in a batch whose header says what it is told to say."""
    last = count - 1 if last_delta is None else last_delta
    size = HEADER.size - 12 + len(payload)
    header = HEADER.pack(
        base, size, -1, magic, 0, attributes, last, START_MS, START_MS + last, producer, -1, -1,
        count,
    )  # fmt: skip
    return sealed(header + payload)


def batch(entries: Sequence[Entry], *, base: int = 0, codec: str = "none") -> bytes:
    payload = packed(codec, records(entries))
    return framed(payload, base=base, count=len(entries), attributes=CODECS[codec])


def sealed(raw: bytes) -> bytes:
    """With the checksum that belongs to these bytes."""
    crc = calc_crc32c(raw[ATTRIBUTES_AT:])
    return raw[:CRC_AT] + struct.pack(">I", crc) + raw[ATTRIBUTES_AT:]


def bomb(codec: str, mib: int, before: Sequence[Entry] = (), after: Sequence[Entry] = ()) -> bytes:
    """Good records around one whose body is nothing, ``mib`` MiB of it, in a batch of about a
    thousandth (gzip), a 250th (lz4), a 20th (snappy) or a 30,000th (zstd)."""
    large = Entry(b" " * (mib * 2**20))
    return batch([*before, large, *after], codec=codec)
