"""Records read together are those that are read one by one, whatever the bytes."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from pipeline import batches
from pipeline.batches import ALIKE_MIN, Batches, Fetched
from pipeline.keyring import Keyring, Verifier
from pipeline.records import Taped
from pipeline.rows import HEADERS_MAX, Frames, Row, rows_of
from schemas.envelope import Key, headers
from schemas.report import Report, encode
from schemas.verdict import Verdict
from tests.frames import CODECS, HEADER, Entry, batch, framed, records, sealed

KEY = Key("k-1", "s-1", b"s" * 32)
MANY = ALIKE_MIN + 12


def report(seq: int) -> Report:
    return Report(
        server="s-1", origin="o-1", since_ms=1, seq=seq, at_ms=1_790_000_000_000 + seq,
        at_up_ms=seq, sent_up_ms=seq, meter=("cpu.busy_ms",), resource=("",), value=(seq * 7,),
    )  # fmt: skip


def signed(seq: int) -> Entry:
    one, body = report(seq), encode(report(seq))
    named = headers(one, body, KEY, "dev", "t")
    return Entry(body, b"s-1", [(name.encode(), value) for name, value in named])


ALIKE = [signed(seq) for seq in range(1, MANY + 1)]


def fetch(data: bytes, at: int = 0) -> tuple[list[Any], int]:
    Batches.suspects.clear()
    reader = Fetched(TopicPartition("t", 0), Batches(data), None, at, None, None, True, 0)
    return list(reader), reader.next_fetch_offset


def said(record: Any) -> tuple[object, ...]:
    return (
        record.offset, record.timestamp, record.timestamp_type, record.key, record.value,
        list(record.headers),
    )  # fmt: skip


def one_by_one(monkeypatch: pytest.MonkeyPatch, data: bytes, at: int) -> tuple[list[Any], int]:
    with monkeypatch.context() as patch:
        patch.setattr(batches, "ALIKE_MIN", 10**9)
        found, end = fetch(data, at)
        assert not any(isinstance(record, Row) for record in found)
        return found, end


def same_both_ways(monkeypatch: pytest.MonkeyPatch, data: bytes, at: int = 0) -> list[Any]:
    found, end = fetch(data, at)
    alone, alone_end = one_by_one(monkeypatch, data, at)
    assert ([said(record) for record in found], end) == ([said(one) for one in alone], alone_end)
    return found


def singles(entries: list[Entry], base: int = 0, size: int = 1) -> bytes:
    """Batches of so many records."""
    return b"".join(
        batch(entries[i : i + size], base=base + i) for i in range(0, len(entries), size)
    )


WAYS: dict[str, Callable[[list[Entry], int], bytes]] = {
    **{codec: lambda e, base, c=codec: batch(e, base=base, codec=c) for codec in CODECS},  # type: ignore[misc]
    "a batch each": singles,
    "seven in a batch": lambda entries, base: singles(entries, base, 7),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_agents_send_is_read_together(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    found = same_both_ways(monkeypatch, WAYS[way](ALIKE, 7), 7)
    assert [type(record) for record in found] == [Row] * MANY
    assert {record.names for record in found} == {
        tuple(name.decode() for name, _ in ALIKE[0].headers)
    }


def test_a_fetch_that_begins_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (batch(ALIKE, base=7), singles(ALIKE, 7), singles(ALIKE, 7, 9)):
        found = same_both_ways(monkeypatch, data, 20)
        assert [record.offset for record in found] == list(range(20, 7 + MANY))


ODD: dict[str, Entry] = {
    "no headers": Entry(b"v"),
    "another order": Entry(b"v", b"k", ALIKE[0].headers[::-1]),
    "one more": Entry(b"v", b"k", [*ALIKE[0].headers, (b"retry", b"1")]),
    "a name of another length": Entry(b"v", b"k", [(b"x", b"1"), *ALIKE[0].headers[1:]]),
    "no key": Entry(b"v", None, ALIKE[0].headers),
    "no body": Entry(None, b"k", ALIKE[0].headers),
    "a null header": Entry(b"v", b"k", [*ALIKE[0].headers[:-1], (b"sig", None)]),
    "an offset twice": Entry(b"v", b"k", ALIKE[0].headers, delta=3),
    "a count that is not true": Entry(b"v", b"k", ALIKE[0].headers, headers_count=7),
    "a count below zero": Entry(b"v", b"k", ALIKE[0].headers, headers_count=-1),
    "no record": Entry(raw=b"\0"),
}


@pytest.mark.parametrize("case", ODD)
def test_one_that_is_not_like_the_others(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    entries = [*ALIKE[:20], ODD[case], *ALIKE[20:]]
    for data in (batch(entries), singles(entries), singles(entries, size=6)):
        same_both_ways(monkeypatch, data)


@pytest.mark.parametrize(
    "named",
    [
        [(b"kid", b"a"), (b"kid", b"b")],
        [(b"\xff", b"a")],
        [(b"n", b"a")] * (HEADERS_MAX + 1),
        [],
        [(b"", b"")],
        [(b"ce_id", b"1")],
        [(b"n\xc3\xa4me", b"a"), (b"n\xc3\xa4me", b"b")],
    ],
    ids=["kid twice", "not UTF-8", "too many", "none", "empty", "one", "another one twice"],
)
def test_all_of_them_odd_alike(
    monkeypatch: pytest.MonkeyPatch, named: list[tuple[bytes, bytes]]
) -> None:
    entries = [Entry(b"v" * n, b"k", named) for n in range(MANY)]
    for data in (batch(entries), singles(entries)):
        same_both_ways(monkeypatch, data)


@pytest.mark.parametrize("by_broker", [0, 8])
def test_time_stamps(monkeypatch: pytest.MonkeyPatch, by_broker: int) -> None:
    data = framed(records(ALIKE), base=5, count=MANY, attributes=by_broker)
    found = same_both_ways(monkeypatch, data, 5)
    assert {record.timestamp_type for record in found} == {int(by_broker > 0)}


@pytest.mark.parametrize("size", [MANY, 1, 6])
def test_any_damage_is_read_alike(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Random bytes changed in honest batches, and the checksums made right again."""
    chance = random.Random(f"{size} 11")
    whole = 0
    for _ in range(400):
        parts = [batch(ALIKE[i : i + size], base=i) for i in range(0, MANY, size)]
        for _ in range(chance.randrange(1, 4)):
            i = chance.randrange(len(parts))
            wrong = bytearray(parts[i])
            wrong[chance.randrange(HEADER.size, len(wrong))] = chance.randrange(256)
            parts[i] = sealed(bytes(wrong))
        found = same_both_ways(monkeypatch, b"".join(parts))
        whole += sum(isinstance(record, Row) for record in found) >= MANY
    assert 20 < whole < 400, "some damage changes bytes only, some the framing"


def test_few_are_not_worth_it() -> None:
    found, _ = fetch(batch(ALIKE[: ALIKE_MIN - 1]))
    assert not any(isinstance(record, Row) for record in found)


def test_an_odd_run_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again for each of its batches; what follows it is read together."""
    looks = []

    def counted(data: bytes, frames: Frames) -> list[Row] | None:
        looks.append(1)
        return rows_of(data, frames)

    monkeypatch.setattr(batches, "rows_of", counted)
    monkeypatch.setattr(batches, "ALIKE_MAX", MANY)
    found, _ = fetch(singles([ODD["no headers"], *ALIKE[1:], *ALIKE]))
    assert [isinstance(record, Row) for record in found] == [False] * MANY + [True] * MANY
    assert len(looks) == 2


def test_the_verdict_is_the_same_from_a_row() -> None:
    verifier = Verifier(Keyring([KEY]), "dev", "t")
    [row, *_], _ = fetch(batch(ALIKE))
    assert isinstance(row, Row)
    forged = row._replace(sig=b"0" * 64)
    unsigned = row._replace(sig=None)
    other = row._replace(ce_id=b"s-1/o-1/9")
    verdicts = [
        verifier.refusal("s-1", b"s-1/o-1/1", one.value, one)
        for one in (row, forged, unsigned, other)
    ]
    assert [refusal and refusal.reason for refusal in verdicts] == [
        None, Verdict.FORGED, Verdict.UNSIGNED, Verdict.MALFORMED,
    ]  # fmt: skip
    plain = Taped(row.offset, row.timestamp, 0, row.key, row.value, row.headers)
    assert verifier.refusal("s-1", b"s-1/o-1/1", row.value, plain) is None
