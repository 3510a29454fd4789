"""Java's murmur2: its own test vectors, and another implementation as the oracle."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as oracle
from hypothesis import given
from hypothesis import strategies as st

from pipeline.partition import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2
KAFKA = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "hashed"), KAFKA)
def test_hashes_like_java(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


@given(st.binary(max_size=80))
def test_hashes_like_another_implementation(key: bytes) -> None:
    assert murmur2(key) == oracle(key) % 2**32


@given(st.binary(max_size=80), st.integers(1, 500))
def test_partitions_like_another_implementation(key: bytes, partitions: int) -> None:
    chosen = DefaultPartitioner()(key, list(range(partitions)), [])
    assert partition_of(key, partitions) == chosen
    assert partition_of(key, partitions) == chosen, "remembered"
