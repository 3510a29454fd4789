"""Records of a segment: what is read is a prefix of what was written, never something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.frames import PAYLOAD_BYTES_MAX, Waiting, frame, frames, thinned, waiting_of
from schemas.report import Report


def waiting(seq: int, origin: str = "o1") -> Waiting:
    report = Report("größe", origin, 1, seq, 2, 3, 3, ("cpu.busy_ms",), ("",), (seq,))
    return Waiting(report, "boot-1")


RECORDS = [frame(waiting(seq)) for seq in range(3)]
BODY = b"".join(RECORDS)
ENDS = [end for end, _ in frames(BODY)]


def read(body: bytes) -> list[Waiting]:
    return [waiting_of(payload) for _, payload in frames(body)]


def test_everything_comes_back() -> None:
    assert read(BODY) == [waiting(0), waiting(1), waiting(2)]
    assert ENDS[-1] == len(BODY)
    assert read(frame(Waiting(waiting(1).report))) == [Waiting(waiting(1).report)]


def test_torn_at_every_byte() -> None:
    for length in range(len(BODY)):
        sound = sum(end <= length for end in ENDS)
        assert len(read(BODY[:length])) == sound


@given(st.integers(0, 8 * len(BODY) - 1), st.integers(0, 31))
def test_a_burst_of_flipped_bits_ends_what_is_read(first: int, more: int) -> None:
    """CRC-32 finds every burst of up to 32 bits."""
    flipped = int.from_bytes(BODY, "big") ^ (((1 << more + 1) - 1) << first)
    body = (flipped & ((1 << 8 * len(BODY)) - 1)).to_bytes(len(BODY), "big")
    found = read(body)
    assert found == [waiting(seq) for seq in range(len(found))]
    assert len(found) < 3


@pytest.mark.parametrize(
    "body",
    [b"", bytes(8), bytes(4096), b"\xff" * 64, (PAYLOAD_BYTES_MAX + 1).to_bytes(4, "big") * 9],
)
def test_what_is_no_record(body: bytes) -> None:
    assert read(body) == []


@pytest.mark.parametrize(
    "payload", [b"", b"boot", b"boot\n", b"boot\n[]", b'b\n{"v":1,"meter":[]}']
)
def test_what_another_version_would_write(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a report of this version|Expecting value"):
        waiting_of(payload)


@pytest.mark.parametrize(
    ("origins", "kept"),
    [
        ("aaaa", [1, 3]),
        ("aaaaa", [0, 2, 4]),
        ("abbb", [0, 1, 3]),
        ("a", [0]),
        ("", []),
        ("abc", [0, 1, 2]),
    ],
)
def test_every_second_and_the_last_of_each_origin(origins: str, kept: list[int]) -> None:
    reports = [waiting(seq, origin) for seq, origin in enumerate(origins)]
    assert [one.report.seq for one in thinned(reports)] == kept
