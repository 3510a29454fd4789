"""Admission of a chunk: one fate per message, poison without victims, columns that line up."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.names import NamesCache
from pipeline.partition import partition_of
from pipeline.records import Batch, Chunk
from schemas.envelope import Key
from schemas.meters import METERS, UNBOUNDED_PER_SECOND
from schemas.report import VALUE_MAX, Report, content_hash, encode
from schemas.verdict import DeadLetter, Verdict
from tests.schemas.messages import (
    ENVIRONMENT,
    KEY,
    PART,
    PARTITIONS,
    REPORT,
    TOPIC,
    Message,
    chunk,
    signed,
    spelled,
)

# A second server of the same partition.
NEIGHBOUR = next(
    f"ams-{n}" for n in range(999) if partition_of(f"ams-{n}".encode(), PARTITIONS) == PART
)
NEIGHBOUR_KEY = Key("k-neighbour", NEIGHBOUR, b"a secret of the neighbour")
KEYRING = Keyring([KEY, NEIGHBOUR_KEY, Key("k-astray", "fra-1043", b"astray")])


def read(
    whole: Chunk, cache: NamesCache | None = None, *, fast: bool = True
) -> tuple[Batch, list[DeadLetter]]:
    return decode(
        whole,
        KEYRING,
        cache or NamesCache(),
        environment=ENVIRONMENT,
        partitions=PARTITIONS,
        fast=fast,
    )


ASTRAY = replace(REPORT, server="fra-1043")
REFUSED = [
    # In the order of admission: each message is wrong in all later ways as well.
    (Message(b" " * 5_000_000, key=b"?"), Verdict.OVERSIZED, "the body has 5000000 bytes"),
    (Message(b"{", key=b"?"), Verdict.MALFORMED, "the body is not strict JSON"),
    (Message(spelled(v=2, seq=0), key=b"?"), Verdict.UNKNOWN_VERSION, "v is 2"),
    (Message(spelled(seq=0), key=b"?"), Verdict.MALFORMED, "seq is 0"),
    (
        Message(spelled(), key=b"ams-7"),
        Verdict.FOREIGN,
        "the message key is b'ams-7': it must be the server, \"fra-1042\"",
    ),
    (
        Message(encode(ASTRAY), key=b"fra-1043"),
        Verdict.FOREIGN,
        f"of 12, not to {PART}: publish with partitioner=murmur2_random",
    ),
    (Message(encode(REPORT)), Verdict.UNSIGNED, "the header kid is missing"),
    # What Kafka allows and no agent sends.
    (Message(None), Verdict.MALFORMED, "the body is empty"),
    (Message(None, key=None), Verdict.MALFORMED, "the body is empty"),
    (signed(key=KEY, offset=2**62, timestamp=-1), Verdict.UNKNOWN_KEY, "was appended at -1"),
    (replace(signed(), key=None), Verdict.FOREIGN, "the message key is null"),
    (replace(signed(), key=b"\xff" * 999), Verdict.FOREIGN, r"the message key is b'\xff"),
    (replace(signed(), key=b"fra-1042 "), Verdict.FOREIGN, "the message key is b'fra-1042 '"),
]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("message", "reason", "sentence"), REFUSED)
def test_refused(message: Message, reason: Verdict, sentence: str, fast: bool) -> None:
    batch, [letter] = read(chunk(message), fast=fast)
    assert len(batch) == 0
    assert letter.reason is reason
    assert sentence in letter.detail
    assert len(letter.detail) < 400


@pytest.mark.parametrize(("message", "reason", "sentence"), REFUSED)
def test_poison_never_harms_its_neighbours(
    message: Message, reason: Verdict, sentence: str
) -> None:
    neighbour = replace(REPORT, server=NEIGHBOUR, value=(1, 2))
    good = [signed(offset=3), signed(neighbour, key=NEIGHBOUR_KEY, offset=9)]
    for position in range(3):
        messages = [*good[:position], message, *good[position:]]
        batch, [letter] = read(chunk(*messages))
        assert letter.reason is reason
        assert batch.server == ["fra-1042", NEIGHBOUR]
        assert [batch.row(0).tolist(), batch.row(1).tolist()] == [list(REPORT.value), [1, 2]]
        assert [messages[i] for i in batch.record] == good


def test_a_dead_letter_holds_the_whole_message_and_its_place() -> None:
    message = Message(b"x" * 900, (("kid", b"k"),), key=b"\xff", offset=77, timestamp=123)
    _, [letter] = read(chunk(message))
    assert letter == DeadLetter(
        offset=77,
        reason=Verdict.MALFORMED,
        detail="the body is not strict JSON in UTF-8: Expecting value: line 1 column 1 (char 0)",
        key=b"\xff",
        payload=b"x" * 900,
        headers=(("kid", b"k"),),
        append_ms=123,
        by_broker=True,
    )


@pytest.mark.parametrize("fast", [True, False])
def test_columns_line_up(fast: bool) -> None:
    wide = Report(
        *(NEIGHBOUR, "o-2", 5, 2**61, 6, 7, 8),
        meter=("cpu.busy_ms", "quantum.flips", "net.rx_bytes"),
        resource=("", "q0", "eth0"),
        value=(0, VALUE_MAX, 10**18 - 1),
    )
    messages = [
        signed(offset=10, timestamp=1_000),
        signed(wide, key=NEIGHBOUR_KEY, offset=15, timestamp=2_000),
        Message(b"poison", offset=16),
        signed(replace(REPORT, seq=42), offset=400, timestamp=3_000),
    ]
    cache = NamesCache()
    read(chunk(*messages), cache)
    batch, dead = read(chunk(*messages), cache, fast=fast)
    assert [letter.offset for letter in dead] == [16]
    assert batch.record.tolist() == [0, 1, 3]
    assert batch.append_ms.tolist() == [1_000, 2_000, 3_000]
    assert batch.server == ["fra-1042", NEIGHBOUR, "fra-1042"]
    assert batch.origin == ["0f5c1e6a-77", "o-2", "0f5c1e6a-77"]
    assert batch.since_ms.tolist() == [REPORT.since_ms, 5, REPORT.since_ms]
    assert batch.seq.tolist() == [41, 2**61, 42]
    assert batch.at_ms.tolist() == [REPORT.at_ms, 6, REPORT.at_ms]
    assert batch.at_up_ms.tolist() == [REPORT.at_up_ms, 7, REPORT.at_up_ms]
    assert batch.sent_up_ms.tolist() == [REPORT.sent_up_ms, 8, REPORT.sent_up_ms]
    assert batch.start.tolist() == [0, 2, 5, 7]
    assert batch.row(1).tolist() == [0, VALUE_MAX, 10**18 - 1]
    assert batch.names[1].meter == ("cpu.busy_ms", "quantum.flips", "net.rx_bytes")
    assert batch.names[1].resource == ("", "q0", "eth0")
    assert batch.names[1].per_second_max.tolist() == [
        METERS["cpu.busy_ms"].per_second_max,
        UNBOUNDED_PER_SECOND,
        METERS["net.rx_bytes"].per_second_max,
    ]
    assert batch.names[0] is batch.names[2]


@pytest.mark.parametrize("messages", [[Message(b"")], [signed(), Message(b"")]])
def test_columns_are_int64_even_when_empty(messages: list[Message]) -> None:
    batch, _ = read(chunk(*messages))
    for name in ("record", "append_ms", "since_ms", "seq", "at_ms", "at_up_ms", "sent_up_ms"):
        column = getattr(batch, name)
        assert (column.dtype, column.shape) == (np.int64, (len(batch),))
    assert batch.content.dtype == batch.value.dtype == batch.start.dtype == np.int64
    assert len(batch.start) == len(batch) + 1


def test_content_is_the_same_in_every_spelling() -> None:
    """A retry through other software is a duplicate, no conflict; the sending stamp is left out."""
    later = replace(REPORT, sent_up_ms=REPORT.sent_up_ms + 60_000)
    odd = spelled().replace(b"net.tx", rb"\u006eet.tx")
    batch, _ = read(chunk(signed(), signed(body=odd), signed(later)))
    names = b'"meter":["net.tx_bytes","gpu.busy_ms"],"resource":["eth0","GPU-5d1c"]'
    expected = content_hash(REPORT.at_ms, REPORT.at_up_ms, names, b"8123456789,360000")
    assert batch.content.tolist() == [expected] * 3
    assert batch.names[0] is batch.names[1]


def test_other_counters_are_other_content() -> None:
    other = replace(REPORT, value=(1, 2))
    batch, _ = read(chunk(signed(), signed(other)))
    assert batch.content[0] != batch.content[1]


def test_the_topic_of_the_chunk_is_the_signed_one() -> None:
    _, [letter] = read(Chunk(f"{TOPIC}.copy", PART, [signed()]))
    assert letter.reason is Verdict.FORGED
