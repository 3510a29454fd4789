"""The fast path and the explaining path reach one verdict on every input, alone or in company."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.decode import NamesCache, decode
from pipeline.keyring import Keyring
from pipeline.records import Batch
from schemas.envelope import Key
from schemas.report import MESSAGE_BYTES_MAX, Report, content_hash, encode, names_json
from schemas.validate import explain
from schemas.verdict import DeadLetter, Verdict
from tests.schemas.grammar import NAMES, bodies, canonical, edges, huge, reports
from tests.schemas.messages import REPORT, Message, chunk, signed

KEYRING = Keyring(
    Key(server, server, b"secret") for server in ["fra-1042", "a b/c~!", "é", 'q"\\', "s", "7"]
)


def send(body: bytes) -> Message:
    """Signed as its own server would, when there is any way to read one from it."""
    report = explain(body)
    if not isinstance(report, Report):
        return Message(body)
    return signed(report, key=Key(report.server, report.server, b"secret"), body=body)


def run(
    messages: list[Message], cache: NamesCache, *, fast: bool
) -> tuple[Batch, list[DeadLetter]]:
    whole = chunk(*messages, part=0)
    return decode(whole, KEYRING, cache, environment="production", partitions=1, fast=fast)


def rows(batch: Batch) -> list[tuple[Any, ...]]:
    """Every decoded field of every row, as plain Python."""
    return [
        (
            int(batch.record[i]),
            *(int(batch.append_ms[i]), batch.server[i], batch.origin[i], int(batch.since_ms[i])),
            *(int(batch.seq[i]), int(batch.at_ms[i]), int(batch.at_up_ms[i])),
            *(int(batch.sent_up_ms[i]), int(batch.content[i]), batch.row(i).tolist()),
            *(batch.names[i].meter, batch.names[i].resource),
            batch.names[i].per_second_max.tolist(),
        )
        for i in range(len(batch))
    ]


def warmed() -> NamesCache:
    """A cache that knows all names of the grammar, so that the fast path gets its chance."""
    cache = NamesCache()
    known = [
        replace(REPORT, meter=meter, resource=resource, value=(0,) * len(meter))
        for meter, resource in NAMES
    ]
    _, dead = run([send(encode(report)) for report in known], cache, fast=True)
    assert dead == []
    return cache


def check_both_paths(messages: list[Message]) -> None:
    cold, cold_dead = run(messages, NamesCache(), fast=True)
    warm, warm_dead = run(messages, warmed(), fast=True)
    explained, explained_dead = run(messages, NamesCache(), fast=False)
    assert rows(cold) == rows(warm) == rows(explained)
    assert cold_dead == warm_dead == explained_dead


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bodies(), min_size=1, max_size=6))
def test_both_paths_agree_on_verdict_sentence_and_every_field(sent: list[bytes]) -> None:
    check_both_paths([send(body) for body in sent])


@pytest.mark.parametrize(("meter", "resource"), NAMES)
def test_both_paths_agree_at_every_edge(meter: tuple[str, ...], resource: tuple[str, ...]) -> None:
    value = tuple(range(len(meter)))
    report = replace(REPORT, meter=meter, resource=resource, value=value)
    check_both_paths([send(body) for body in edges(report)])


@settings(max_examples=12, deadline=None)
@given(huge(), canonical())
def test_both_paths_agree_on_huge_and_deep_bodies(body: bytes, neighbour: bytes) -> None:
    check_both_paths([send(neighbour), send(body), send(neighbour)])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bodies(), min_size=1, max_size=6))
def test_a_fate_does_not_depend_on_the_neighbours(sent: list[bytes]) -> None:
    messages = [send(body) for body in sent]
    together, dead = run(messages, warmed(), fast=True)
    alone = [run([message], NamesCache(), fast=True) for message in messages]
    accepted = [(i, row[1:]) for i, (batch, _) in enumerate(alone) for row in rows(batch)]
    assert [(row[0], row[1:]) for row in rows(together)] == accepted
    assert dead == [letter for _, letters in alone for letter in letters]


@settings(deadline=None)
@given(reports())
def test_what_an_agent_writes_is_read_back(report: Report) -> None:
    batch, dead = run([send(encode(report))], NamesCache(), fast=True)
    if any(value > 2**63 - 17 for value in report.value):
        assert [letter.reason for letter in dead] == ["malformed"]
        return
    names = names_json(report.meter, report.resource).encode()
    digits = ",".join(map(str, report.value)).encode()
    assert dead == []
    assert rows(batch) == rows(run([send(encode(report))], warmed(), fast=True)[0])
    assert batch.row(0).tolist() == list(report.value)
    assert batch.content.tolist() == [content_hash(report.at_ms, report.at_up_ms, names, digits)]


def test_the_fast_path_is_taken() -> None:
    """Else all of the above compares the explaining path with itself."""
    cache = NamesCache()
    first, _ = run([signed(key=Key("fra-1042", "fra-1042", b"secret"))], cache, fast=True)
    message = signed(key=Key("fra-1042", "fra-1042", b"secret"))
    batch, _ = run([message], cache, fast=True)
    assert batch.names[0] is first.names[0]


def test_known_names_do_not_excuse_a_body_over_the_limit() -> None:
    """The names alone nearly fill it: small counters still fit, large ones do not."""
    size = 3_900
    wide = replace(
        REPORT,
        meter=("m" * 242,) * size,
        resource=tuple(f"{i:04}" for i in range(size)),
        value=(1,) * size,
    )
    small, large = encode(wide), encode(replace(wide, value=(10**15,) * size))
    assert len(small) < MESSAGE_BYTES_MAX < len(large)
    key = Key("fra-1042", "fra-1042", b"secret")
    messages = [signed(wide, body=body, key=key) for body in (small, large, small)]
    cache = NamesCache()
    run(messages, cache, fast=True)
    batch, dead = run(messages, cache, fast=True)
    assert batch.record.tolist() == [0, 2]
    assert [letter.reason for letter in dead] == [Verdict.OVERSIZED]
