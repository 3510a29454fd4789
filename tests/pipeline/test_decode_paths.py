"""The fast path and the explaining path reach one verdict on every input, alone or in company."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.names import NamesCache
from schemas.report import MESSAGE_BYTES_MAX, Report, content_hash, encode, names_json
from schemas.verdict import Verdict
from tests.pipeline.paths import Reader, key_of, rows, send
from tests.schemas.grammar import NAMES, bodies, canonical, edges, huge, reports
from tests.schemas.messages import REPORT, signed


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bodies(), min_size=1, max_size=6))
def test_both_paths_agree_on_verdict_sentence_and_every_field(sent: list[bytes]) -> None:
    Reader.of(sent).check_both_paths([send(body) for body in sent])


@pytest.mark.parametrize(("meter", "resource"), NAMES)
def test_both_paths_agree_at_every_edge(meter: tuple[str, ...], resource: tuple[str, ...]) -> None:
    value = tuple(range(len(meter)))
    report = replace(REPORT, meter=meter, resource=resource, value=value)
    sent = list(edges(report))
    Reader.of(sent).check_both_paths([send(body) for body in sent])


@settings(max_examples=12, deadline=None)
@given(huge(), canonical())
def test_both_paths_agree_on_huge_and_deep_bodies(body: bytes, neighbour: bytes) -> None:
    Reader.of([neighbour]).check_both_paths([send(neighbour), send(body), send(neighbour)])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(bodies(), min_size=1, max_size=6))
def test_a_fate_does_not_depend_on_the_neighbours(sent: list[bytes]) -> None:
    Reader.of(sent).check_alone([send(body) for body in sent])


@settings(deadline=None)
@given(reports())
def test_what_an_agent_writes_is_read_back(report: Report) -> None:
    body = encode(report)
    reader = Reader.of([body])
    batch, dead = reader.run([send(body)], NamesCache(), fast=True)
    if any(value > 2**63 - 17 for value in report.value):
        assert [letter.reason for letter in dead] == ["malformed"]
        return
    names = names_json(report.meter, report.resource).encode()
    digits = ",".join(map(str, report.value)).encode()
    assert dead == []
    assert rows(batch) == rows(reader.run([send(body)], reader.warmed(), fast=True)[0])
    assert batch.row(0).tolist() == list(report.value)
    assert batch.content.tolist() == [content_hash(report.at_ms, report.at_up_ms, names, digits)]


def test_the_fast_path_is_taken() -> None:
    """Else all of the above compares the explaining path with itself."""
    cache, body = NamesCache(), encode(REPORT)
    first, _ = Reader.of([body]).run([send(body)], cache, fast=True)
    batch, _ = Reader.of([body]).run([send(body)], cache, fast=True)
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
    messages = [signed(wide, body=body, key=key_of("fra-1042")) for body in (small, large, small)]
    reader, cache = Reader.of([small]), NamesCache()
    reader.run(messages, cache, fast=True)
    batch, dead = reader.run(messages, cache, fast=True)
    assert batch.record.tolist() == [0, 2]
    assert [letter.reason for letter in dead] == [Verdict.OVERSIZED]
