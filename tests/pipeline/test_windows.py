"""Windows and the split of a difference: edges, odd sums, intervals that are none, big numbers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.windows import WIDTH_MS, overlaps, spread, window_ms

W = WIDTH_MS
YEARS = 400 * 86_400_000
"""The longest time that usage is spread over."""


def split(delta: int, t0_ms: int, t1_ms: int) -> list[tuple[int, int]]:
    """``(window start, quantity)`` of each window, in order."""
    starts, parts = spread(np.array([delta]), t0_ms, t1_ms)
    return list(zip(starts.tolist(), parts[:, 0].tolist(), strict=True))


def test_a_window_divides_every_time_zones_quarter_hour() -> None:
    assert 900_000 % WIDTH_MS == 0


@pytest.mark.parametrize(
    ("instant", "start"),
    [
        (0, 0),
        (1, 0),
        (W - 1, 0),
        (W, W),
        (W + 1, W),
        (-1, -W),
        (20_513 * 24 * 12 * W, 20_513 * 24 * 12 * W),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(instant: int, start: int) -> None:
    assert window_ms(instant) == start


@pytest.mark.parametrize(
    ("why", "delta", "t0", "t1", "parts"),
    [
        ("inside one window", 7, 10, 20, [(0, 7)]),
        ("up to the edge: the next window is not touched", 7, 10, W, [(0, 7)]),
        ("from the edge on", 7, W, W + 10, [(W, 7)]),
        ("one whole window", 7, 0, W, [(0, 7)]),
        ("an odd sum: the earlier floor, the later rest", 7, 0, 2 * W, [(0, 3), (W, 4)]),
        ("one unit over three windows falls where the floor first rises", 1, 0, 3 * W,
         [(0, 0), (W, 0), (2 * W, 1)]),
        ("a millisecond on each side of the edge", 10, W - 1, W + 1, [(0, 5), (W, 5)]),
        ("nothing used is said for each window", 0, 0, 2 * W, [(0, 0), (W, 0)]),
        ("the same instant: all of it to the millisecond before", 7, W, W, [(0, 7)]),
        ("the same instant inside a window", 7, W + 1, W + 1, [(W, 7)]),
        ("an earlier time: all of it to the newer reading's window", 7, 5 * W, W + 9, [(W, 7)]),
        ("the largest counter over a minute of each window", 2**63 - 17, W - 60_000, W + 60_000,
         [(0, 2**62 - 9), (W, 2**62 - 8)]),
    ],
)  # fmt: skip
def test_split(why: str, delta: int, t0: int, t1: int, parts: list[tuple[int, int]]) -> None:
    assert split(delta, t0, t1) == parts, why


instants = st.integers(0, 10**13)
lengths = st.integers(1, 50 * W)


@given(st.integers(0, 2**63 - 17), instants, lengths)
def test_shares_sum_to_the_whole(delta: int, t0: int, length: int) -> None:
    parts = split(delta, t0, t0 + length)
    assert sum(q for _, q in parts) == delta
    assert all(q >= 0 for _, q in parts)


@given(st.integers(0, 2**63 - 17), instants, lengths)
def test_windows_follow_each_other_and_cover_the_interval(delta: int, t0: int, length: int) -> None:
    starts = [start for start, _ in split(delta, t0, t0 + length)]
    assert all(b - a == W for a, b in pairwise(starts))
    assert starts[0] <= t0 < starts[0] + W
    assert starts[-1] < t0 + length <= starts[-1] + W


@given(st.integers(0, 2**63 - 17), instants, lengths)
def test_no_share_is_a_unit_away_from_its_even_part(delta: int, t0: int, length: int) -> None:
    for start, q in split(delta, t0, t0 + length):
        ms = min(start + W, t0 + length) - max(start, t0)
        assert abs(q * length - delta * ms) < 2 * length


@given(
    st.lists(st.integers(0, 2**63 - 17), min_size=1, max_size=3),
    instants,
    lengths | st.integers(YEARS - 3 * W, YEARS),
)
@settings(max_examples=50, deadline=None)
def test_what_was_used_until_an_edge_is_the_floor(deltas: list[int], t0: int, length: int) -> None:
    """In Python's integers, which have no bound."""
    starts, parts = spread(np.array(deltas), t0, t0 + length)
    upto = np.cumsum(parts, axis=0)
    for n in {0, len(starts) // 3, len(starts) - 1}:
        elapsed = min(int(starts[n]) + W - t0, length)
        assert upto[n].tolist() == [delta * elapsed // length for delta in deltas]
    assert (parts >= 0).all()


@pytest.mark.parametrize(
    ("t0", "t1", "parts"),
    [
        (10, 20, [(0, 10)]),
        (10, W, [(0, W - 10)]),
        (W, W + 1, [(W, 1)]),
        (W - 1, 2 * W + 1, [(0, 1), (W, W), (2 * W, 1)]),
    ],
)
def test_overlaps(t0: int, t1: int, parts: list[tuple[int, int]]) -> None:
    assert overlaps(t0, t1) == parts


@given(instants, lengths)
def test_overlaps_sum_to_the_interval(t0: int, length: int) -> None:
    parts = overlaps(t0, t0 + length)
    assert sum(ms for _, ms in parts) == length
    assert all(0 < ms <= W for _, ms in parts)
    assert [start for start, _ in parts] == [start for start, _ in split(0, t0, t0 + length)]
