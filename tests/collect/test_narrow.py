"""32-bit counters: which looks follow each other closely enough, and what comes of it."""

import pytest

from agents.integrate import from_now, integrate
from agents.sample import Reading, Sample
from rackmeter.collect.narrow import Stretch, after, look_ms_max
from tests.agents.words import WALL_MS

SERIES = ("port.rx_bytes", "sw-1/7")


@pytest.mark.parametrize(
    ("mbit_s", "most_ms"), [(10, 1_717_986), (100, 171_798), (1000, 17_179), (10_000, 1717), (0, 0)]
)
def test_half_a_turn_at_full_speed(mbit_s: int, most_ms: int) -> None:
    assert look_ms_max(mbit_s) == most_ms


@pytest.mark.parametrize(
    ("up_ms", "uptime", "since", "why"),
    [
        (160_000, 600, 100_000, "goes on"),
        (160_000, 400, 160_000, "the switch booted"),
        (271_797, 900, 100_000, "just close enough"),
        (271_798, 900, 271_798, "it could have turned further than can be told"),
    ],
)
def test_a_stretch(up_ms: int, uptime: int, since: int, why: str) -> None:
    before = Stretch(100_000, 100_000, 500, 100)
    expected = Stretch(since, up_ms, uptime, 100)
    assert after(before, up_ms, uptime, 10) == after(before, up_ms, uptime, 100) == expected, why


def test_the_first_look_begins_one() -> None:
    assert after(None, 5, 7, 100) == Stretch(5, 5, 7, 100)


@pytest.mark.parametrize(
    ("looks", "counted", "why"),
    [
        ([(0, 2**32 - 1000, 1), (60_000, 500, 2)], 1500, "turned once"),
        ([(0, 100, 1), (60_000, 700, 2), (120_000, 900, 3)], 800, "differences"),
        ([(0, 2**32 - 1000, 5), (60_000, 500, 1)], 0, "booted: since when, nobody knows"),
        ([(0, 100, 1), (200_000, 700, 2), (260_000, 1000, 3)], 300, "silent for too long"),
    ],
)
def test_what_is_counted(looks: list[tuple[int, int, int]], counted: int, why: str) -> None:
    """A port of 100 Mbit/s."""
    origin, stretch = None, None
    for up_ms, value, uptime in looks:
        stretch = after(stretch, up_ms, uptime, 100)
        device = f"sw-1/7@32 bits since {stretch.since_up_ms}"
        found = (Sample(*SERIES, value, device, bits=32),)
        reading = Reading(WALL_MS + up_ms, up_ms, found, frozenset({"port.rx_bytes"}))
        origin = origin or from_now("s1", "b", "o", reading)
        origin, _ = integrate(origin, reading, 15_000)
    assert origin is not None
    assert origin.sums[SERIES] == counted, why
