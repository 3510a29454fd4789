"""Compressed batches, unpacked into a bounded room: a megabyte can claim to be gigabytes. Pure.

What was unpacked before a fault is kept, so that the records before it can be read. The room is
measured by what was packed: reports pack 5 to 30 times (each carries a signature, which packs not
at all), and small bombs must not cost as much as large ones.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import cramjam

UNPACKED_BYTES_MAX: Final = 16 * 2**20
"""A batch of librdkafka has 1 MB before packing, one of a Java client as much after it."""
ROOM_BYTES_MIN: Final = 2**20
RATIO_MAX: Final = 100
ROOM_BYTES_USUAL: Final = 16 * 2**10
"""Tried first: clearing a megabyte for each batch of one report would cost more than reading it."""
RATIO_USUAL: Final = 8

_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16


class Unpacked(NamedTuple):
    """What a batch holds, up to ``fault``: a clause, empty where it was unpacked whole."""

    data: bytes | bytearray
    fault: str = ""
    too_large: bool = False


def unpack(codec: int, packed: bytes) -> Unpacked:
    """Undo a codec of Kafka's (bits 0–2 of a batch's attributes)."""
    unpacker = _UNPACKERS.get(codec)
    if unpacker is None:
        return Unpacked(b"", f"is packed with codec {codec}, which Kafka does not have")
    name, undo = unpacker
    room = min(UNPACKED_BYTES_MAX, ROOM_BYTES_MIN + RATIO_MAX * len(packed))
    try:
        data, whole = undo(packed, room)
    except _NotPackedError as error:
        return Unpacked(error.prefix, f"is not {name} as its header says ({error})")
    if whole:
        return Unpacked(data)
    return Unpacked(data, f"is {name} that unpacks to more than {room} bytes", too_large=True)


class _NotPackedError(Exception):
    def __init__(self, why: object, prefix: bytes | bytearray) -> None:
        super().__init__(str(why))
        self.prefix = prefix


_Undone = tuple[bytes | bytearray, bool]
"""What fits the room, and whether that is all."""


def _gzip(packed: bytes, room: int) -> _Undone:
    data = bytearray()
    while packed:
        member = zlib.decompressobj(wbits=31)
        try:
            data += member.decompress(packed, room + 1 - len(data))
        except zlib.error as error:
            raise _NotPackedError(error, data) from None
        if len(data) > room:
            return data[:room], False
        if not member.eof:
            raise _NotPackedError("it ends too early", data)
        packed = member.unused_data.lstrip(b"\0")
    return data, True


def _snappy(packed: bytes, room: int) -> _Undone:
    """One raw block, or the Java library's blocks with a length before each."""
    if not packed.startswith(_XERIAL):
        return _snappy_block(packed, room, b"")
    data = bytearray()
    at = _XERIAL_HEADER_BYTES
    while at < len(packed):
        if at + 4 > len(packed):
            raise _NotPackedError("it ends too early", data)
        size = struct.unpack_from(">i", packed, at)[0]
        block = packed[at + 4 : at + 4 + size]
        if size < 0 or len(block) < size:
            raise _NotPackedError("it ends too early", data)
        more, whole = _snappy_block(block, room - len(data), data)
        if not whole:
            return data, False
        data += more
        at += 4 + size
    return data, True


def _snappy_block(packed: bytes, room: int, before: bytes | bytearray) -> _Undone:
    try:
        if cramjam.snappy.decompress_raw_len(packed) > room:
            return b"", False
        return bytes(cramjam.snappy.decompress_raw(packed)), True
    except cramjam.DecompressionError as error:
        raise _NotPackedError(error, before) from None


def _framed(decompress_into: Callable[[bytes, bytearray], int]) -> Callable[..., _Undone]:
    """lz4 and zstd write into a buffer and fail when it is full.

    How much was written before a fault is not told. The buffer is zero behind it, and zeros are no
    record.
    """

    def undo(packed: bytes, room: int) -> _Undone:
        usual = min(room, ROOM_BYTES_USUAL + RATIO_USUAL * len(packed))
        data, whole = into(packed, bytearray(usual))
        return (data, whole) if whole or usual == room else into(packed, bytearray(room))

    def into(packed: bytes, buffer: bytearray) -> _Undone:
        try:
            count = decompress_into(packed, buffer)
        except cramjam.DecompressionError as error:
            if _FULL in str(error):
                return buffer, False
            raise _NotPackedError(error, buffer) from None
        del buffer[count:]
        return buffer, True

    return undo


_FULL: Final = "failed to write whole buffer"

_UNPACKERS: Final[Mapping[int, tuple[str, Callable[[bytes, int], _Undone]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _framed(cramjam.lz4.decompress_into)),
    4: ("zstd", _framed(cramjam.zstd.decompress_into)),
}
