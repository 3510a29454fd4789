"""Which partition a key belongs to: Java's murmur2, which every Kafka producer can use. Pure.

Producers are told ``partitioner=murmur2_random``. The reader checks it, because a server that lands
in two partitions would be metered by two workers.
Source: ``murmur2`` of ``org.apache.kafka.common.utils.Utils``; ``BuiltInPartitioner``.
"""

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF

_CACHED_KEY_BYTES_MAX = 64
"""Longer keys are hashed each time, so strangers cannot fill the cache with more than 64 MB."""


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit number; Java shows the same bits signed."""
    hashed = _SEED ^ len(data)
    words = len(data) // 4
    for word in struct.unpack_from(f"<{words}I", data):
        mixed = word * _MIX & _MASK
        mixed = (mixed ^ mixed >> 24) * _MIX & _MASK
        hashed = hashed * _MIX & _MASK ^ mixed
    if tail := data[words * 4 :]:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * _MIX & _MASK
    hashed = (hashed ^ hashed >> 13) * _MIX & _MASK
    return hashed ^ hashed >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key; remembered, as hashing costs as much as all other checks."""
    if len(key) > _CACHED_KEY_BYTES_MAX:
        return _partition_of(key, partitions)
    return _remembered(key, partitions)


def _partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


# A quarter of a million servers is more than one worker is given.
_remembered = lru_cache(maxsize=2**18)(_partition_of)
