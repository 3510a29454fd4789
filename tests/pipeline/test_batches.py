"""No bytes stop a partition: what aiokafka cannot read has a stand-in, what it can is read.

Each case is one fetch answer, read as the consumer does. Stand-ins are shown as
``offset-last: verdict``.
"""

import inspect
import random
import re
import struct
import tracemalloc
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline import batches
from pipeline.batches import Batches, DamagedLogError, Fetched
from pipeline.decode import dead_letter
from pipeline.records import Unread, after
from pipeline.unpack import UNPACKED_BYTES_MAX, unpack
from schemas.validate import Refusal
from schemas.verdict import Verdict
from tests.frames import (
    CODECS,
    HEADER,
    Entry,
    batch,
    bomb,
    field,
    framed,
    packed,
    records,
    sealed,
    varint,
    xerial,
)

CODEC_NAMES = list(CODECS)
GOOD = [Entry(b"a"), Entry(b"b"), Entry(b"c")]
ODD_NAME = Entry(b"odd", headers=[(b"ce_id", b"1"), (b"\xff\xfe", b"x")])


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Each test sees a batch for the first time."""
    yield
    Batches.suspects.clear()


def fetch(data: bytes, at: int = 0) -> tuple[list[Any], int]:
    """The records of one answer, and where the next fetch begins."""
    reader = Fetched(TopicPartition("t", 0), Batches(data), None, at, None, None, True, 0)
    return list(reader), reader.next_fetch_offset


def shown(found: Sequence[Any]) -> list[object]:
    return [
        f"{r.offset}-{r.value.next_offset - 1}: {r.value.reason}"
        if isinstance(r.value, Unread)
        else (r.offset, r.value)
        for r in found
    ]


def read(data: bytes, at: int = 0) -> tuple[list[object], int]:
    found, end = fetch(data, at)
    return shown(found), end


# -- honest batches are read as aiokafka reads them ------------------------------------------------


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_every_codec_gives_what_aiokafka_gives(codec: str) -> None:
    entries = [
        Entry(b"x" * n, None if n % 3 else b"k", [(b"n\xc3\xa4me", None), (b"b", b"1")])
        for n in range(300)
    ]
    data = batch(entries, base=5, codec=codec) + batch(GOOD, base=305, codec=codec)
    tp = TopicPartition("t", 0)
    plain = PartitionRecords(tp, MemoryRecords(data), None, 5, None, None, True, 0)
    records, end = fetch(data, 5)
    assert (list(map(said, records)), end) == (list(map(said, plain)), 308)


def said(record: Any) -> tuple[object, ...]:
    """All of a record that is used."""
    return (
        record.offset, record.timestamp, record.timestamp_type, record.key, record.value,
        list(record.headers),
    )  # fmt: skip


def test_a_fetch_that_begins_inside_a_batch_and_ends_inside_another() -> None:
    data = batch(GOOD) + batch(GOOD, base=3)
    assert read(data[:-1], 1) == ([(1, b"b"), (2, b"c")], 3)


def test_snappy_as_the_java_library_writes_it() -> None:
    data = framed(xerial(records(GOOD * 40)), count=120, attributes=2)
    found, end = read(data)
    assert (len(found), end) == (120, 120)


@pytest.mark.parametrize(
    ("bytes_kept", "blocks_kept"),
    [(16 + 3, 0), (16 + 4, 0), (-1, 2)],
    ids=["in a length", "after a length", "in the last block"],
)
def test_snappy_of_the_java_library_that_ends_too_early(bytes_kept: int, blocks_kept: int) -> None:
    data, fault, _ = unpack(2, xerial(b"abc" * 10, size=10)[:bytes_kept])
    assert data == (b"abc" * 10)[: 10 * blocks_kept]
    assert fault == "is not snappy as its header says (it ends too early)"


def test_blocks_of_snappy_share_one_room() -> None:
    """Each alone would fit."""
    mebibytes = UNPACKED_BYTES_MAX // 2**20
    assert unpack(2, xerial(bytes(mebibytes * 2**20), size=2**20)).fault == ""
    data, fault, too_large = unpack(2, xerial(bytes((mebibytes + 1) * 2**20), size=2**20))
    assert (len(data), too_large) == (UNPACKED_BYTES_MAX, True)
    assert fault == f"is snappy that unpacks to more than {UNPACKED_BYTES_MAX} bytes"


def test_several_members_of_gzip_and_frames_of_zstd() -> None:
    one, two = records(GOOD)[:5], records(GOOD)[5:]
    for codec in ("gzip", "zstd", "lz4"):
        data = framed(packed(codec, one) + packed(codec, two), count=3, attributes=CODECS[codec])
        assert read(data) == ([(0, b"a"), (1, b"b"), (2, b"c")], 3), codec


def test_markers_of_transactions_are_passed_over() -> None:
    marker = framed(field(b"\0\0\0" + field(b"\0\0\0\1") + field(b"")), base=3, attributes=0x30)
    assert read(batch(GOOD) + marker) == ([(0, b"a"), (1, b"b"), (2, b"c")], 4)


# -- what cannot be read ---------------------------------------------------------------------------

CUT = packed("zstd", records(GOOD))[:-6]

CASES: dict[str, tuple[bytes, list[object], int]] = {
    "a header name that is not UTF-8": (
        batch([Entry(b"a"), ODD_NAME, Entry(b"c")]),
        [(0, b"a"), "1-1: malformed", (2, b"c")], 3,
    ),
    "the same, packed": (
        batch([Entry(b"a"), ODD_NAME, Entry(b"c")], codec="zstd"),
        [(0, b"a"), "1-1: malformed", (2, b"c")], 3,
    ),
    "a record that is shorter than it says": (
        batch([Entry(b"a"), Entry(raw=b"\0\0\2\x14"), Entry(b"c")]),
        [(0, b"a"), "1-1: malformed", (2, b"c")], 3,
    ),
    "a record whose length leads nowhere": (
        framed(records(GOOD[:1]) + varint(2**40) + b"junk", count=3),
        [(0, b"a"), "1-2: malformed"], 3,
    ),
    "a record whose length never ends": (
        framed(records(GOOD[:1]) + b"\xff" * 20, count=3), [(0, b"a"), "1-2: malformed"], 3,
    ),
    "fewer records than offsets, and bytes left": (
        framed(records(GOOD[:2]) + b"\0\0", count=3), [(0, b"a"), (1, b"b"), "2-2: malformed"], 3,
    ),
    "an offset outside of its batch": (
        batch([Entry(b"a"), Entry(b"b", delta=10**9), Entry(b"c")]),
        [(0, b"a"), "1-1: malformed", (2, b"c")], 3,
    ),
    "an offset before the last one": (
        batch([Entry(b"a"), Entry(b"b", delta=-7), Entry(b"c")]),
        [(0, b"a"), "1-1: malformed", (2, b"c")], 3,
    ),
    "more headers than anybody has": (
        batch([Entry(b"a"), Entry(b"b", headers=[(b"", None)] * 1001), Entry(b"c")]),
        [(0, b"a"), "1-1: oversized", (2, b"c")], 3,
    ),
    "a count of headers that was never written": (
        batch([Entry(b"a"), Entry(b"b", headers_count=2**40), Entry(b"c")]),
        [(0, b"a"), "1-1: oversized", (2, b"c")], 3,
    ),
    "a codec that Kafka does not have": (
        framed(b"??", count=3, attributes=7), ["0-2: malformed"], 3,
    ),
    "not the codec that it says": (
        framed(b"junk", count=3, attributes=1), ["0-2: malformed"], 3,
    ),
    "zstd that ends too early": (
        framed(CUT, count=3, attributes=4), [(0, b"a"), (1, b"b"), "2-2: malformed"], 3,
    ),
    "nothing where there should be zstd": (
        framed(b"", count=2, attributes=4), ["0-1: malformed"], 2,
    ),
    "message format 1": (
        struct.pack(">qiIBBq", 0, 22, 0, 1, 0, 0) + b"\xff" * 8, ["0-0: malformed"], 1,
    ),
    "an end before the beginning": (framed(records(GOOD[:1]), last_delta=-9), [(0, b"a")], 1),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_has_a_stand_in_and_its_neighbours_are_read(case: str) -> None:
    data, expected, end = CASES[case]
    assert read(data) == (expected, end)
    more = batch([Entry(b"next")], base=end)
    assert read(data + more) == ([*expected, (end, b"next")], end + 1)


def test_a_stand_in_says_why_and_keeps_the_bytes() -> None:
    [_, odd, _], _ = fetch(batch([Entry(b"a"), ODD_NAME, Entry(b"c")]))
    assert (odd.key, bytes(odd.value)) == (b"k", b"odd")
    assert odd.value.detail == r"the header name b'\xff\xfe' is not UTF-8"
    data = framed(b"??", base=7, count=3, attributes=7)
    [unknown], _ = fetch(data, 7)
    assert bytes(unknown.value) == data
    assert unknown.value.detail == (
        "the batch of offsets 7 to 9 is packed with codec 7, which Kafka does not have"
    )
    assert after(unknown) == 10


def test_a_wrong_checksum_is_fetched_once_more_and_then_read_as_far_as_it_goes() -> None:
    """Once it may have been the wire. What is signed is its own proof."""
    good = batch(GOOD)
    wrong = bytearray(batch([Entry(b"d"), Entry(b"e"), Entry(b"f")], base=3))
    wrong[HEADER.size + 1] ^= 0x01
    data = good + bytes(wrong) + batch([Entry(b"g")], base=6)
    before = [(0, b"a"), (1, b"b"), (2, b"c")]
    assert read(data) == (before, 3)
    assert read(data[len(good) :], 3) == ([(3, b"d"), (4, b"e"), (5, b"f"), (6, b"g")], 7)


def test_a_wrong_checksum_on_broken_records() -> None:
    wrong = bytearray(batch(GOOD))
    wrong[HEADER.size] = 0x7F
    assert read(bytes(wrong)) == ([], 0)
    found, end = fetch(bytes(wrong))
    assert (shown(found), end) == (["0-2: malformed"], 3)
    assert found[0].value.detail == "the batch of offsets 0 to 2 has a wrong checksum"
    assert bytes(found[0].value) == bytes(wrong)


@pytest.mark.parametrize("size", [-1, 0, 48])
def test_broken_framing_is_the_brokers_fault_and_stops(size: int) -> None:
    """After what could be read before it."""
    wrong = bytearray(batch(GOOD, base=3))
    struct.pack_into(">i", wrong, 8, size)
    assert read(batch(GOOD) + bytes(wrong)) == ([(0, b"a"), (1, b"b"), (2, b"c")], 3)
    with pytest.raises(DamagedLogError):
        read(bytes(wrong), 3)


def test_any_damage_with_a_right_checksum_is_survived() -> None:
    """Random bytes changed in batches of every codec; seeded."""
    chance = random.Random(7)
    many = [Entry(bytes([n]) * n, b"k", [(b"h", b"v")]) for n in range(1, 20)]
    originals = [batch(many, base=40, codec=codec) for codec in CODEC_NAMES]
    for _ in range(3000):
        wrong = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(HEADER.size, len(wrong))
            wrong[at] = chance.randrange(256)
        found, end = fetch(sealed(bytes(wrong)) + batch([Entry(b"next")], base=59), 40)
        offsets = [record.offset for record in found]
        assert offsets == sorted(set(offsets))
        assert offsets[-1] == 59
        assert end == 60
        assert all(40 <= offset < 60 for offset in offsets)


def test_any_damage_of_the_header_moves_on() -> None:
    chance = random.Random(8)
    original = batch(GOOD, base=40)
    for _ in range(3000):
        wrong = bytearray(original)
        at = chance.randrange(21, HEADER.size)
        wrong[at] = chance.randrange(256)
        assert fetch(sealed(bytes(wrong)), 40)[1] > 40


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_bomb_costs_what_the_bound_says(codec: str) -> None:
    """Its neighbours are read where they lie before it."""
    data = bomb(codec, 40, before=GOOD, after=GOOD)
    tracemalloc.start()
    found, end = fetch(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if codec == "snappy":  # one block, which says its size: nothing of it is unpacked
        assert shown(found) == ["0-6: oversized"]
    else:
        assert shown(found) == [(0, b"a"), (1, b"b"), (2, b"c"), "3-6: oversized"]
    assert end == 7
    assert peak < 3 * UNPACKED_BYTES_MAX + 2 * len(data)


def test_a_small_bomb_gets_a_small_room() -> None:
    data = packed("zstd", b"\0" * (64 * 2**20))
    assert len(data) < 10_000
    done = unpack(CODECS["zstd"], data)
    assert done.too_large
    assert len(done.data) < 3 * 2**20


def test_a_large_fetch_is_read_in_parts() -> None:
    """The rest of its batches is fetched again."""
    one = batch([Entry(b" " * (3 * 2**20))])
    data = b"".join(struct.pack(">q", n) + one[8:] for n in range(20))
    found, end = fetch(data)
    assert end == len(found) == 11
    assert fetch(data[11 * len(one) :], 11)[1] == 20


def test_a_body_over_the_wires_limit_is_cut() -> None:
    """In a batch that is read with care; what is small enough is judged by its size later."""
    [one, two], _ = fetch(batch([Entry(b"x" * (5 * 2**20)), Entry(b"y")]))
    assert (one.value.reason, len(one.value), two.value) == (Verdict.OVERSIZED, 2**20, b"y")


def test_headers_cannot_fill_the_memory() -> None:
    """Six megabytes of headers would be two million tuples, half a gigabyte."""
    count = 2 * 2**20
    raw = b"\0\0\0" + field(b"k") + field(b"v") + varint(count) + (field(b"") + field(b"x")) * count
    data = batch([Entry(raw=raw), Entry(b"b")])
    tracemalloc.start()
    assert read(data) == (["0-0: oversized", (1, b"b")], 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < UNPACKED_BYTES_MAX


def test_a_stand_in_says_itself_why_it_is_a_dead_letter() -> None:
    """Whatever its bytes look like; it has no headers, so no signature admits it."""
    [_, odd, _], _ = fetch(batch([Entry(b"a"), ODD_NAME, Entry(b"c")]))
    letter = dead_letter(odd, Refusal(Verdict.UNSIGNED, "the header kid is missing"))
    assert (letter.reason, letter.detail) == (Verdict.MALFORMED, odd.value.detail)
    assert (letter.offset, letter.key, letter.payload, letter.headers) == (1, b"k", b"odd", ())


# -- what is taken for granted ---------------------------------------------------------------------


def test_aiokafka_is_the_one_that_was_read() -> None:
    assert version("aiokafka").startswith("0.14.")


def test_the_fetcher_reads_what_is_installed() -> None:
    batches.install()
    assert fetcher.MemoryRecords is Batches
    assert "MemoryRecords(part_data[-1])" in inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    used = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "records.has_next()" in used
    assert "records.size_in_bytes()" in used
    assert fetcher.PartitionRecords is Fetched
    assert "PartitionRecords(" in used
    theirs, ours = (inspect.signature(one.__init__) for one in (PartitionRecords, Fetched))
    assert list(theirs.parameters)[:5] == [
        "self", "tp", "records", "aborted_transactions", "fetch_offset",
    ]  # fmt: skip
    assert len(ours.parameters) == 6
    result = inspect.getsource(fetcher.FetchResult)
    used_of_it = set(re.findall(r"_partition_records\.(\w+)", result))
    assert used_of_it == {"next_fetch_offset"}


def test_the_c_batch_reads_plain_bytes_of_one_batch() -> None:
    inner = DefaultRecordBatch(memoryview(batch(GOOD, base=9)))
    assert inner.validate_crc()
    assert [(record.offset, record.value) for record in inner] == [
        (9, b"a"),
        (10, b"b"),
        (11, b"c"),
    ]
    assert (inner.compression_type, inner.timestamp_type, inner.next_offset) == (0, 0, 12)
