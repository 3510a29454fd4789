"""The offline meter against a simulated topic and its truth: any chunks, any partitions."""

import csv
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from pipeline.admit import Rules
from pipeline.keyring import Keyring, NoSignatures
from pipeline.lanes import Intake
from pipeline.names import NamesCache
from pipeline.offline import COUNTED
from pipeline.partition import partition_of
from rackmeter.capture import read_capture, write_capture
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import PLACE, Log, registered_ms, simulate
from rackmeter.fleet.plan import FleetPlan
from rackmeter.offline import meter_file
from schemas.capture import Captured, Place
from schemas.report import Report, encode
from schemas.verdict import Verdict
from tests.rackmeter.test_usage_meter import NOTHING

WIDTH_MS = 300_000
START_MS = 20_000 * 86_400_000


@lru_cache
def log() -> Log:
    """Twelve hours with everything that can go wrong."""
    end_ms = START_MS + 12 * 3_600_000
    return simulate(FleetPlan(7, ALL_AT_ONCE, START_MS, end_ms, mishaps=3, adversities=ALL))


def intake(ring: Keyring, registered: dict[str, int]) -> Intake:
    return Intake(ring, registered, NamesCache(), PLACE.environment, 1, Rules())


def known() -> Intake:
    return intake(Keyring(log().keys), dict(registered_ms(log().keys)))


SIZES = {"one by one": (1, 2**21), "small": (7, 100), "odd": (501, 997), "all": (10**6, 2**21)}


@pytest.mark.parametrize(("messages", "cells"), SIZES.values(), ids=SIZES)
def test_windows_and_counts_are_the_truth_whatever_the_chunks(
    messages: int, cells: int, tmp_path: Path
) -> None:
    write_capture(tmp_path / "m", log().messages)
    found = meter_file(
        tmp_path / "m", known(), PLACE.topic, tmp_path / "out.csv", dead=tmp_path / "dead",
        chunk_messages=messages, run_cells=cells,
    )  # fmt: skip
    truth = log().truth
    rows = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    keys = [
        (r["server"], r["meter"], r["resource"], r["window_start"], int(r["quantity"]))
        for r in rows
    ]
    assert keys == sorted(keys)
    assert len({key[:4] for key in keys}) < len(keys), "late entries are rows of their own"
    whole = meter_file(
        tmp_path / "m", known(), PLACE.topic, tmp_path / "whole.csv", chunk_messages=10**6
    )
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert found == whole
    assert found.counts == expected_counts(truth.verdicts, truth.corrected)
    assert found.totals == sorted(
        ((one.server, one.meter, one.resource), one.life) for one in truth.series if one.life
    )
    refused = [m for m, v in zip(log().messages, log().verdicts, strict=True) if v.refused]
    assert list(read_capture(tmp_path / "dead")) == refused


def expected_counts(verdicts: dict[str, int], corrected: int) -> dict[str, int]:
    counts = dict(NOTHING)
    for name, count in verdicts.items():
        counts["reports"] += count
        counts[COUNTED.get(Verdict(name), name)] += count
    return counts | {"clock_corrected": corrected}


def test_a_capture_of_several_partitions_is_metered_as_one(tmp_path: Path) -> None:
    """Partition after partition, as `usage capture` writes it: the same windows."""

    def placed(part: int) -> list[Captured]:
        return [
            replace(message, place=Place(part, 3))
            for message in log().messages
            if partition_of(message.key or b"", 3) == part
        ]

    write_capture(tmp_path / "one", log().messages)
    write_capture(tmp_path / "three", [m for part in range(3) for m in placed(part)])
    found = [
        meter_file(tmp_path / name, known(), PLACE.topic, tmp_path / f"{name}.csv")
        for name in ("one", "three")
    ]
    assert found[0] == found[1]
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "three.csv").read_bytes()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Eight times as many reports of the same servers need as much. The first round fills what is
    remembered of a year's window starts.
    """
    sizes = []
    for count in (2000, 250, 2000):
        write_capture(tmp_path / "m", (ordinary(s, n) for n in range(1, count) for s in range(4)))
        sizes.append(peak(lambda: meter_file(
            tmp_path / "m", intake(NoSignatures(), {}), "t", tmp_path / "o", chunk_messages=100,
            run_cells=4000,
        )))  # fmt: skip
    assert sizes[2] < sizes[1] * 1.5


def ordinary(server: int, n: int) -> Captured:
    up_ms = n * WIDTH_MS
    report = Report(
        f"s{server}", "o", START_MS, n, START_MS + up_ms, up_ms, up_ms,
        tuple(f"m{i}" for i in range(9)), ("",) * 9, (n,) * 9,
    )  # fmt: skip
    return Captured(b"s%d" % server, report.at_ms, (), encode(report))


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
