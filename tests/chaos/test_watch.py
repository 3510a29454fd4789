"""Recoveries are read from samples of the committed positions."""

import pytest

from tests.chaos.watch import Sample, percentiles, recovery_s

SAMPLES = [
    Sample(1.0, (10, 10)),
    Sample(2.0, (20, 10)),
    Sample(3.0, (20, 15)),
    Sample(4.0, (30, 12)),
    Sample(9.0, (40, 12)),
]
RECOVERIES = {
    "both have committed when the second one has": (1.5, 1.5),
    "counted from the fault's end, not from the last commit": (2.5, 1.5),
    "a position that was taken back has moved": (3.0, 1.0),
    "one of them never did again": (4.5, None),
    "nothing after it": (9.5, None),
    "before anything was seen": (0.5, None),
}


@pytest.mark.parametrize("case", RECOVERIES)
def test_a_recovery_ends_when_every_partition_has_committed(case: str) -> None:
    ended_s, expected = RECOVERIES[case]
    assert recovery_s(SAMPLES, ended_s) == expected


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([3.0]) == {"p50": 3.0, "p99": 3.0, "max": 3.0}
    assert percentiles([float(n) for n in range(100, 0, -1)]) == {
        "p50": 51.0, "p99": 100.0, "max": 100.0,
    }  # fmt: skip
