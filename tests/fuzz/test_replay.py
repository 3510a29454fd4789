"""What fuzzing found worth keeping, tried again without a fuzzer: every past find stays mended."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.verdict import Verdict
from tests.fuzz import decoding, kept, metering
from tests.schemas.grammar import all_edges

BYTES_MAX = 300_000


def replayed(target: str, check: Callable[[bytes], Any]) -> list[Any]:
    """What ``check`` returns for each input; an exception names its input."""
    results = []
    for data in kept.read(kept.path(target)) + kept.read(kept.finds(target)):
        try:
            results.append(check(data))
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise
    return results


def test_admission_keeps_its_laws_and_each_verdict_is_tried() -> None:
    results = replayed("decoding", decoding.check)
    refused = {letter.reason for _, dead in results for letter in dead}
    assert refused == {
        *(Verdict.MALFORMED, Verdict.UNKNOWN_VERSION, Verdict.FOREIGN),
        *(Verdict.UNSIGNED, Verdict.UNKNOWN_KEY, Verdict.FORGED),
    }
    assert sum(len(batch) for batch, _ in results) >= 40, "else the fast path has no chance"


def test_metering_keeps_its_laws_and_each_verdict_is_tried() -> None:
    results = replayed("metering", metering.check)
    met = {verdict for world in results for verdict in world.verdicts}
    assert met == {
        *(Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.LATE),
        *(Verdict.CONFLICT, Verdict.REGRESSION, Verdict.IMPLAUSIBLE),
    }


def test_a_fast_path_that_reads_more_than_it_may_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a law that is broken would not be found."""
    monkeypatch.setattr("pipeline.decode._VALUES", re.compile(rb"[0-9]+(?:,[0-9]+)*"))
    with pytest.raises(AssertionError):
        [decoding.check(body) for body in all_edges()]


@pytest.mark.parametrize("target", ["decoding", "metering"])
def test_the_corpus_stays_small(target: str) -> None:
    assert 10_000 < kept.path(target).stat().st_size < BYTES_MAX


def test_any_input_can_be_kept_as_a_line(tmp_path: Path) -> None:
    inputs = [b"", b"\n", b"\\n", bytes(range(256)), b"\xff\\u0041"]
    kept.write(tmp_path / "kept.txt", inputs)
    assert kept.read(tmp_path / "kept.txt") == sorted(inputs, key=kept.line)
